"""The event loop as the core's clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from wsprism_core.realtime.clock import Timer

__all__ = ("LoopClock",)


class LoopClock:
    """Time and put-off work from the running event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def now(self) -> float:
        """Return seconds on a clock that never goes back."""
        return self._loop.time()

    def wall_ms(self) -> int:
        """Return milliseconds since 1970."""
        return time.time_ns() // 1_000_000

    def at_end_of_turn(self, work: Callable[[], None]) -> None:
        """Run `work` once everything that is ready now has been handled."""
        self._loop.call_soon(work)

    def after(self, seconds: float, work: Callable[[], None]) -> Timer:
        """Run `work` once, `seconds` from now or a little later."""
        return self._loop.call_later(seconds, work)
