"""Up to where each user has read each room; a mark never goes back."""

from __future__ import annotations

from collections import OrderedDict

from wsprism_chat.log import NOTHING_READ, Mark
from wsprism_chat.refusals import exhausted
from wsprism_core import State, StateFull

__all__ = ("Marks",)


class Marks:
    """The marks of one tenant's users.

    Args:
        state: Where they are kept.
        tenant: The tenant's id.
        most: How many; the one that has not moved for longest goes first.
    """

    def __init__(self, state: State, tenant: str, most: int) -> None:
        self._state = state
        self._prefix = f"read/{tenant}/"
        self._most = most
        found = [
            (_load(value), key.removeprefix(self._prefix))
            for key, value in state.items(self._prefix)
        ]
        self._marks = OrderedDict((key, mark) for mark, key in sorted(found))

    def __len__(self) -> int:
        return len(self._marks)

    def get(self, room: str, user: str) -> Mark:
        """Return a user's mark in a room."""
        return self._marks.get(f"{room}/{user}", NOTHING_READ)

    def advance(self, room: str, user: str, mark: Mark) -> bool:
        """Move a user's mark on, and never back; return whether it moved.

        Raises:
            ProtocolError: `RESOURCE_EXHAUSTED`, so much is kept that it did not.
        """
        key = f"{room}/{user}"
        if mark <= self._marks.get(key, NOTHING_READ):
            return False
        if key not in self._marks and len(self._marks) >= self._most:
            oldest, _ = self._marks.popitem(last=False)
            self._state.delete(self._prefix + oldest)
        try:
            self._state.put(self._prefix + key, f"{mark.ts} {mark.seq}".encode())
        except StateFull:
            raise exhausted("no more can be kept; nothing was changed") from None
        self._marks[key] = mark
        self._marks.move_to_end(key)
        return True


def _load(value: bytes) -> Mark:
    ts, _, seq = value.decode().partition(" ")
    return Mark(int(ts), int(seq))
