"""The backplane within one process: for one gateway, and for tests of several."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from wsprism_core.backplane.receipts import Receipts
from wsprism_core.history.port import DedupKey, HistoryStore, NewMessage, RoomHistory
from wsprism_core.realtime.channel import (
    Publication,
    Receipt,
    Subscriber,
    TextPublication,
)
from wsprism_core.realtime.clock import Clock

__all__ = ("MemoryBackplane", "MemoryChannel")

#: Rooms of one tenant without members that are held on to where the store is durable,
#: so that coming back to one does not read it again.
RESTING: Final = 64
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
        dedup_window: Ids remembered of each publisher, per room.
        quiet_ms: For how long after a publisher's last id its ids are kept at least,
            however many the others have.
        idle_rooms: Rooms of one tenant without members that are kept for their history;
            beyond it the one that has been empty longest is forgotten, and begins with
            a new epoch. Where the store is durable there are `RESTING` at the most,
            and what is forgotten is read again.
    """

    name = "memory"

    def __init__(
        self,
        clock: Clock,
        store: HistoryStore,
        *,
        dedup_window: int = 1000,
        quiet_ms: int = 30_000,
        idle_rooms: int = 1000,
    ) -> None:
        self._clock = clock
        self._store = store
        self._dedup_window = dedup_window
        self._quiet_ms = quiet_ms
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
                quiet_ms=self._quiet_ms,
                durable=self._store.durable,
            )
        if tenant in self._idle:
            self._idle[tenant].pop(key, None)
        return MemoryChannel(self, shared, subscriber, self._clock)

    def rest(self, shared: _SharedRoom) -> None:
        """Keep a room that lost its last member, or forget it where it has no past."""
        if shared.history.oldest > shared.history.seq:
            self._forget(shared.key)
            return
        most = min(self._idle_rooms, RESTING) if shared.durable else self._idle_rooms
        idle = self._idle.setdefault(shared.key[0], OrderedDict())
        idle[shared.key] = None
        if len(idle) > most:
            oldest, _ = idle.popitem(last=False)
            self._forget(oldest)

    def _forget(self, key: tuple[str, str]) -> None:
        self._rooms.pop(key).history.close()


class _SharedRoom:
    """What all gateways share of a room."""

    def __init__(
        self,
        key: tuple[str, str],
        history: RoomHistory,
        dedup_window: int,
        quiet_ms: int,
        *,
        durable: bool,
    ) -> None:
        self.key = key
        self.history = history
        self.durable = durable
        self.numbers = history.numbers
        self.members: dict[int, str] = {}
        self.subscribers: list[Subscriber] = []
        self._dedup = (dedup_window, quiet_ms)
        self._receipts: Receipts | None = None
        # How many messages are on their way to the store, and who is told what becomes
        # of one. Until they are there the room stays: who comes meanwhile gets them.
        self.on_their_way = 0
        self.waiting: dict[DedupKey, list[Done]] = {}

    @property
    def receipts(self) -> Receipts:
        """What publishers' own ids have come to."""
        receipts = self._receipts
        if receipts is None:
            # Nobody has asked until now: coming and going alone reads nothing.
            receipts = self._receipts = Receipts(*self._dedup)
            for one in self.history.receipts():
                receipts.add(one.dedup, Receipt(one.seq, one.ts, one.ack), one.ts)
        return receipts


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
        if dedup is not None and self.repeats(dedup, done):
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
            ts = message.ts
            receipt = Receipt(shared.history.seq + 1, ts, publication.ack)
            self._deliver(publication, receipt)
            shared.history.append(message, _already_known)
        else:
            ack = publication.ack
            ts = 0 if dedup is None else self._clock.wall_ms()
            receipt = NOTHING if ack is None else Receipt(ack=ack)
            self._deliver(publication, receipt)
        if dedup is not None:
            shared.receipts.add(dedup, receipt, ts)
        if done is not None:
            done(receipt)

    def repeats(self, dedup: DedupKey, done: Done | None = None) -> bool:
        """Whether an id was published with; `done` hears what became of that."""
        shared = self._shared
        receipt = shared.receipts.get(dedup)
        if receipt is not None:
            if done is not None:
                done(receipt)
            return True
        followers = shared.waiting.get(dedup)
        if followers is None:
            return False
        if done is not None:
            followers.append(done)
        return True

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
                    shared.receipts.add(dedup, receipt, message.ts)
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

    def size_since(self, after: int) -> int:
        """Return how many bytes later messages take."""
        return self._shared.history.size_since(after)

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
