"""Time in turns: it stands still while a turn lasts, in the recording and the replay.

A turn is what the event loop handles at once: it begins with the first input, runs the
timers that are due, and ends with the flush. Everything in it happens at its beginning.
So a recording needs only the times of the turns, and the timers follow by themselves.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Final

from wsprism_core.logs import EventLog
from wsprism_core.realtime.clock import Timer

__all__ = ("NANOSECONDS", "LiveTurnClock", "TurnClock")

#: Time is counted in whole nanoseconds since the clock was made.
NANOSECONDS: Final = 1_000_000_000

_log = EventLog("recording")


class _TurnTimer:
    """Work put off; what waits is ordered by time, then by when it was put off."""

    __slots__ = ("order", "when", "work")

    def __init__(
        self, when: int = 0, order: int = 0, work: Callable[[], None] | None = None
    ) -> None:
        self.when = when
        self.order = order
        self.work = work

    def __lt__(self, other: _TurnTimer) -> bool:
        return (self.when, self.order) < (other.when, other.order)

    def cancel(self) -> None:
        self.work = None


class TurnClock:
    """A `wsprism_core.realtime.clock.Clock` that is told when its turns begin and end.

    It is made within a first turn, in which plugins start.

    Args:
        wall_ms: Milliseconds since 1970.

    Attributes:
        inside: Whether the core runs, and not something outside of it.
        is_open: Whether a turn is under way.
        now_ns: Nanoseconds at which the turn began.
    """

    def __init__(self, wall_ms: int) -> None:
        self.inside = True
        self.is_open = True
        self.now_ns = 0
        self._wall_ms = wall_ms
        self._put_off = 0
        self._timers: list[_TurnTimer] = []
        self._end_of_turn: deque[Callable[[], None]] = deque()

    def now(self) -> float:
        """Return seconds since the clock was made."""
        return self.now_ns / NANOSECONDS

    def wall_ms(self) -> int:
        """Return milliseconds since 1970."""
        return self._wall_ms

    def at_end_of_turn(self, work: Callable[[], None]) -> None:
        """Run `work` when the turn ends."""
        self._end_of_turn.append(work)

    def after(self, seconds: float, work: Callable[[], None]) -> Timer:
        """Run `work` once, in the first turn that begins `seconds` from now.

        What is put off from outside of the core does not run: what it did is recorded.
        """
        if not self.inside:
            return _TurnTimer()
        self._put_off += 1
        when = self.now_ns + round(max(0.0, seconds) * NANOSECONDS)
        timer = _TurnTimer(when, self._put_off, work)
        heappush(self._timers, timer)
        return timer

    def started(self) -> None:
        """End the first turn, in which the plugins have started."""
        self.inside = False
        self.end()

    def begin(self, now_ns: int, wall_ms: int) -> None:
        """Begin a turn: run the timers that are due, but not those that they set."""
        self.is_open = True
        self.now_ns, self._wall_ms = now_ns, wall_ms
        newest = self._put_off
        while (timer := self._next_timer()) and timer.when <= now_ns:
            if timer.order > newest:
                break
            heappop(self._timers)
            if timer.work is not None:
                self.run(timer.work)

    def end(self) -> None:
        """End the turn; what this puts off to the end of a turn waits for the next."""
        for _ in range(len(self._end_of_turn)):
            self.run(self._end_of_turn.popleft())
        self.is_open = False

    def run(self, work: Callable[[], None]) -> None:
        """Run a part of the core; what it raises goes no further."""
        was, self.inside = self.inside, True
        try:
            work()
        except Exception as error:
            _log.error("turn_failed", exc=error)
        finally:
            self.inside = was

    def _next_timer(self) -> _TurnTimer | None:
        while self._timers and self._timers[0].work is None:
            heappop(self._timers)
        return self._timers[0] if self._timers else None


class LiveTurnClock(TurnClock):
    """The turns of an event loop, as they come.

    Args:
        loop: The running event loop.
        begun: Called as a turn begins, before anything happens in it.
        ended: Called when it has ended.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        begun: Callable[[], None],
        ended: Callable[[], None],
    ) -> None:
        super().__init__(_system_ms())
        self._loop = loop
        self._begun = begun
        self._ended = ended
        self._epoch_ns = time.monotonic_ns()
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = 0
        self._stopped = False

    def now(self) -> float:
        """Return seconds since the clock was made; between turns they pass."""
        return (self.now_ns if self.is_open else self._real_ns()) / NANOSECONDS

    def wall_ms(self) -> int:
        """Return milliseconds since 1970; between turns they pass."""
        return self._wall_ms if self.is_open else _system_ms()

    def at_end_of_turn(self, work: Callable[[], None]) -> None:
        """Run `work` when the turn ends."""
        super().at_end_of_turn(work)
        self.open()

    def after(self, seconds: float, work: Callable[[], None]) -> Timer:
        """Run `work` once, `seconds` from now or a little later.

        What is put off from outside of the core runs outside of it.
        """
        if not self.inside:
            return self._loop.call_later(seconds, work)
        return super().after(seconds, work)

    def started(self) -> None:
        """End the first turn, in which the plugins have started."""
        super().started()
        self._go_on()

    def stop(self) -> None:
        """Begin no turn for timers any more."""
        self._stopped = True
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def open(self) -> None:
        """Begin a turn, unless one is under way."""
        if self.is_open:
            return
        self.is_open = True
        self.now_ns, self._wall_ms = self._real_ns(), _system_ms()
        self._loop.call_soon(self._end)
        self._begun()
        self.begin(self.now_ns, self._wall_ms)

    def enter(self) -> bool:
        """Go into the core, in a turn; return what `leave` wants."""
        if not self.is_open:
            self.open()
        was, self.inside = self.inside, True
        return was

    def leave(self, was: bool) -> None:
        """Come out of the core."""
        self.inside = was

    def _end(self) -> None:
        self.end()
        self._ended()
        self._go_on()

    def _go_on(self) -> None:
        """See to it that the next turn begins, now or when the next timer is due."""
        if self._end_of_turn:
            self.open()
            return
        timer = self._next_timer()
        if timer is None or self._stopped:
            return
        if self._alarm is not None:
            if self._alarm_at <= timer.when:
                return
            self._alarm.cancel()
        self._alarm_at = timer.when
        wait = (timer.when - self._real_ns()) / NANOSECONDS
        self._alarm = self._loop.call_later(max(0.0, wait), self._ring)

    def _ring(self) -> None:
        self._alarm = None
        timer = self._next_timer()
        # An event loop may be early by the grain of its clock.
        if timer is not None and timer.when <= self._real_ns():
            self.open()
        elif not self.is_open:
            self._go_on()

    def _real_ns(self) -> int:
        return time.monotonic_ns() - self._epoch_ns


def _system_ms() -> int:
    return time.time_ns() // 1_000_000
