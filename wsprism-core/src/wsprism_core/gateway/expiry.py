"""Tickets that expire while their session is open.

When a ticket expires is told by the wall clock, and what puts off work counts ticks:
so each wait is for half of the time that is left, and the clock is asked again. A wheel
that is late is late by little, and a clock that is set is noticed soon.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wsprism_core.protocol.layout import CloseCode
from wsprism_core.realtime.clock import Clock
from wsprism_core.realtime.wheel import Wheel

if TYPE_CHECKING:
    from wsprism_core.gateway.connection import Connection

__all__ = ("Expiry",)

#: The longest wait between two looks at the clock, in seconds.
LONGEST_WAIT: Final = 5.0


class Expiry:
    """Ends the sessions whose tickets have expired.

    Args:
        wheel: Where the looks are put off.
        clock: Whose wall time counts.
    """

    def __init__(self, wheel: Wheel, clock: Clock) -> None:
        self._wheel = wheel
        self._clock = clock

    def watch(self, connection: Connection) -> None:
        """Look after the ticket of a connection until it ends, or has another one."""
        if connection.expiry is not None:
            connection.expiry.cancel()
            connection.expiry = None
        expires = connection.identity.expires
        if expires is not None:
            left = expires - self._clock.wall_ms() / 1000
            connection.expiry = self._wheel.after(
                min(max(left / 2, 0.0), LONGEST_WAIT), lambda: self._look(connection)
            )

    def _look(self, connection: Connection) -> None:
        expires = connection.identity.expires
        if expires is not None and expires <= self._clock.wall_ms() / 1000:
            connection.cut(CloseCode.TICKET_EXPIRED, "the ticket has expired")
        else:
            self.watch(connection)
