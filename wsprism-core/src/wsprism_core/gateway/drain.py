"""Draining: nobody new is let in, and those who are here are sent elsewhere gently."""

from __future__ import annotations

import asyncio
import random

from wsprism_core.gateway.admission import Admission
from wsprism_core.gateway.egress import Egress
from wsprism_core.gateway.sessions import SessionDesk
from wsprism_core.logs import EventLog
from wsprism_core.protocol.layout import CloseCode
from wsprism_core.realtime.clock import Clock
from wsprism_core.realtime.session import SessionRegistry

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
        self._grace = grace
        self._chance = chance
        self._log = EventLog("drain")

    async def run(self) -> None:
        """Tell every client when to come back, then close all in even batches."""
        self._admission.draining = True
        waiting = list(self._sessions)
        self._log.info("drain_started", sessions=len(waiting))
        for session in waiting:
            jitter = self._chance.randrange(round(self._grace * 1000) + 1)
            self._egress.system(session, "draining", {"reconnect_in_ms": jitter})
        size = max(1, -(-len(waiting) // BATCHES))
        for start in range(0, len(waiting), size):
            if self._grace:
                await self._sleep(self._grace / BATCHES)
            for session in waiting[start : start + size]:
                self._desk.end(session, CloseCode.GOING_AWAY, "draining")
        self._log.info("drain_finished", left=len(self._sessions))

    async def _sleep(self, seconds: float) -> None:
        woken = asyncio.Event()
        timer = self._clock.after(seconds, woken.set)
        try:
            await woken.wait()
        finally:
            timer.cancel()
