"""Ids for messages: short, unique, and sorted as text in the order of issue."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

__all__ = ("ID_LENGTH", "MessageIds")

#: Characters of an id: 80 bits in hexadecimal.
ID_LENGTH: Final = 20

_LOW_BITS: Final = 36


class MessageIds:
    """Issues ids of 80 bits: 44 of milliseconds since 1970, and 36 below.

    Each id is larger than the one before, also within one millisecond and when the
    clock goes back. The low bits are left to chance once a millisecond and counted up
    from there, so that what several gateways issue at once is kept apart.

    Args:
        wall_ms: Returns milliseconds since 1970.
        random: Where the random bits come from; a seeded one issues the same ids again.
    """

    def __init__(self, wall_ms: Callable[[], int], random: Random) -> None:
        self._wall_ms = wall_ms
        self._random = random
        self._ms = -1
        self._head = ""
        self._low = 0

    def next(self) -> str:
        """Return a new id."""
        ms = self._wall_ms()
        if ms > self._ms:
            self._ms = ms
            self._head = f"{ms:011x}"
            # The highest bit is left free, for the ids that are counted up.
            self._low = self._random.getrandbits(_LOW_BITS - 1)
        else:
            self._low += 1
        return f"{self._head}{self._low:09x}"
