"""Heartbeats: pings, missing pongs and idle connections.

Each connection is looked after on the gateway's wheel, so that their checks are spread
over time, and counted in beats and not in seconds: when a handler blocks the event loop
for a while, the wheel is late and no connection times out for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wsprism_core.protocol.layout import CloseCode
from wsprism_core.realtime.delivery import DeliveryEngine
from wsprism_core.realtime.outbox import OutboxState
from wsprism_core.realtime.wheel import Wheel
from wsprism_core.realtime.wire import outgoing_bytes

if TYPE_CHECKING:
    from wsprism_core.gateway.connection import Connection

__all__ = ("BEATS_PER_INTERVAL", "Heartbeat")

CLEAN: Final = OutboxState.CLEAN

#: How many beats the shortest of the intervals is made of.
BEATS_PER_INTERVAL = 8


class Heartbeat:
    """Pings sessions and ends those that do not answer.

    Args:
        wheel: Where the beats are put off.
        delivery: Where pings are posted.
        ping: Seconds between pings; 0 sends none.
        pong: Seconds in which a pong must come.
        idle: Seconds in which something must be heard; 0 is forever.

    Attributes:
        ping_ms: Milliseconds between pings, told to clients; 0 sends none.
    """

    def __init__(
        self,
        wheel: Wheel,
        delivery: DeliveryEngine,
        *,
        ping: float,
        pong: float,
        idle: float,
    ) -> None:
        self.ping_ms = round(ping * 1000)
        self._wheel = wheel
        self._delivery = delivery
        intervals = [seconds for seconds in (ping, pong, idle) if seconds]
        self._beat = min(intervals) / BEATS_PER_INTERVAL
        self._ping = round(ping / self._beat)
        self._pong = round(pong / self._beat)
        self._idle = round(idle / self._beat)

    def watch(self, connection: Connection) -> None:
        """Look after a connection until it ends."""
        connection.beat = self._wheel.after(
            self._beat, lambda: self._look_after(connection)
        )

    def _look_after(self, connection: Connection) -> None:
        self.watch(connection)
        if connection.reading_paused:
            # It is we who do not listen: its pong may be waiting in the socket.
            return
        connection.beats += 1
        connection.beats_silent += 1
        if connection.beats_unanswered >= 0:
            connection.beats_unanswered += 1
            if connection.beats_unanswered > self._pong:
                self._give_up(connection, CloseCode.NO_PONG, "no pong came")
                return
        if self._idle and connection.beats_silent > self._idle:
            reason = "nothing was heard for too long"
            self._give_up(connection, CloseCode.IDLE_TIMEOUT, reason)
            return
        session = connection.session
        if session is None or not self._ping or connection.beats % self._ping:
            return
        if connection.beats_unanswered < 0:
            connection.beats_unanswered = 0
            self._delivery.send_now(session)
            if session.outbox.state is CLEAN:
                # All that was sent goes before the ping: its pong proves that it came.
                for membership in session.memberships.values():
                    membership.probe()
            ping = session.wire.framing.ping(b"")
            self._delivery.post_form(session, outgoing_bytes(0, ping))

    def _give_up(self, connection: Connection, code: int, reason: str) -> None:
        """End a connection, unless what it sent waits for its turn to be read."""
        if not connection.link.is_behind():
            connection.end(code, reason)
