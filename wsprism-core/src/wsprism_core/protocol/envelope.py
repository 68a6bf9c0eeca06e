"""Text messages: the envelope, its fields and their rules.

Inbound, `decode_json` and `decode_msgpack` make an `Envelope` of a payload or refuse
it. Outbound, `outbound` makes the mapping that a codec encodes. `inbound` and the
`decode_outbound_*` functions are the same for the other end of the wire, the client.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from wsprism_core.protocol.codecs import MAX_OUTBOUND_DEPTH, load_json, load_msgpack
from wsprism_core.protocol.errors import Malformed, ProtocolError
from wsprism_core.protocol.layout import (
    ENVELOPE_FIELDS,
    MAX_SAFE_INTEGER,
    MAX_U32,
    MSGPACK_MAP_FIRST_BYTES,
    PROTOCOL_VERSION,
    ROOM_NAME,
    EnvelopeFlag,
    ErrorCode,
)

__all__ = (
    "Envelope",
    "decode_json",
    "decode_msgpack",
    "decode_outbound_json",
    "decode_outbound_msgpack",
    "inbound",
    "is_binary_envelope",
    "numbered",
    "outbound",
)

_INBOUND_FIELDS: Final = frozenset(
    field.name for field in ENVELOPE_FIELDS if field.inbound
)
# A plain integer: `&` with a member of the enum is many times slower.
_ACK_REQUESTED: Final = int(EnvelopeFlag.ACK_REQUESTED)
_matches_room_name: Final = ROOM_NAME.match


@dataclass(slots=True)
class Envelope:
    """A text message from a client, decoded.

    Attributes:
        svc: The service that owns it.
        type: Its type within the service.
        room: The room named; where the type wants one and none was named, the gateway
            has put the sender's active room here before the service sees it.
        seq: The client's own number, echoed as `ref`.
        flags: `EnvelopeFlag` bits.
        data: Any JSON value; None also where it was left out.
    """

    svc: str
    type: str
    room: str | None = None
    seq: int | None = None
    flags: int = 0
    data: Any = None

    @property
    def ack_requested(self) -> bool:
        """Whether the sender waits for an answer."""
        return bool(self.flags & _ACK_REQUESTED)


def decode_json(payload: bytes) -> Envelope:
    """Return the envelope in a JSON text.

    Raises:
        Malformed: It is no JSON object with the fields of an envelope and no others.
        ProtocolError: Another protocol version, a bad room name, or an answer asked
            for without a `seq`. As with `Malformed`, `ref` is the message's `seq` where
            it had a legible one.
    """
    return _read_inbound(load_json(payload))


def decode_msgpack(payload: bytes) -> Envelope:
    """Return the envelope in a MessagePack map.

    Raises:
        ProtocolError: As `decode_json`.
    """
    return _read_inbound(load_msgpack(payload))


def is_binary_envelope(payload: bytes) -> bool:
    """Whether a binary message is an envelope in MessagePack; else it is a hot frame.

    The first byte tells: of a hot frame it is the version, of the other a map's head.
    """
    return bool(payload) and payload[0] in MSGPACK_MAP_FIRST_BYTES


def outbound(
    svc: str,
    type: str,
    *,
    room: str | None = None,
    seq: int | None = None,
    ref: int | None = None,
    ts: int | None = None,
    data: Any = None,
    trace_id: str | None = None,
) -> dict[str, Any]:
    """Return an envelope from the gateway, ready for a codec; None leaves a field out.

    Args:
        svc: The service that sends it.
        type: Its type within the service.
        room: The room that it concerns.
        seq: The room's number, on messages of a recoverable type.
        ref: The `seq` of the message that it answers.
        ts: Server time in milliseconds since 1970, with `seq`.
        data: What the codecs can carry.
        trace_id: On `sys.authed` and `sys.error`.
    """
    fields: dict[str, Any] = {"v": PROTOCOL_VERSION, "svc": svc, "type": type}
    if room is not None:
        fields["room"] = room
    if seq is not None:
        fields["seq"] = seq
    if ref is not None:
        fields["ref"] = ref
    if ts is not None:
        fields["ts"] = ts
    if data is not None:
        fields["data"] = data
    if trace_id is not None:
        fields["trace_id"] = trace_id
    return fields


def numbered(
    svc: str, type: str, room: str, seq: int, ts: int, data: Any
) -> dict[str, Any]:
    """Return the envelope of a message that has its number in a room.

    As `outbound` makes it, in a third of the time: most of what a gateway sends to a
    room is of this kind.
    """
    return {
        "v": PROTOCOL_VERSION,
        "svc": svc,
        "type": type,
        "room": room,
        "seq": seq,
        "ts": ts,
        "data": data,
    }


def inbound(
    svc: str,
    type: str,
    *,
    room: str | None = None,
    seq: int | None = None,
    ack_requested: bool = False,
    data: Any = None,
) -> dict[str, Any]:
    """Return an envelope from a client, ready for a codec; None leaves a field out.

    Args:
        svc: The service that it is for.
        type: Its type within the service.
        room: The room that it concerns.
        seq: The client's own number.
        ack_requested: Whether exactly one answer must come, with `ref`.
        data: What the codecs can carry.
    """
    fields: dict[str, Any] = {"v": PROTOCOL_VERSION, "svc": svc, "type": type}
    if room is not None:
        fields["room"] = room
    if seq is not None:
        fields["seq"] = seq
    if ack_requested:
        fields["flags"] = _ACK_REQUESTED
    if data is not None:
        fields["data"] = data
    return fields


def decode_outbound_json(payload: bytes) -> dict[str, Any]:
    """Return the fields of an envelope that came from a gateway as JSON.

    Fields that this version does not know are kept, so that a newer gateway may add
    some.

    Raises:
        Malformed: It is no JSON object with a `svc` and a `type`.
        ProtocolError: Another protocol version.
    """
    return _read_outbound(load_json(payload, MAX_OUTBOUND_DEPTH))


def decode_outbound_msgpack(payload: bytes) -> dict[str, Any]:
    """Return the fields of an envelope that came from a gateway as MessagePack.

    Raises:
        ProtocolError: As `decode_outbound_json`.
    """
    return _read_outbound(load_msgpack(payload, MAX_OUTBOUND_DEPTH))


def _read_inbound(fields: Any) -> Envelope:
    """Return the envelope that decoded fields make.

    It runs for every message, so the helpers are called for what looks wrong only.
    Types are compared exactly: `true` is no integer here, and the codecs make no
    subclasses. A field that is null is present, and of the wrong type.
    """
    try:
        if type(fields) is not dict:
            raise Malformed("the message is no object")
        version = fields.get("v", PROTOCOL_VERSION)
        if version != PROTOCOL_VERSION or type(version) is not int:
            _check_version(fields)
        if not _INBOUND_FIELDS.issuperset(fields):
            raise Malformed(f"unknown field {_unknown_field(fields)}")
        svc = fields.get("svc")
        kind = fields.get("type")
        if type(svc) is not str or type(kind) is not str:
            raise Malformed("svc or type is missing or no string")
        # Any until it is looked at: whoever compiles this checks what it is told.
        room: Any = None
        seq: Any = None
        flags: Any = 0
        if "room" in fields:
            room = fields["room"]
            if type(room) is not str:
                raise Malformed("room is no string")
        if "seq" in fields:
            seq = fields["seq"]
            if type(seq) is not int or not 0 <= seq <= MAX_SAFE_INTEGER:
                raise Malformed("seq is no integer from 0 to 2^53-1")
        if "flags" in fields:
            flags = fields["flags"]
            if type(flags) is not int or not 0 <= flags <= MAX_U32:
                raise Malformed("flags is no unsigned 32-bit integer")
        # All types are right: what is refused from here on is no strike.
        if room is not None and not _matches_room_name(room):
            raise ProtocolError(ErrorCode.BAD_REQUEST, "bad room name")
        if flags & _ACK_REQUESTED and seq is None:
            raise ProtocolError(ErrorCode.BAD_REQUEST, "ACK_REQUESTED needs a seq")
    except ProtocolError as error:
        error.ref = _legible_seq(fields)
        raise
    return Envelope(svc, kind, room, seq, flags, fields.get("data"))


def _read_outbound(fields: Any) -> dict[str, Any]:
    if type(fields) is not dict:
        raise Malformed("the message is no object")
    _check_version(fields)
    if type(fields.get("svc")) is not str or type(fields.get("type")) is not str:
        raise Malformed("svc or type is missing or no string")
    return fields


def _check_version(fields: Mapping[str, Any]) -> None:
    version = fields.get("v", PROTOCOL_VERSION)
    if type(version) is not int:
        raise Malformed("v is no integer")
    if version != PROTOCOL_VERSION:
        raise ProtocolError(
            ErrorCode.UNSUPPORTED_VERSION, f"v is not {PROTOCOL_VERSION}"
        )


def _unknown_field(fields: Mapping[str, Any]) -> str:
    """Return one unknown field's name, quoted, in ASCII and short enough for a log."""
    name = next(name for name in fields if name not in _INBOUND_FIELDS)
    return ascii(name[:32])


def _legible_seq(fields: Any) -> int | None:
    """Return the `seq` of a refused message where it had a good one."""
    seq = fields.get("seq") if type(fields) is dict else None
    if type(seq) is int and 0 <= seq <= MAX_SAFE_INTEGER:
        return seq
    return None
