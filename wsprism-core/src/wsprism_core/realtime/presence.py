"""Presence changes, collected for a moment and told once.

A member is told what changed since it joined: not its own connection, and nobody whom
the list in its `sys.joined` held already.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

__all__ = ("PresenceBatch", "PresenceNews")


class PresenceNews(NamedTuple):
    """What one member is told."""

    joined: list[dict[str, Any]]
    left: list[dict[str, int]]

    def __bool__(self) -> bool:
        return bool(self.joined or self.left)

    def pages(self, size: int) -> Iterator[PresenceNews]:
        """Yield it in parts of at most so many changes each; none where it is empty."""
        for start in range(0, max(len(self.joined), len(self.left)), size):
            end = start + size
            yield PresenceNews(self.joined[start:end], self.left[start:end])

    def as_data(self) -> dict[str, Any]:
        """Return the `data` of `room.presence`."""
        return {"joined": self.joined, "left": self.left}


class PresenceBatch:
    """Changes of one room that its members have not been told yet.

    Every change has a place in the batch's order. A member that joined within the batch
    knows of everything before its own place from its `sys.joined`.
    """

    __slots__ = ("_joined", "_left", "_order")

    #: The place of members that were there before the batch began.
    BEFORE = -1

    def __init__(self) -> None:
        self._order = 0
        self._joined: dict[int, tuple[int, str]] = {}
        # Of each that left: the places where it joined and where it left.
        self._left: dict[int, tuple[int, int]] = {}

    def __bool__(self) -> bool:
        return self._order > 0

    @property
    def changes(self) -> int:
        """How many there are."""
        return self._order

    def enter(self, n: int, user: str) -> None:
        """Note a new member."""
        self._joined[n] = (self._order, user)
        self._order += 1

    def exit(self, n: int) -> None:
        """Note that a member is gone."""
        came, _ = self._joined.pop(n, (self.BEFORE, ""))
        self._left[n] = (came, self._order)
        self._order += 1

    def newcomers(self) -> Iterator[tuple[int, int]]:
        """Yield number and place of each member that joined within the batch."""
        for n, (place, _) in self._joined.items():
            yield n, place

    def news(self, place: int = BEFORE) -> PresenceNews:
        """Return what a member with this place in the batch's order is told."""
        return PresenceNews(
            joined=[
                {"n": n, "user": user}
                for n, (came, user) in self._joined.items()
                if came > place
            ],
            left=[
                {"n": n}
                for n, (came, went) in self._left.items()
                if went > place and came <= place
            ],
        )
