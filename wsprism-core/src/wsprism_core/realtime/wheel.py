"""One timer for many deadlines: a hashed timing wheel.

Deadlines of connections are many, coarse, and nearly always put off before they come:
pings, pongs, idleness, handshakes, closes, writes. On a wheel each costs an entry in a
dictionary, and the event loop has one timer in all (Varghese and Lauck, "Hashed and
Hierarchical Timing Wheels", 1987, scheme 6).

The wheel turns one slot at a time and never makes up for lost time: where the event
loop was blocked for a while, every deadline comes that much later. So no connection is
closed for what the gateway itself could not hear.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from wsprism_core.realtime.clock import Clock, Timer

__all__ = ("Deadline", "Wheel")

#: Slots of a wheel; what lies further ahead goes round more than once.
SLOTS: Final = 256


def _nothing() -> None:
    """Do nothing."""


class Deadline:
    """Work put off on a wheel; a `Timer`."""

    __slots__ = ("rounds", "slot", "work")

    def __init__(
        self, slot: dict[Deadline, None], rounds: int, work: Callable[[], None]
    ) -> None:
        self.slot: dict[Deadline, None] | None = slot
        self.rounds = rounds
        self.work = work

    def cancel(self) -> None:
        """Forget the work; after it ran this is harmless."""
        slot, self.slot = self.slot, None
        if slot is not None:
            del slot[self]
        # Whoever keeps the deadline is often whom the work belongs to: a cycle.
        self.work = _nothing


class Wheel:
    """Deadlines that come to the nearest tick after they are due.

    Args:
        clock: Time; the wheel keeps one timer on it while it turns.
        tick: Seconds from one slot to the next.

    Attributes:
        ticks: How often it has turned: time that stands still where the loop does.
    """

    __slots__ = ("_clock", "_slots", "_timer", "tick", "ticks")

    def __init__(self, clock: Clock, tick: float) -> None:
        self.tick = tick
        self.ticks = 0
        self._clock = clock
        self._slots: list[dict[Deadline, None]] = [{} for _ in range(SLOTS)]
        self._timer: Timer | None = None

    def __len__(self) -> int:
        return sum(map(len, self._slots))

    def start(self) -> None:
        """Begin to turn."""
        self._timer = self._clock.after(self.tick, self._turn)

    def stop(self) -> None:
        """Turn no more; what is put off is never done."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def after(self, seconds: float, work: Callable[[], None]) -> Deadline:
        """Run `work` once, when `seconds` have passed and at most a tick later."""
        # What is due in no whole number of ticks is due at the next one.
        due = max(1, math.ceil(seconds / self.tick - 1e-9))
        slot = self._slots[(self.ticks + due) % SLOTS]
        deadline = Deadline(slot, (due - 1) // SLOTS, work)
        slot[deadline] = None
        return deadline

    def _turn(self) -> None:
        self._timer = self._clock.after(self.tick, self._turn)
        self.ticks += 1
        due = list(self._slots[self.ticks % SLOTS])
        due.reverse()
        try:
            while due:
                deadline = due.pop()
                if deadline.slot is None:
                    # Another one of this tick has cancelled it.
                    continue
                if deadline.rounds:
                    deadline.rounds -= 1
                else:
                    work = deadline.work
                    deadline.cancel()
                    work()
        finally:
            # Where one fails that never should, the others come at the next tick.
            for late in due:
                if late.slot is not None:
                    self._put_off(late)

    def _put_off(self, deadline: Deadline) -> None:
        assert deadline.slot is not None
        del deadline.slot[deadline]
        deadline.slot = self._slots[(self.ticks + 1) % SLOTS]
        deadline.slot[deadline] = None
