"""Up to where each user has read each room; a mark never goes back."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from wsprism_chat.kept import Kept
from wsprism_chat.log import NOTHING_READ, Mark
from wsprism_core import State

__all__ = ("MARKS_EVICTED", "Marks")

#: Counter: marks that went because there are more than `max_marks`.
MARKS_EVICTED = "chat_marks_evicted"


class Marks:
    """The marks of one tenant's users.

    Args:
        state: Where they are kept.
        tenant: The tenant's id.
        most: How many; the one that has not moved for longest goes first.
        count: Adds to a counter.
    """

    def __init__(
        self, state: State, tenant: str, most: int, count: Callable[[str], None]
    ) -> None:
        self._kept = Kept(
            state,
            f"read/{tenant}/",
            most,
            age=lambda _, value: _parse(value),
            evicted=partial(count, MARKS_EVICTED),
        )

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, room: str, user: str) -> Mark:
        """Return a user's mark in a room."""
        value = self._kept.get(f"{room}/{user}")
        return NOTHING_READ if value is None else _parse(value)

    def advance(self, room: str, user: str, mark: Mark) -> bool:
        """Move a user's mark on, and never back; return whether it moved.

        Raises:
            ProtocolError: `RESOURCE_EXHAUSTED`, so much is kept that it did not.
        """
        if mark <= self.get(room, user):
            return False
        self._kept.put(f"{room}/{user}", f"{mark.ts} {mark.seq}".encode())
        return True


def _parse(value: bytes) -> Mark:
    ts, _, seq = value.decode().partition(" ")
    return Mark(int(ts), int(seq))
