"""Text envelopes: what comes in goes out again in either codec."""

from __future__ import annotations

from contextlib import suppress

from fuzz.both_codecs import goes_out
from wsprism_core.protocol.envelope import decode_json, decode_outbound_json
from wsprism_core.protocol.errors import ProtocolError


def target(data: bytes) -> None:
    with suppress(ProtocolError):
        goes_out(decode_json(data))
    with suppress(ProtocolError):
        decode_outbound_json(data)
