"""Keeping tickets out of recordings.

Nothing before the authentication is recorded. After it a ticket may still come: with
`sys.refresh`, with a `sys.auth` that is one too many, or in a message that is refused
before anybody looks at it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from wsprism_core.protocol.codecs import JSON, MSGPACK
from wsprism_core.protocol.envelope import Envelope, decode_json, decode_msgpack
from wsprism_core.protocol.errors import ProtocolError
from wsprism_core.recording.format import Kind, Record

__all__ = ("may_hold_ticket", "placeholder", "without_ticket")

#: The fields of secrets, and the beginning of every ASCII letter that is escaped.
_SUSPECTS: Final = (b"ticket", b"resume", b"\\u00")


def may_hold_ticket(payload: bytes) -> bool:
    """Whether a message must be looked at before it is recorded."""
    return any(suspect in payload for suspect in _SUSPECTS)


def placeholder(refresh: int) -> str:
    """Return what stands for the ticket of a refresh."""
    return f"refresh-{refresh}"


def without_ticket(
    kind: Kind, connection: int, payload: bytes, number: Callable[[], int]
) -> Record:
    """Return the record of a message, without a ticket that it holds.

    Args:
        kind: `TEXT` or `BINARY`, the latter an envelope in MessagePack.
        connection: Where it came from.
        payload: The message.
        number: Returns the number of a new refresh.
    """
    decode = decode_json if kind is Kind.TEXT else decode_msgpack
    try:
        message = decode(payload)
    except ProtocolError as error:
        told = str(error.code), error.msg, error.ref, error.strike
        return (Kind.MALFORMED, connection, *told)
    if message.svc != "sys":
        return (kind, connection, payload)
    codec = JSON if kind is Kind.TEXT else MSGPACK
    return (kind, connection, codec.encode(_blanked(message, number)))


def _blanked(message: Envelope, number: Callable[[], int]) -> dict[str, Any]:
    """Return the fields of a `sys` message, of its data only what is no secret."""
    fields: dict[str, Any] = {
        "svc": message.svc,
        "type": message.type,
        "flags": message.flags,
    }
    if message.room is not None:
        fields["room"] = message.room
    if message.seq is not None:
        fields["seq"] = message.seq
    data = message.data
    if isinstance(data, dict):
        kept = {name: data[name] for name in ("client_ts",) if name in data}
        if "ticket" in data:
            is_one = isinstance(data["ticket"], str)
            kept["ticket"] = placeholder(number()) if is_one else None
        fields["data"] = kept
    elif data is not None:
        fields["data"] = []
    return fields
