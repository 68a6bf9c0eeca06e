"""A durable store whose disk is as slow as a test wants it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import count

from wsprism_core.history.memory import MemoryHistory, MemoryStore
from wsprism_core.history.port import NewMessage, Retention, StoreFull

__all__ = ("LateHistory", "LateStore")


class LateStore(MemoryStore):
    """Keeps nothing until `commit` or `fail` is called.

    Attributes:
        pending: What those will tell, oldest first.
        is_full: Whether no more is taken.
    """

    durable = True

    def __init__(self) -> None:
        epochs = count()
        super().__init__(lambda: f"e{next(epochs)}", lambda tenant, room: Retention())
        self.pending: deque[Callable[[bool], None]] = deque()
        self.is_full = False
        self._rooms: dict[tuple[str, str], LateHistory] = {}

    def open(self, tenant: str, room: str) -> LateHistory:
        """Take hold of a room, with what it holds from before."""
        key = (tenant, room)
        if key not in self._rooms:
            self._rooms[key] = LateHistory(self, self._new_epoch())
        return self._rooms[key]

    def commit(self) -> None:
        """Store what waits."""
        while self.pending:
            self.pending.popleft()(True)

    def fail(self) -> None:
        """Store nothing of what waits."""
        while self.pending:
            self.pending.popleft()(False)


class LateHistory(MemoryHistory):
    """What a `LateStore` keeps of one room."""

    __slots__ = ("_store", "is_closed")

    def __init__(self, store: LateStore, epoch: str) -> None:
        super().__init__(epoch, Retention())
        self._store = store
        self.is_closed = False

    def append(self, message: NewMessage, stored: Callable[[int | None], None]) -> None:
        """Have a message wait."""
        if self._store.is_full:
            raise StoreFull

        def end(kept: bool) -> None:
            if kept:
                MemoryHistory.append(self, message, stored)
            else:
                stored(None)

        self._store.pending.append(end)

    def close(self) -> None:
        """Note that the room was let go of."""
        self.is_closed = True
