"""Draining: nobody new is let in, and those who are here are sent elsewhere gently."""

from __future__ import annotations

import asyncio
import random

from wsprism_core.gateway.admission import Admission
from wsprism_core.gateway.egress import Egress
from wsprism_core.gateway.sessions import SessionDesk
from wsprism_core.logs import EventLog
from wsprism_core.protocol.layout import CloseCode
from wsprism_core.realtime.clock import Clock, Timer
from wsprism_core.realtime.session import Session, SessionRegistry

__all__ = ("Drain",)

#: How many batches the remaining sessions are closed in over the grace.
BATCHES = 10


class Drain:
    """Empties the gateway.

    Args:
        admission: Told to admit nobody.
        sessions: Who is there.
        desk: Where sessions end.
        egress: What tells clients.
        clock: Time.
        grace: Seconds over which sessions are closed.
        chance: Where the jitter comes from.

    Attributes:
        grace: Seconds over which sessions are closed.
    """

    def __init__(
        self,
        admission: Admission,
        sessions: SessionRegistry,
        desk: SessionDesk,
        egress: Egress,
        clock: Clock,
        *,
        grace: float,
        chance: random.Random,
    ) -> None:
        self._admission = admission
        self._sessions = sessions
        self._desk = desk
        self._egress = egress
        self._clock = clock
        self.grace = grace
        self._chance = chance
        self._log = EventLog("drain")
        self._done = asyncio.Event()
        self._timer: Timer | None = None
        # Who is still to be closed; None until it begins.
        self._waiting: list[Session] | None = None

    def begin(self) -> None:
        """Tell every client when to come back, and close all in even batches.

        Begun a second time it closes all that are left at once.
        """
        if self._waiting is not None:
            self._hurry(self._waiting)
            return
        self._admission.draining = True
        waiting = self._waiting = list(self._sessions)
        self._log.info("drain_started", sessions=len(waiting))
        for session in waiting:
            jitter = self._chance.randrange(round(self.grace * 1000) + 1)
            self._egress.system(session, "draining", {"reconnect_in_ms": jitter})
        self._close_later(waiting, max(1, -(-len(waiting) // BATCHES)))

    async def finished(self) -> None:
        """Wait until all are closed that were there."""
        await self._done.wait()
        self._log.info("drain_finished", left=len(self._sessions))

    def _hurry(self, waiting: list[Session]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._log.info("drain_hurried", sessions=len(waiting))
        self._close(waiting, len(waiting))

    def _close_later(self, waiting: list[Session], size: int) -> None:
        """Close the first batch when its time has come, then the others."""
        if not waiting:
            self._done.set()
        elif self.grace:
            self._timer = self._clock.after(
                self.grace / BATCHES, lambda: self._close(waiting, size)
            )
        else:
            self._close(waiting, size)

    def _close(self, waiting: list[Session], size: int) -> None:
        # Who reads slowly has the longest to take what waits for him: it is gone with
        # the close. The order stays what it is otherwise.
        waiting.sort(key=lambda session: session.outbox.backlog is not None)
        batch = waiting[:size]
        del waiting[:size]
        for session in batch:
            self._desk.end(session, CloseCode.GOING_AWAY, "draining")
        self._close_later(waiting, size)
