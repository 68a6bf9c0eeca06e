"""The backplane within one process: for one gateway, and for tests of several."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from wsprism_core.realtime.channel import (
    Publication,
    Receipt,
    Subscriber,
    TextPublication,
)
from wsprism_core.realtime.clock import Clock

__all__ = ("MemoryBackplane", "MemoryChannel")

#: What became of a publication of which nothing need be said.
NOTHING: Final = Receipt()


class MemoryBackplane:
    """Rooms in memory, with the last messages of each.

    Args:
        clock: Time.
        new_epoch: Returns a string that no room has had as its epoch.
        history_size: Recoverable messages kept per room.
        dedup_window: Publishers' ids remembered per room.
        idle_rooms: Rooms of one tenant without members that are kept for their
            history; beyond it the one that has been empty longest is forgotten, and
            begins with a new epoch.
    """

    name = "memory"

    def __init__(
        self,
        clock: Clock,
        new_epoch: Callable[[], str],
        *,
        history_size: int = 100,
        dedup_window: int = 1000,
        idle_rooms: int = 1000,
    ) -> None:
        self._clock = clock
        self._new_epoch = new_epoch
        self._history_size = history_size
        self._dedup_window = dedup_window
        self._idle_rooms = idle_rooms
        self._rooms: dict[tuple[str, str], _SharedRoom] = {}
        # By tenant: nobody's rooms are forgotten for what another tenant does.
        self._idle: dict[str, OrderedDict[tuple[str, str], None]] = {}

    async def start(self) -> None:
        """Do nothing: memory is there."""

    async def stop(self) -> None:
        """Do nothing: memory needs no goodbye."""

    def open(self, tenant: str, room: str, subscriber: Subscriber) -> MemoryChannel:
        """Take hold of a room."""
        key = (tenant, room)
        shared = self._rooms.get(key)
        if shared is None:
            shared = self._rooms[key] = _SharedRoom(
                key,
                self._new_epoch(),
                history=deque(maxlen=self._history_size),
                dedup_window=self._dedup_window,
            )
        if tenant in self._idle:
            self._idle[tenant].pop(key, None)
        return MemoryChannel(self, shared, subscriber, self._clock)

    def rest(self, shared: _SharedRoom) -> None:
        """Keep a room that lost its last member, or forget it where it has no past."""
        if not shared.history:
            del self._rooms[shared.key]
            return
        idle = self._idle.setdefault(shared.key[0], OrderedDict())
        idle[shared.key] = None
        if len(idle) > self._idle_rooms:
            oldest, _ = idle.popitem(last=False)
            del self._rooms[oldest]


@dataclass(slots=True)
class _Kept:
    """A recoverable message that a room remembers."""

    seq: int
    ts: int
    svc: str
    type: str
    data: Any

    def envelope(self, room: str) -> dict[str, Any]:
        """Return it as `Gateway.history` does."""
        return {
            "svc": self.svc,
            "type": self.type,
            "room": room,
            "seq": self.seq,
            "ts": self.ts,
            "data": self.data,
        }


class _SharedRoom:
    """What all gateways share of a room."""

    def __init__(
        self,
        key: tuple[str, str],
        epoch: str,
        history: deque[_Kept],
        dedup_window: int,
    ) -> None:
        self.key = key
        self.epoch = epoch
        self.seq = 0
        self.numbers = 0
        self.members: dict[int, str] = {}
        self.subscribers: list[Subscriber] = []
        self.history = history
        self.dedup_window = dedup_window
        self.receipts: OrderedDict[tuple[str, str], Receipt] = OrderedDict()


class MemoryChannel:
    """One gateway's hold on a room in memory."""

    def __init__(
        self,
        backplane: MemoryBackplane,
        shared: _SharedRoom,
        subscriber: Subscriber,
        clock: Clock,
    ) -> None:
        self._backplane = backplane
        self._shared = shared
        self._subscriber = subscriber
        self._clock = clock
        shared.subscribers.append(subscriber)

    @property
    def epoch(self) -> str:
        """The room's epoch."""
        return self._shared.epoch

    @property
    def seq(self) -> int:
        """The number of the newest recoverable message."""
        return self._shared.seq

    @property
    def oldest(self) -> int:
        """The number of the oldest message kept."""
        history = self._shared.history
        return history[0].seq if history else self._shared.seq + 1

    def publish(
        self, publication: Publication, done: Callable[[Receipt], None] | None = None
    ) -> None:
        """Send a publication to every gateway of the room."""
        shared = self._shared
        receipt = NOTHING
        if isinstance(publication, TextPublication):
            dedup = publication.dedup
            if dedup is not None and dedup in shared.receipts:
                if done is not None:
                    done(shared.receipts[dedup])
                return
            if publication.recoverable:
                receipt = Receipt(
                    shared.seq + 1, self._clock.wall_ms(), publication.ack
                )
            elif publication.ack is not None:
                receipt = Receipt(ack=publication.ack)
        # Our own gateway comes first: what cannot be encoded fails before anything has
        # changed.
        own = self._subscriber
        own.published(publication, receipt)
        for subscriber in shared.subscribers:
            if subscriber is not own:
                subscriber.published(publication, receipt)
        if isinstance(publication, TextPublication):
            self._keep(publication, receipt)
        if done is not None:
            done(receipt)

    def enter(self, user: str) -> int:
        """Add a member."""
        shared = self._shared
        shared.numbers += 1
        shared.members[shared.numbers] = user
        for subscriber in shared.subscribers:
            subscriber.entered(shared.numbers, user)
        return shared.numbers

    def exit(self, n: int) -> None:
        """Remove a member."""
        shared = self._shared
        del shared.members[n]
        for subscriber in shared.subscribers:
            subscriber.exited(n)

    def members(self) -> Mapping[int, str]:
        """Return every member's user by number."""
        return self._shared.members

    def history(
        self, *, before: int | None, after: int | None, limit: int
    ) -> Sequence[Mapping[str, Any]]:
        """Return kept recoverable messages, oldest first."""
        kept, head = self._shared.history, self._shared.seq
        # Numbers have no gaps, so that they tell the places.
        start = 0 if after is None else max(0, len(kept) - (head - after))
        end = len(kept)
        if before is not None:
            end = max(0, min(end, len(kept) - (head - before + 1)))
        if after is not None:
            end = min(end, start + limit)
        else:
            start = max(start, end - limit)
        room = self._shared.key[1]
        return [one.envelope(room) for one in islice(kept, start, max(start, end))]

    def close(self) -> None:
        """Let go of the room."""
        self._shared.subscribers.remove(self._subscriber)
        if not self._shared.subscribers:
            self._backplane.rest(self._shared)

    def _keep(self, publication: TextPublication, receipt: Receipt) -> None:
        """Remember a publication that was delivered."""
        shared = self._shared
        if publication.recoverable:
            assert receipt.seq is not None
            assert receipt.ts is not None
            shared.seq = receipt.seq
            shared.history.append(
                _Kept(
                    receipt.seq,
                    receipt.ts,
                    publication.svc,
                    publication.type,
                    publication.data,
                )
            )
        if publication.dedup is not None:
            shared.receipts[publication.dedup] = receipt
            if len(shared.receipts) > shared.dedup_window:
                shared.receipts.popitem(last=False)
