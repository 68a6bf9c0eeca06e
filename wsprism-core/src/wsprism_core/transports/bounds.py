"""Bounds on what peers may make a transport hold or do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ("MAX_CONTROL_PAYLOAD", "InboundBounds", "UnfinishedBytes", "short_reason")

#: The largest payload of a ping, pong or close, in bytes (RFC 6455, section 5.5).
MAX_CONTROL_PAYLOAD: Final = 125
_CLOSE_CODE_SIZE: Final = 2


@dataclass(frozen=True, slots=True)
class InboundBounds:
    """What one connection may send.

    Args:
        max_fragments: Fragments of one message, empty ones counted; over it 1009.
        control_frames_per_second: Pings and pongs; over it 1008.
    """

    max_fragments: int = 4096
    control_frames_per_second: int = 100


class UnfinishedBytes:
    """What all connections together hold of messages that are not whole yet.

    Args:
        limit: In bytes; the connection whose bytes go over it is closed 1013.

    Attributes:
        held: In bytes.
    """

    __slots__ = ("held", "limit")

    def __init__(self, limit: int = 64 * 1024 * 1024) -> None:
        self.limit = limit
        self.held = 0

    def change(self, by: int) -> bool:
        """Add to what is held, or take from it; return whether that is in bounds."""
        self.held += by
        return by <= 0 or self.held <= self.limit


def short_reason(reason: str) -> str:
    """Return as much of a close reason as a close frame can carry."""
    room = MAX_CONTROL_PAYLOAD - _CLOSE_CODE_SIZE
    return reason.encode()[:room].decode(errors="ignore")
