"""Requests of the bulk lane: one in a turn of the event loop, whoever asks."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable
from typing import Any

from wsprism_core.gateway.handlers import Start

__all__ = ("BulkTurns",)


class BulkTurns:
    """Gives each request of the bulk lane a turn of the event loop to itself.

    A page of history takes as long as ten live messages. So what is live waits for one
    page at most, however many clients ask for one at the same time.
    """

    __slots__ = ("_is_due", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_due = False

    async def run(self, start: Start) -> Any:
        """Start a handler in a turn of its own, and return what it returns in the end.

        Turns come in the order of asking.
        """
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._waiting.append(turn)
        if not self._is_due:
            self._is_due = True
            loop.call_soon(self._begin, loop)
        await turn
        result = start()
        return await result if isinstance(result, Awaitable) else result

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let the first go on who is still there."""
        waiting = self._waiting
        while waiting:
            turn = waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                break
        self._is_due = bool(waiting)
        if waiting:
            loop.call_soon(self._begin, loop)
