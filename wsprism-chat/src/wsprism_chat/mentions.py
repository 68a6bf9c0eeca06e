"""Whom a message is meant for: `@ann` in its text, or named beside it."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Final

__all__ = ("OUTSIDE_PER_MINUTE", "TOLD", "Retries", "tokens")

#: How often in a minute one sender's messages tell somebody outside of their room.
OUTSIDE_PER_MINUTE: Final = 30

#: Messages of which it is remembered that those mentioned were told.
TOLD: Final = 1_000
#: What ends a sentence may end a name no less; it belongs to the sentence.
_TOKEN: Final = re.compile(r"(?<![\w@])@(\w(?:[\w.:@-]*\w)?)")


def tokens(text: str, most: int) -> Iterator[Sequence[str]]:
    """Yield what a text may mean by each `@name`, the likelier first.

    A user id is whatever the ticket says, and as a rule `user:name`.

    Args:
        text: The text.
        most: How many names are looked at.
    """
    for count, found in enumerate(_TOKEN.finditer(text)):
        if count == most:
            return
        name = found[1]
        yield (name,) if ":" in name else (f"user:{name}", name)


class Retries:
    """Which messages have been seen, so that nobody is told twice of one.

    Args:
        most: How many are remembered; the oldest goes first.
    """

    def __init__(self, most: int = TOLD) -> None:
        self._most = most
        self._seen: OrderedDict[tuple[str, str, str], None] = OrderedDict()

    def is_first(self, room: str, user: str, id: str | None) -> bool:
        """Note a message by its sender's own id; return whether it is no retry."""
        if id is None:
            return True
        key = (room, user, id)
        if key in self._seen:
            return False
        self._seen[key] = None
        if len(self._seen) > self._most:
            self._seen.popitem(last=False)
        return True
