"""One bad message never kills a fan-out: what was taken, every codec carries."""

from __future__ import annotations

from wsprism_core.protocol.codecs import JSON, MSGPACK
from wsprism_core.protocol.envelope import Envelope, decode_json, decode_msgpack

__all__ = ("goes_out",)


def goes_out(message: Envelope) -> None:
    """See that a message comes back from both codecs as it was."""
    fields = {"svc": message.svc, "type": message.type, "data": message.data}
    for codec, decode in ((JSON, decode_json), (MSGPACK, decode_msgpack)):
        again = decode(codec.encode(fields))
        assert (again.svc, again.type, again.data) == tuple(fields.values())
