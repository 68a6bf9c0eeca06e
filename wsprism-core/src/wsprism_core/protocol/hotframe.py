"""Hot frames: binary messages with a header of a few bytes."""

from __future__ import annotations

from dataclasses import dataclass

from wsprism_core.protocol.layout import HotFlag

__all__ = ("HotFrame",)


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
    """

    svc_id: int
    opcode: int
    flags: int
    payload: bytes
    seq: int | None = None
    alias: int | None = None
    sender: int | None = None
    room: str | None = None

    @property
    def ack_requested(self) -> bool:
        """Whether the sender waits for an ACK frame."""
        return bool(self.flags & HotFlag.ACK_REQUESTED)
