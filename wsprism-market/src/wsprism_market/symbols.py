"""Names of symbols, and patterns that match them."""

from __future__ import annotations

import re
from typing import Final

__all__ = ("MAX_NAME_LENGTH", "MAX_WILDCARDS", "WILDCARD", "Pattern", "is_symbol")

#: Characters of a symbol or a pattern.
MAX_NAME_LENGTH: Final = 64
#: Matches any run of characters, an empty one too, across dots and dashes.
WILDCARD: Final = "*"
#: Of these in one pattern, which keeps matching many symbols short.
MAX_WILDCARDS: Final = 3

# A room's name holds a symbol, so it uses no character that a room's may not.
_SYMBOL: Final = re.compile(rf"[A-Za-z0-9_.:@-]{{1,{MAX_NAME_LENGTH}}}\Z")


def is_symbol(name: str) -> bool:
    """Whether a name may be a symbol's: `[A-Za-z0-9_.:@-]`, at most 64 characters."""
    return _SYMBOL.match(name) is not None


class Pattern:
    """Symbols named by a part of their name, such as `ETH-*` or `*-USD`.

    Matching never goes back over a symbol: the pattern is a client's choice, and a
    regular expression with a few wildcards would.

    Args:
        text: Characters of a symbol and one to three `*`, at most 64 together.

    Raises:
        ValueError: It is no pattern.
    """

    __slots__ = ("_head", "_middle", "_tail", "_tightest")

    def __init__(self, text: str) -> None:
        head, *rest = text.split(WILDCARD)
        if not 1 <= len(rest) <= MAX_WILDCARDS or len(text) > MAX_NAME_LENGTH:
            raise ValueError(f"{text!r} is no pattern")
        *middle, tail = rest
        pieces = [piece for piece in (head, *middle, tail) if piece]
        if not all(map(is_symbol, pieces)):
            raise ValueError(f"{text!r} is no pattern")
        self._head = head
        self._middle = tuple(piece for piece in middle if piece)
        self._tail = tail
        # The shortest symbol that could match; also keeps head and tail apart.
        self._tightest = sum(map(len, pieces))

    def matches(self, symbol: str) -> bool:
        """Whether the whole symbol matches."""
        if len(symbol) < self._tightest:
            return False
        if not (symbol.startswith(self._head) and symbol.endswith(self._tail)):
            return False
        place, end = len(self._head), len(symbol) - len(self._tail)
        for piece in self._middle:
            found = symbol.find(piece, place, end)
            if found < 0:
                return False
            place = found + len(piece)
        return True
