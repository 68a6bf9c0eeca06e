"""The backplane within one process: for one gateway, and for tests of several."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from wsprism_core.history.port import HistoryStore, NewMessage, RoomHistory
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
#: What became of one that the store could not keep; nobody got it.
NOT_STORED: Final = Receipt(stored=False)
#: Told what became of a publication.
Done: TypeAlias = Callable[[Receipt], None]


class MemoryBackplane:
    """Rooms in memory; a store keeps the recoverable messages of each.

    Args:
        clock: Time.
        store: Where messages are kept.
        dedup_window: Publishers' ids remembered per room.
        idle_rooms: Rooms of one tenant without members that are kept for their history,
            where the store is not durable; beyond it the one that has been empty
            longest is forgotten, and begins with a new epoch.
    """

    name = "memory"

    def __init__(
        self,
        clock: Clock,
        store: HistoryStore,
        *,
        dedup_window: int = 1000,
        idle_rooms: int = 1000,
    ) -> None:
        self._clock = clock
        self._store = store
        self._dedup_window = dedup_window
        self._idle_rooms = idle_rooms
        self._rooms: dict[tuple[str, str], _SharedRoom] = {}
        # By tenant: nobody's rooms are forgotten for what another tenant does.
        self._idle: dict[str, OrderedDict[tuple[str, str], None]] = {}

    async def start(self) -> None:
        """Open the store.

        Raises:
            OSError: It cannot be had.
        """
        await self._store.start()

    async def stop(self) -> None:
        """Close the store, once what waits is safe."""
        await self._store.stop()

    def open(self, tenant: str, room: str, subscriber: Subscriber) -> MemoryChannel:
        """Take hold of a room."""
        key = (tenant, room)
        shared = self._rooms.get(key)
        if shared is None:
            shared = self._rooms[key] = _SharedRoom(
                key,
                self._store.open(tenant, room),
                dedup_window=self._dedup_window,
                durable=self._store.durable,
            )
        if tenant in self._idle:
            self._idle[tenant].pop(key, None)
        return MemoryChannel(self, shared, subscriber, self._clock)

    def rest(self, shared: _SharedRoom) -> None:
        """Keep a room that lost its last member, or forget it where it has no past."""
        if shared.durable or shared.history.oldest > shared.history.seq:
            del self._rooms[shared.key]
            shared.history.close()
            return
        idle = self._idle.setdefault(shared.key[0], OrderedDict())
        idle[shared.key] = None
        if len(idle) > self._idle_rooms:
            oldest, _ = idle.popitem(last=False)
            del self._rooms[oldest]


class _SharedRoom:
    """What all gateways share of a room."""

    def __init__(
        self,
        key: tuple[str, str],
        history: RoomHistory,
        dedup_window: int,
        *,
        durable: bool,
    ) -> None:
        self.key = key
        self.history = history
        self.durable = durable
        self.numbers = history.numbers
        self.members: dict[int, str] = {}
        self.subscribers: list[Subscriber] = []
        self.dedup_window = dedup_window
        self.receipts: OrderedDict[tuple[str, str], Receipt] = OrderedDict(
            (one.dedup, Receipt(one.seq, one.ts, one.ack)) for one in history.receipts()
        )
        # How many messages are on their way to the store, and who is told what becomes
        # of one. Until they are there the room stays: who comes meanwhile gets them.
        self.on_their_way = 0
        self.waiting: dict[tuple[str, str], list[Done]] = {}

    def remember(self, dedup: tuple[str, str], receipt: Receipt) -> None:
        """Remember what a publisher's own id has come to."""
        self.receipts[dedup] = receipt
        if len(self.receipts) > self.dedup_window:
            self.receipts.popitem(last=False)


