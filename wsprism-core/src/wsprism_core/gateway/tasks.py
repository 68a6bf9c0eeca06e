"""Coroutines that run beside the gateway, held until they end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from wsprism_core.logs import EventLog

__all__ = ("Tasks", "being_cancelled")


def being_cancelled() -> bool:
    """Whether the running task itself is cancelled, and not what it awaits."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class Tasks:
    """Starts coroutines, and ends them with the gateway.

    Args:
        log: Where a failed one is noted.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        # The event loop holds tasks weakly.
        self._running: set[asyncio.Future[None]] = set()

    def spawn(self, work: Awaitable[None]) -> None:
        """Run a coroutine until it ends."""
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._ended)

    async def cancel(self) -> None:
        """Cancel what still runs and wait for it."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _ended(self, task: asyncio.Future[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("task_failed", exc=error)
