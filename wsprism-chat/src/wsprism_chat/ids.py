"""Ids for messages: short, unique, and sorted as text in the order of issue."""

from __future__ import annotations

import base64
from collections.abc import Callable
from random import Random
from typing import Final

__all__ = ("ID_LENGTH", "MessageIds")

#: Characters of an id: 80 bits in base32.
ID_LENGTH: Final = 16

_RANDOM_BITS: Final = 35


class MessageIds:
    """Issues ids of 80 bits: 45 of milliseconds since 1970, then 35 random ones.

    Each id is larger than the one before, also within one millisecond and when the
    clock goes back; the random bits keep apart what several gateways issue at once.
    An id is written in the base32 whose alphabet is in order (RFC 4648 section 7), in
    lower case.

    Args:
        wall_ms: Returns milliseconds since 1970.
        random: Where the random bits come from; a seeded one issues the same ids again.
    """

    def __init__(self, wall_ms: Callable[[], int], random: Random) -> None:
        self._wall_ms = wall_ms
        self._random = random
        self._last = 0

    def next(self) -> str:
        """Return a new id."""
        fresh = self._wall_ms() << _RANDOM_BITS | self._random.getrandbits(_RANDOM_BITS)
        self._last = max(fresh, self._last + 1)
        return base64.b32hexencode(self._last.to_bytes(10, "big")).decode().lower()
