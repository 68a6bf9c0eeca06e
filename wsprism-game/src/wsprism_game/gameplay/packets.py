"""Layouts of the payloads that the service itself reads."""

from __future__ import annotations

from wsprism_core.packets import Packet, optional, u64

__all__ = ("Clock",)


class Clock(Packet):
    """The payload of CLOCK; the client sends the first field, the answer has both.

    Attributes:
        client_us: The client's time in microseconds, on whatever clock it has.
        server_us: The gateway's, on a clock that never goes back; it began anywhere.
    """

    client_us: int = u64()
    server_us: int | None = optional(u64(), default=None)