class MemoryChannel:
    """One gateway's hold on a room in memory.

    Attributes:
        durable: Whether messages are safe before they are delivered.
    """

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
        self._is_open = True
        self.durable = shared.durable
        shared.subscribers.append(subscriber)

    @property
    def epoch(self) -> str:
        """The room's epoch."""
        return self._shared.history.epoch

    @property
    def seq(self) -> int:
        """The number of the newest recoverable message."""
        return self._shared.history.seq

    @property
    def oldest(self) -> int:
        """The number of the oldest message kept."""
        return self._shared.history.oldest

    def publish(
        self, publication: Publication, done: Callable[[Receipt], None] | None = None
    ) -> None:
        """Send a publication to every gateway of the room."""
        shared = self._shared
        if not isinstance(publication, TextPublication):
            self._deliver(publication, NOTHING)
            if done is not None:
                done(NOTHING)
            return
        dedup = publication.dedup
        if dedup is not None:
            if dedup in shared.receipts:
                if done is not None:
                    done(shared.receipts[dedup])
                return
            if dedup in shared.waiting:
                if done is not None:
                    shared.waiting[dedup].append(done)
                return
        if publication.recoverable:
            message = NewMessage(
                self._clock.wall_ms(),
                publication.svc,
                publication.type,
                publication.data,
                dedup,
                publication.ack,
            )
            if shared.durable:
                self._publish_durably(publication, message, done)
                return
            receipt = Receipt(shared.history.seq + 1, message.ts, publication.ack)
            self._deliver(publication, receipt)
            shared.history.append(message, _already_known)
        else:
            ack = publication.ack
            receipt = NOTHING if ack is None else Receipt(ack=ack)
            self._deliver(publication, receipt)
        if dedup is not None:
            shared.remember(dedup, receipt)
        if done is not None:
            done(receipt)

    def _publish_durably(
        self, publication: TextPublication, message: NewMessage, done: Done | None
    ) -> None:
        """Send a publication once it is safe."""
        shared = self._shared
        # Once it is stored it is too late to find that it cannot be sent.
        self._subscriber.check(publication)
        followers = [] if done is None else [done]

        dedup = message.dedup

        def stored(seq: int | None) -> None:
            if dedup is not None:
                del shared.waiting[dedup]
            if seq is None:
                receipt = NOT_STORED
            else:
                receipt = Receipt(seq, message.ts, message.ack)
                self._deliver(publication, receipt)
                if dedup is not None:
                    shared.remember(dedup, receipt)
            for follower in followers:
                follower(receipt)
            shared.on_their_way -= 1
            self._rest()

        shared.history.append(message, stored)
        shared.on_their_way += 1
        if dedup is not None:
            shared.waiting[dedup] = followers

    def _deliver(self, publication: Publication, receipt: Receipt) -> None:
        """Tell every gateway, our own first.

        What cannot be encoded fails there, before anything has changed.
        """
        own, subscribers = self._subscriber, self._shared.subscribers
        # It may have let go of the room since it published.
        if self._is_open:
            own.published(publication, receipt)
        for subscriber in tuple(subscribers):
            if subscriber is not own:
                subscriber.published(publication, receipt)

    def enter(self, user: str) -> int:
        """Add a member."""
        shared = self._shared
        shared.numbers += 1
        shared.history.note_numbers(shared.numbers)
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
        room = self._shared.key[1]
        found = self._shared.history.read(before=before, after=after, limit=limit)
        return [one.envelope(room) for one in found]

    def forget(self) -> None:
        """Keep no recoverable message any more of those until now."""
        self._shared.history.forget()

    def close(self) -> None:
        """Let go of the room."""
        self._is_open = False
        self._shared.subscribers.remove(self._subscriber)
        self._rest()

    def _rest(self) -> None:
        """Have the room rest if that was the last that anybody wanted of it."""
        shared = self._shared
        if not shared.subscribers and not shared.on_their_way:
            self._backplane.rest(shared)


def _already_known(seq: int | None) -> None:
    """Take the number that a store in memory has given."""
