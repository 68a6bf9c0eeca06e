"""Hot frames: binary messages with a header of a few bytes."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Final

from wsprism_core.protocol.errors import Malformed, ProtocolError
from wsprism_core.protocol.layout import (
    HOT_HEADER_SIZE,
    PROTOCOL_VERSION,
    ErrorCode,
    HotFlag,
)

__all__ = (
    "HotFrame",
    "decode_hot_frame",
    "decode_outbound_hot_frame",
    "encode_hot_frame",
)

# Plain integers: `&` with a member of the enum is many times slower.
_SEQ: Final = int(HotFlag.SEQ)
_ACK_REQUESTED: Final = int(HotFlag.ACK_REQUESTED)
_ROOM: Final = int(HotFlag.ROOM)
_SENDER: Final = int(HotFlag.SENDER)
_INBOUND: Final = _SEQ | _ACK_REQUESTED | _ROOM
_OUTBOUND: Final = _INBOUND | _SENDER

_U32: Final = struct.Struct("<I")
#: By the number of optional fields.
_HEADERS: Final = tuple(struct.Struct("<BBBB" + "I" * count) for count in range(4))


@dataclass(slots=True)
class HotFrame:
    """A hot frame, decoded.

    Attributes:
        svc_id: The service that owns it.
        opcode: The service's own number; 0 is ACK.
        flags: `HotFlag` bits.
        payload: What follows the header.
        seq: The sender's number, 32 bits, or None.
        alias: The room's alias, 32 bits, or None.
        sender: The member number of the sender, outbound only, or None.
        room: The room's name, which the gateway fills in; None on the wire.
        packet: The payload unpacked, where the opcode declares a layout; filled in as
            `room`.
    """

    svc_id: int
    opcode: int
    flags: int
    payload: bytes
    seq: int | None = None
    alias: int | None = None
    sender: int | None = None
    room: str | None = None
    packet: Any = None

    @property
    def ack_requested(self) -> bool:
        """Whether the sender waits for an ACK frame."""
        return bool(self.flags & _ACK_REQUESTED)


def decode_hot_frame(data: bytes) -> HotFrame:
    """Return a frame from a client.

    Raises:
        Malformed: It is shorter than its header.
        ProtocolError: Another protocol version, a flag that clients may not set, or
            ACK_REQUESTED without SEQ; `ref` is the frame's SEQ where it had one.
    """
    return _decode(data, _INBOUND)


def decode_outbound_hot_frame(data: bytes) -> HotFrame:
    """Return a frame from a gateway, which may carry SENDER.

    Raises:
        ProtocolError: As `decode_hot_frame`.
    """
    return _decode(data, _OUTBOUND)


def encode_hot_frame(
    svc_id: int,
    opcode: int,
    payload: bytes,
    *,
    seq: int | None = None,
    ack_requested: bool = False,
    alias: int | None = None,
    sender: int | None = None,
) -> bytes:
    """Return the bytes of a frame; None leaves a field out, and its flag.

    Args:
        svc_id: The service that owns it, 8 bits.
        opcode: The service's own number, 8 bits.
        payload: What follows the header.
        seq: The sender's number, 32 bits.
        ack_requested: Whether the sender waits for an ACK frame.
        alias: The room's alias, 32 bits.
        sender: The member number of the sender, 32 bits; from a gateway only.

    Raises:
        ValueError: A number does not fit, or an ACK is requested without a `seq`.
    """
    flags = 0
    fields = []
    if seq is not None:
        flags |= _SEQ
        fields.append(seq)
    if ack_requested:
        if seq is None:
            raise ValueError("ACK_REQUESTED needs a seq")
        flags |= _ACK_REQUESTED
    if alias is not None:
        flags |= _ROOM
        fields.append(alias)
    if sender is not None:
        flags |= _SENDER
        fields.append(sender)
    header = _HEADERS[len(fields)]
    try:
        return header.pack(PROTOCOL_VERSION, svc_id, opcode, flags, *fields) + payload
    except struct.error as error:
        raise ValueError(f"a number does not fit the header: {error}") from error


def _decode(data: bytes, allowed: int) -> HotFrame:
    if not data:
        raise Malformed("an empty frame")
    if data[0] != PROTOCOL_VERSION:
        raise ProtocolError(
            ErrorCode.UNSUPPORTED_VERSION, f"v is not {PROTOCOL_VERSION}"
        )
    if len(data) < HOT_HEADER_SIZE:
        raise Malformed("a frame shorter than its header")
    _, svc_id, opcode, flags = data[:HOT_HEADER_SIZE]
    seq = alias = sender = None
    end = HOT_HEADER_SIZE
    try:
        # SEQ comes first, so that a refusal of the rest can name it.
        if flags & _SEQ:
            (seq,) = _U32.unpack_from(data, end)
            end += 4
        if flags & ~allowed:
            raise ProtocolError(ErrorCode.BAD_REQUEST, "a flag not allowed", ref=seq)
        if flags & _ACK_REQUESTED and seq is None:
            raise ProtocolError(ErrorCode.BAD_REQUEST, "ACK_REQUESTED needs SEQ")
        if flags & _ROOM:
            (alias,) = _U32.unpack_from(data, end)
            end += 4
        if flags & _SENDER:
            (sender,) = _U32.unpack_from(data, end)
            end += 4
    except struct.error:
        raise Malformed("a frame shorter than its header", ref=seq) from None
    return HotFrame(svc_id, opcode, flags, data[end:], seq, alias, sender)
