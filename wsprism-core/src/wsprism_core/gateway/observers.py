"""Calling observers: plain ones at once, async ones in order behind the traffic.

What an observer does or fails to do changes nothing for anybody else. An async one that
is slower than the traffic misses some of it, rather than take memory without bound.
"""

from __future__ import annotations

import asyncio
import inspect
import math
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from wsprism_core.dispatch import Function, Wrap
from wsprism_core.gateway.failures import STOPS_THE_PROCESS, Failures
from wsprism_core.gateway.tasks import being_cancelled
from wsprism_core.logs import EventLog

__all__ = ("MAX_WAITING", "ObserverQueue", "observe_with")

#: How many observations of one plugin may wait unless told.
MAX_WAITING = 1_000
#: At the most one warning of dropped observations in so many seconds.
WARNING_SECONDS = 1.0


class ObserverQueue:
    """The observations of one plugin that wait, in the order of the messages.

    Args:
        plugin: Whose they are.
        failures: Where its failures are noted.
        spawn: What runs a coroutine beside the gateway.
        bound: How many may wait; further ones are dropped and counted.

    Attributes:
        dropped: How many were dropped.
    """

    def __init__(
        self,
        plugin: str,
        failures: Failures,
        spawn: Callable[[Awaitable[None]], None],
        bound: int = MAX_WAITING,
    ) -> None:
        self._plugin = plugin
        self._failures = failures
        self._spawn = spawn
        self._bound = bound
        self._waiting: deque[Awaitable[Any]] = deque()
        self._working = False
        self._warned = -math.inf
        self._log = EventLog("plugins")
        self.dropped = 0

    def put(self, observation: Awaitable[Any]) -> None:
        """Await an observation after those that came before it, if there is room."""
        if len(self._waiting) >= self._bound:
            _discard(observation)
            self._count_drop()
            return
        self._waiting.append(observation)
        if not self._working:
            self._working = True
            self._spawn(self._work())

    async def _work(self) -> None:
        try:
            while self._waiting:
                await self._finish(self._waiting.popleft())
        finally:
            self._working = False
            while self._waiting:
                _discard(self._waiting.popleft())

    async def _finish(self, observation: Awaitable[Any]) -> None:
        try:
            await observation
        except STOPS_THE_PROCESS:
            raise
        except BaseException as error:
            if being_cancelled():
                raise
            self._failures.note(self._plugin, "observe", error)

    def _count_drop(self) -> None:
        self.dropped += 1
        now = asyncio.get_running_loop().time()
        if now - self._warned >= WARNING_SECONDS:
            self._warned = now
            self._log.warning(
                "observations_dropped", plugin=self._plugin, total=self.dropped
            )


def observe_with(
    failures: Failures,
    spawn: Callable[[Awaitable[None]], None],
    *,
    bound: int = MAX_WAITING,
) -> Wrap:
    """Return a transform that keeps an observer's failures and delays to itself.

    Args:
        failures: Where failures are noted.
        spawn: What runs a coroutine beside the gateway.
        bound: How many observations of one async observer may wait.
    """
    queues: dict[str, ObserverQueue] = {}

    def wrap(plugin: str, function: Function) -> Function:
        call = failures.guard(plugin, "observe", function)
        if plugin not in queues:
            queues[plugin] = ObserverQueue(plugin, failures, spawn, bound)
        queue = queues[plugin]

        def isolated(*args: Any) -> None:
            result = call(*args)
            if isinstance(result, Awaitable):
                queue.put(result)

        return isolated

    return wrap


def _discard(observation: Awaitable[Any]) -> None:
    # A coroutine that is never awaited would be warned about.
    if inspect.iscoroutine(observation):
        observation.close()
