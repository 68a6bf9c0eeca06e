"""MessagePack envelopes: what comes in goes out again in either codec."""

from __future__ import annotations

from contextlib import suppress

from fuzz.both_codecs import goes_out
from wsprism_core.protocol.envelope import (
    decode_msgpack,
    decode_outbound_msgpack,
    is_binary_envelope,
)
from wsprism_core.protocol.errors import ProtocolError


def target(data: bytes) -> None:
    with suppress(ProtocolError):
        message = decode_msgpack(data)
        assert is_binary_envelope(data)
        goes_out(message)
    with suppress(ProtocolError):
        decode_outbound_msgpack(data)
