"""Text messages: the envelope and its two codecs, JSON and MessagePack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from wsprism_core.protocol.layout import EnvelopeFlag

__all__ = ("Envelope",)


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
        return bool(self.flags & EnvelopeFlag.ACK_REQUESTED)
