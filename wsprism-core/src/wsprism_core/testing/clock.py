"""Time that passes only when a test says so."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Final

__all__ = ("VirtualClock", "VirtualTimer")

#: Time is counted in whole nanoseconds, so that many small steps make one large one.
_NANOSECONDS: Final = 1_000_000_000
_NANOSECONDS_PER_MS: Final = 1_000_000
#: The first moment of 2026, in milliseconds since 1970.
_NEW_YEAR: Final = 1_767_225_600_000


class VirtualTimer:
    """Work put off; what waits is ordered by time, then by when it was put off."""

    __slots__ = ("order", "when", "work")

    def __init__(self, when: int, order: int, work: Callable[[], None]) -> None:
        self.when = when
        self.order = order
        self.work: Callable[[], None] | None = work

    def __lt__(self, other: VirtualTimer) -> bool:
        return (self.when, self.order) < (other.when, other.order)

    def cancel(self) -> None:
        """Forget the work."""
        self.work = None


class VirtualClock:
    """A `wsprism_core.realtime.clock.Clock` that stands still until it is moved.

    The same calls give the same order of work: by time, then by when it was put off.

    Args:
        wall_ms: What `wall_ms` says at the beginning, milliseconds since 1970.
    """

    def __init__(self, wall_ms: int = _NEW_YEAR) -> None:
        self._wall_ms = wall_ms
        self._now = 0
        self._put_off = 0
        self._timers: list[VirtualTimer] = []
        self._end_of_turn: deque[Callable[[], None]] = deque()

    # --------------------------------------------------------- what the core calls

    def now(self) -> float:
        """Return seconds since the clock was made."""
        return self._now / _NANOSECONDS

    def wall_ms(self) -> int:
        """Return milliseconds since 1970; they pass as `now` does."""
        return self._wall_ms + self._now // _NANOSECONDS_PER_MS

    def at_end_of_turn(self, work: Callable[[], None]) -> None:
        """Run `work` when the turn ends."""
        self._end_of_turn.append(work)

    def after(self, seconds: float, work: Callable[[], None]) -> VirtualTimer:
        """Run `work` once, `seconds` from now."""
        when = self._now + round(max(0.0, seconds) * _NANOSECONDS)
        self._put_off += 1
        timer = VirtualTimer(when, self._put_off, work)
        heappush(self._timers, timer)
        return timer

    # --------------------------------------------------------- what moves it

    @property
    def timers(self) -> int:
        """How many timers are set and have neither run nor been cancelled."""
        return sum(timer.work is not None for timer in self._timers)

    def run_turn(self) -> bool:
        """End the turn; what this puts off to the end of a turn waits for the next.

        Returns:
            Whether there was anything to do.
        """
        count = len(self._end_of_turn)
        for _ in range(count):
            self._end_of_turn.popleft()()
        return count > 0

    def settle(self) -> bool:
        """End turns and run what is due, without time passing, until nothing is left.

        Returns:
            Whether there was anything to do.
        """
        moved = False
        while self.run_turn() or self._run_due(self._now):
            moved = True
        return moved

    def step(self, seconds: float) -> float:
        """Move to the next timer that is at most `seconds` away, and run what is due.

        Where there is none, all of `seconds` passes.

        Returns:
            How many of the `seconds` are left.
        """
        until = self._now + round(seconds * _NANOSECONDS)
        self._drop_cancelled()
        if not self._timers or self._timers[0].when > until:
            self._now = until
            return 0.0
        self._now = max(self._now, self._timers[0].when)
        self._run_due(self._now)
        return (until - self._now) / _NANOSECONDS

    def advance(self, seconds: float) -> None:
        """Let time pass: every timer runs at its time, and after each the turn ends."""
        self.settle()
        left = seconds
        while left > 0:
            left = self.step(left)
            self.settle()

    def _run_due(self, until: int) -> bool:
        """Run the timers that are due already, but not those that they set."""
        newest, ran = self._put_off, False
        self._drop_cancelled()
        while (
            self._timers
            and self._timers[0].when <= until
            and self._timers[0].order <= newest
        ):
            work = heappop(self._timers).work
            if work is not None:
                ran = True
                work()
            self._drop_cancelled()
        return ran

    def _drop_cancelled(self) -> None:
        while self._timers and self._timers[0].work is None:
            heappop(self._timers)
