"""The port through which the core knows time and puts off work.

Nothing in `protocol` and `realtime` reads a clock or knows an event loop: they are
given one of these. The gateway gives them the event loop's, tests and the simulator a
virtual one, and the same inputs at the same times then give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

__all__ = ("Clock", "Timer")


class Timer(Protocol):
    """Work put off; `cancel` after it ran is harmless."""

    def cancel(self) -> None:
        """Forget the work."""


class Clock(Protocol):
    """Time, and work for later."""

    def now(self) -> float:
        """Return seconds on a clock that never goes back."""

    def wall_ms(self) -> int:
        """Return milliseconds since 1970, for people and for `ts`."""

    def at_end_of_turn(self, work: Callable[[], None]) -> None:
        """Run `work` once everything that is ready now has been handled."""

    def after(self, seconds: float, work: Callable[[], None]) -> Timer:
        """Run `work` once, `seconds` from now or a little later."""
