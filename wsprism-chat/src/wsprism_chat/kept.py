"""What is kept of the latest alone: the oldest goes where a newer one wants its place.

How far each has read, who reacted to what, what users say of themselves: of each there
may be any number, and each is bounded in the same way.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from wsprism_chat.refusals import exhausted
from wsprism_core import ProtocolError, State, StateFull

__all__ = ("Kept",)


class Kept:
    """The latest values of one kind.

    A value is read where it is kept, so that it is in memory once.

    Args:
        state: Where they are kept.
        prefix: What their keys begin with there.
        most: How many; the one that has not changed for longest goes first.
        age: Returns, for a key and its value that are found, what they are sorted by,
            the oldest first.
        evicted: Called for each that goes because there are too many, or that is not
            taken because none of them may go.
    """

    def __init__(
        self,
        state: State,
        prefix: str,
        most: int,
        *,
        age: Callable[[str, bytes], Any],
        evicted: Callable[[], None],
    ) -> None:
        self._state = state
        self._prefix = prefix
        self._most = most
        self._evicted = evicted
        found = sorted(
            (age(key.removeprefix(prefix), value), key.removeprefix(prefix))
            for key, value in state.items(prefix)
        )
        #: Those that may go, the oldest first.
        self._order = OrderedDict.fromkeys(key for _, key in found)
        self._staying: set[str] = set()
        # The bound may have been larger when they were written.
        while len(self._order) > most:
            oldest, _ = self._order.popitem(last=False)
            self._state.delete(prefix + oldest)
            evicted()

    def __len__(self) -> int:
        return len(self._order) + len(self._staying)

    def __contains__(self, key: str) -> bool:
        return key in self._order or key in self._staying

    def get(self, key: str) -> bytes | None:
        """Return a value; None where none is kept."""
        return self._state.get(self._prefix + key)

    def put(self, key: str, value: bytes, *, stays: bool = False) -> str | None:
        """Keep a value, as the newest; return the key that went for it, if one did.

        Args:
            key: Its key.
            value: The value.
            stays: Whether it may not go until it is put again.

        Raises:
            ProtocolError: `RESOURCE_EXHAUSTED`, no more can be kept; nothing has
                changed.
        """
        gone, before = None, None
        if key not in self and len(self) >= self._most:
            if not self._order:
                self._evicted()
                raise _full()
            gone = next(iter(self._order))
            before = self.get(gone)
            # First, for the state may have room for one of the two.
            self._state.delete(self._prefix + gone)
        try:
            self._state.put(self._prefix + key, value)
        except StateFull:
            if gone is not None and before is not None:
                self._state.put(self._prefix + gone, before)
            raise _full() from None
        if gone is not None:
            del self._order[gone]
            self._evicted()
        self._forget(key)
        if stays:
            self._staying.add(key)
        else:
            self._order[key] = None
        return gone

    def drop(self, key: str) -> None:
        """Keep a value no longer; nothing happens where there is none."""
        if key in self:
            self._forget(key)
            self._state.delete(self._prefix + key)

    def _forget(self, key: str) -> None:
        self._order.pop(key, None)
        self._staying.discard(key)


def _full() -> ProtocolError:
    return exhausted("no more can be kept; nothing was changed")
