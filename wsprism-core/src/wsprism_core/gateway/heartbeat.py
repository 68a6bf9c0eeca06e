"""Heartbeats: pings, missing pongs and idle connections.

Deadlines are counted in ticks of one shared timer and not in seconds: when a handler
blocks the event loop for a while, one tick is late and no connection times out for it.
"""

from __future__ import annotations

from wsprism_core.gateway.connection import Connection
from wsprism_core.gateway.sessions import SessionDesk
from wsprism_core.protocol.layout import CloseCode
from wsprism_core.realtime.clock import Clock, Timer
from wsprism_core.realtime.delivery import DeliveryEngine
from wsprism_core.realtime.wire import outgoing_bytes

__all__ = ("Heartbeat",)

#: How many ticks the shortest of the intervals is made of.
TICKS_PER_INTERVAL = 8


class Heartbeat:
    """Pings every session and ends those that do not answer.

    Args:
        desk: Where sessions are.
        delivery: Where pings are posted.
        clock: Time.
        ping: Seconds between pings; 0 sends none.
        pong: Seconds in which a pong must come.
        idle: Seconds in which something must be heard; 0 is forever.
    """

    def __init__(
        self,
        desk: SessionDesk,
        delivery: DeliveryEngine,
        clock: Clock,
        *,
        ping: float,
        pong: float,
        idle: float,
    ) -> None:
        self._desk = desk
        self._delivery = delivery
        self._clock = clock
        intervals = [seconds for seconds in (ping, pong, idle) if seconds]
        self._tick = min(intervals) / TICKS_PER_INTERVAL
        self._ping = round(ping / self._tick)
        self._pong = round(pong / self._tick)
        self._idle = round(idle / self._tick)
        self._timer: Timer | None = None

    def start(self) -> None:
        """Begin to tick."""
        self._timer = self._clock.after(self._tick, self._beat)

    def stop(self) -> None:
        """Tick no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _beat(self) -> None:
        for connection in self._desk.connections():
            self._check(connection)
        self.start()

    def _check(self, connection: Connection) -> None:
        if connection.reading_paused:
            # It is we who do not listen: its pong may be waiting in the socket.
            return
        connection.ticks += 1
        connection.ticks_silent += 1
        if connection.ticks_unanswered >= 0:
            connection.ticks_unanswered += 1
            if connection.ticks_unanswered > self._pong:
                connection.end(CloseCode.NO_PONG, "no pong came")
                return
        if self._idle and connection.ticks_silent > self._idle:
            connection.end(CloseCode.IDLE_TIMEOUT, "nothing was heard for too long")
            return
        session = connection.session
        if session is None or not self._ping or connection.ticks % self._ping:
            return
        if connection.ticks_unanswered < 0:
            connection.ticks_unanswered = 0
            ping = session.wire.framing.ping(b"")
            self._delivery.post_form(session, outgoing_bytes(0, ping))
