"""Chance of which the core's part repeats."""

from __future__ import annotations

from random import Random, SystemRandom

from wsprism_core.recording.clock import TurnClock

__all__ = ("CoreChance",)


class CoreChance(Random):
    """Draws from one source inside of the core, and from the system outside of it.

    What runs outside is not run again, so it must not move the numbers on.

    Args:
        clock: Knows whether the core runs.
        source: What the core draws from.
    """

    def __init__(self, clock: TurnClock, source: Random) -> None:
        self._clock = clock
        self._source = source
        self._system = SystemRandom()
        super().__init__()

    def random(self) -> float:
        """Return a number from 0 up to 1."""
        return self._now().random()

    def getrandbits(self, k: int, /) -> int:
        """Return an integer of `k` bits."""
        return self._now().getrandbits(k)

    def _now(self) -> Random:
        return self._source if self._clock.inside else self._system
