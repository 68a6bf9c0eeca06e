"""Serial numbers of 32 bits, which wrap around (RFC 1982)."""

from __future__ import annotations

from typing import Final

__all__ = ("HALF_RANGE", "is_newer")

#: Numbers further apart than this have wrapped.
HALF_RANGE: Final = 1 << 31
_MASK: Final = (1 << 32) - 1


def is_newer(seq: int, than: int) -> bool:
    """Whether a 32-bit number comes after another, across the wrap.

    Numbers exactly half the range apart have no order; neither is newer.
    """
    return 0 < (seq - than) & _MASK < HALF_RANGE
