"""History in memory: it is as good as the process, and costs nothing else."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice

from wsprism_core.history.port import KeptMessage, NewMessage, Remembered, Retention
from wsprism_core.history.retention import RetentionWindow, as_json

__all__ = ("MemoryHistory", "MemoryStore")


class MemoryStore:
    """Keeps rooms in memory while they are open.

    Args:
        new_epoch: Returns a string that no room has had as its epoch.
        retention: How much of a room is kept, by tenant and name.
    """

    name = "memory"
    durable = False
    waiting = 0

    def __init__(
        self,
        new_epoch: Callable[[], str],
        retention: Callable[[str, str], Retention],
    ) -> None:
        self._new_epoch = new_epoch
        self._retention = retention

    async def start(self) -> None:
        """Do nothing: memory is there."""

    async def stop(self) -> None:
        """Do nothing: memory needs no goodbye."""

    def open(self, tenant: str, room: str) -> MemoryHistory:
        """Begin a room."""
        return MemoryHistory(self._new_epoch(), self._retention(tenant, room))


class MemoryHistory:
    """The last messages of one room.

    Args:
        epoch: The room's epoch.
        retention: How much is kept.
    """

    __slots__ = ("_kept", "_window", "epoch", "numbers", "seq")

    def __init__(self, epoch: str, retention: Retention) -> None:
        self.epoch = epoch
        self.seq = 0
        self.numbers = 0
        self._kept: deque[KeptMessage] = deque()
        self._window = RetentionWindow(retention)

    @property
    def oldest(self) -> int:
        """The number of the oldest message kept."""
        return self._kept[0].seq if self._kept else self.seq + 1

    def append(self, message: NewMessage, stored: Callable[[int | None], None]) -> None:
        """Keep a message; its number is told at once."""
        size = len(as_json(message.data))
        self.seq += 1
        kept = self._kept
        kept.append(
            KeptMessage(self.seq, message.ts, message.svc, message.type, message.data)
        )
        for _ in range(self._window.add(size, message.ts)):
            kept.popleft()
        stored(self.seq)

    def read(
        self, *, before: int | None = None, after: int | None = None, limit: int
    ) -> Sequence[KeptMessage]:
        """Return kept messages, oldest first."""
        kept, head = self._kept, self.seq
        # Numbers have no gaps, so that they tell the places.
        start = 0 if after is None else max(0, len(kept) - (head - after))
        end = len(kept)
        if before is not None:
            end = max(0, min(end, len(kept) - (head - before + 1)))
        if after is not None:
            end = min(end, start + limit)
        else:
            start = max(start, end - limit)
        return list(islice(kept, start, max(start, end)))

    def forget(self) -> None:
        """Keep no message any more of those until now."""
        self._kept.clear()
        self._window.clear()

    def size_since(self, after: int) -> int:
        """Return how many bytes later messages take."""
        return self._window.newest(self.seq - after)

    def receipts(self) -> Sequence[Remembered]:
        """Return nothing: a room that is opened has no past."""
        return ()

    def note_numbers(self, n: int) -> None:
        """Note that member numbers up to `n` have been given."""
        self.numbers = max(self.numbers, n)

    def close(self) -> None:
        """Do nothing: who lets go of the object lets go of the room."""
