"""What waits for one session while its socket takes nothing.

Here the delivery classes differ. The latest replaces its elder of the same key, in
place. The volatile ring drops its oldest and says so. The reliable waits; at the lane's
bound, what waits of a recoverable room gives way to one `sys.lost` with its range,
which the client can fetch. What is pulled is computed when the socket can take it.

Lanes are served in strict order but for a floor: a lane that waits gets one message for
each 64 KiB sent above it, so that nothing starves. What was in the first lane before a
message stays before it even so: nothing of a room overtakes the answer to its join.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final, Protocol, TypeAlias

from wsprism_core.protocol.envelope import outbound
from wsprism_core.realtime.lanes import Delivery, Lane
from wsprism_core.realtime.wire import Form, Outgoing, Wire

__all__ = (
    "STARVATION_FLOOR",
    "Backlog",
    "LaneCounters",
    "Lost",
    "Pull",
    "Source",
    "Unsent",
)

#: Bytes sent above a waiting lane that earn it one message.
STARVATION_FLOOR: Final = 64 * 1024
#: What a `sys.lost` counts for in a lane, in bytes.
LOST_SIZE: Final = 160

#: Messages that were not sent, by tenant, service, lane and reason.
Unsent: TypeAlias = "Counter[tuple[str, str, str, str]]"

LATEST, VOLATILE, RELIABLE = Delivery.LATEST, Delivery.VOLATILE, Delivery.RELIABLE


class LaneCounters:
    """What happened in one lane, over all sessions; plain integers for the hot path."""

    __slots__ = ("conflated", "dropped", "lost", "messages_out", "overflowed")

    def __init__(self) -> None:
        self.messages_out = 0
        #: Replaced by a newer one of the same key.
        self.conflated = 0
        #: Volatile, gone at a bound and told by `sys.lost`.
        self.dropped = 0
        #: Reliable and recoverable, gone at a bound and told by `sys.lost`.
        self.lost = 0
        #: Sessions that had to be closed.
        self.overflowed = 0


class Source(Protocol):
    """Where what is pulled comes from: state that many sessions share."""

    def pull(self, reader: Any, budget: int) -> tuple[Sequence[Outgoing], bool]:
        """Return what a reader gets now.

        Args:
            reader: The session that pulls.
            budget: About how many bytes it may be; one message may always be.

        Returns:
            Messages in order, and whether there is more to come.
        """


class Pull:
    """A marker in a lane: ask the source when its turn comes.

    Args:
        lane: The lane's index.
        source: Whom to ask.
        key: A marker of the same source and key waits once only.
        room: The room that it concerns, so that nothing of it follows `left`.
        replay: Whether it brings what the room has kept; whoever asks for that again
            wants it no more.
    """

    __slots__ = ("key", "lane", "replay", "room", "source")

    def __init__(
        self,
        lane: int,
        source: Source,
        *,
        key: Hashable = None,
        room: object = None,
        replay: bool = False,
    ) -> None:
        self.lane = lane
        self.source = source
        self.key = key
        self.room = room
        self.replay = replay

    def is_like(self, other: Pull) -> bool:
        """Whether one of the two is enough."""
        return self.key == other.key and self.source == other.source

    def pull(self, reader: Any, budget: int) -> tuple[Sequence[Outgoing], bool]:
        """Ask the source, as `Source.pull` says.

        One that gives nothing has nothing more, whatever it says.
        """
        messages, more = self.source.pull(reader, budget)
        return messages, more and bool(messages)


class Lost:
    """What a client was not sent, told where it would have stood.

    Attributes:
        svc: The service whose messages they were.
        room: The room's name, if they were of a room.
        lane: The lane's name.
        count: How many.
        from_seq: The first one's number, of a recoverable room.
        to_seq: The last one's number.
    """

    __slots__ = ("count", "from_seq", "lane", "owner", "room", "svc", "to_seq")

    def __init__(self, svc: str, owner: object, room: str | None, lane: str) -> None:
        self.svc = svc
        self.owner = owner
        self.room = room
        self.lane = lane
        self.count = 0
        self.from_seq: int | None = None
        self.to_seq: int | None = None

    def add(self, seq: int | None) -> None:
        """Count one more message, of a recoverable room in the order of numbers."""
        if seq is None:
            self.count += 1
            return
        if self.from_seq is None:
            self.from_seq = seq
        self.to_seq = seq
        # Numbers in between were not for this reader, and the range has no holes.
        self.count = seq - self.from_seq + 1

    def envelope(self) -> dict[str, Any]:
        """Return the `sys.lost`."""
        data: dict[str, Any] = {"svc": self.svc, "lane": self.lane, "count": self.count}
        if self.room is not None:
            data["room"] = self.room
        if self.from_seq is not None:
            data |= {"from_seq": self.from_seq, "to_seq": self.to_seq}
        return outbound("sys", "lost", data=data)

    def encode(self, wire: Wire) -> bytes:
        """Return the `sys.lost` as bytes of a wire."""
        return wire.frame_text(wire.codec.encode(self.envelope()))


Entry: TypeAlias = Form | Lost | Pull


class _LaneBacklog:
    """What waits in one lane, oldest first.

    Entries have serial numbers; a dictionary keeps their order, replaces one in place
    and drops one from the middle, each at the same small cost.
    """

    __slots__ = (
        "bytes",
        "entries",
        "latest",
        "lost",
        "pulls",
        "rooms",
        "since",
        "volatile",
    )

    def __init__(self) -> None:
        self.entries: dict[int, Entry] = {}
        # When each took its place; what replaces it waits from then, too.
        self.since: dict[int, float] = {}
        self.bytes = 0
        self.latest: dict[Hashable, int] = {}
        self.volatile: deque[int] = deque()
        # Serials of the recoverable messages of each room, oldest first.
        self.rooms: dict[object, dict[int, None]] = {}
        self.lost: dict[Hashable, int] = {}
        self.pulls: dict[Hashable, int] = {}


class Backlog:
    """The lanes of one session while they wait.

    Args:
        lanes: The gateway's lanes, in order.
        counters: One per lane, shared by all sessions.
        own: One per lane, of this session alone.
        now: Time, in seconds.
        tenant: The session's tenant.
        unsent: Where what is not sent is counted, for all sessions.

    Attributes:
        began: When the socket was full first.
        took: When the socket took bytes last, or else `began`.
        waiting: Bytes in all lanes together.
    """

    __slots__ = (
        "_counters",
        "_credit",
        "_lanes",
        "_now",
        "_own",
        "_serial",
        "_tenant",
        "_unsent",
        "_waiting",
        "began",
        "took",
        "waiting",
    )

    def __init__(
        self,
        lanes: Sequence[Lane],
        counters: Sequence[LaneCounters],
        own: Sequence[LaneCounters],
        now: Callable[[], float],
        tenant: str = "",
        unsent: Unsent | None = None,
    ) -> None:
        self._lanes = lanes
        self._counters = counters
        self._own = own
        self._now = now
        self._tenant = tenant
        self._unsent: Unsent = Counter() if unsent is None else unsent
        self.began = self.took = now()
        self._waiting = [_LaneBacklog() for _ in lanes]
        self._credit = [0] * len(lanes)
        self._serial = 0
        self.waiting = 0

    def __bool__(self) -> bool:
        return any(lane.entries for lane in self._waiting)

    def depth(self, lane: int) -> tuple[int, int]:
        """Return how much waits in a lane: messages and bytes."""
        waiting = self._waiting[lane]
        return len(waiting.entries), waiting.bytes

    def waits_since(self, lane: int) -> float | None:
        """Return since when what is sent next of a lane waits; None if nothing does."""
        since = self._waiting[lane].since
        return since[next(iter(since))] if since else None

    def add(self, form: Form) -> bool:
        """Queue a form.

        Returns:
            False where its lane is full and nothing in it may give way: the session is
            a slow consumer and must be closed.
        """
        message = form.message
        index = message.lane
        lane = self._waiting[index]
        if message.delivery is LATEST:
            slot = (message.svc, message.room, message.key)
            serial = lane.latest.get(slot)
            if serial is not None:
                elder = lane.entries[serial]
                assert isinstance(elder, Form)
                lane.entries[serial] = form
                self._grow(lane, form.size - elder.size)
                self._counters[index].conflated += 1
                self._own[index].conflated += 1
                self._note(index, message.svc, "conflated")
                return self._hold_bounds(index, message)
            lane.latest[slot] = self._serial
        elif message.delivery is VOLATILE:
            lane.volatile.append(self._serial)
        elif message.seq is not None:
            lane.rooms.setdefault(message.room, {})[self._serial] = None
        lane.entries[self._serial] = form
        lane.since[self._serial] = self._now()
        self._serial += 1
        self._grow(lane, form.size)
        return self._hold_bounds(index, message)

    def add_pull(self, pull: Pull) -> None:
        """Queue a marker; one of the same source and key waits once only."""
        lane = self._waiting[pull.lane]
        slot = (pull.source, pull.key)
        if slot not in lane.pulls:
            lane.pulls[slot] = self._serial
            lane.entries[self._serial] = pull
            lane.since[self._serial] = self._now()
            self._serial += 1

    def take(self, limit: int, wire: Wire, reader: Any) -> bytes:
        """Return up to `limit` bytes of whole messages, at least one message.

        Args:
            limit: How many bytes.
            wire: Which bytes the session wants.
            reader: The session, for what is pulled.
        """
        self.took = self._now()
        taken: list[bytes] = []
        size = 0
        while size < limit and (index := self._next_lane()) is not None:
            lane = self._waiting[index]
            serial = next(iter(lane.entries))
            entry = lane.entries[serial]
            if isinstance(entry, Pull):
                got = self._pull(index, serial, entry, limit - size, wire, reader)
            elif isinstance(entry, Lost):
                got = [entry.encode(wire)]
                if taken and size + len(got[0]) > limit:
                    break
                self._remove(index, serial)
            else:
                if taken and size + entry.size > limit:
                    break
                got = [entry.data]
                self._remove(index, serial)
            sent = sum(map(len, got))
            taken += got
            size += sent
            self._counters[index].messages_out += len(got)
            self._credit_below(index, sent)
        return b"".join(taken)

    def drop_room(self, room: object, *, recoverable: bool = False) -> None:
        """Forget what waits of a room.

        Args:
            room: Its last words are said.
            recoverable: Forget only what can be fetched again, and is about to be.
        """
        for index, lane in enumerate(self._waiting):
            gone = [
                serial
                for serial, entry in lane.entries.items()
                if _room_of(entry) is room
                and (not recoverable or _is_recoverable(entry))
            ]
            for serial in gone:
                self._remove(index, serial)

    # ------------------------------------------------------------ whose turn it is

    def _next_lane(self) -> int | None:
        """Return the lane that is served next: one that starves, else the highest."""
        highest = None
        for index, lane in enumerate(self._waiting):
            if not lane.entries:
                continue
            if highest is None:
                highest = index
            elif self._credit[index] >= STARVATION_FLOOR and self._may_overtake(lane):
                return index
        return highest

    def _may_overtake(self, lane: _LaneBacklog) -> bool:
        """Whether nothing in the first lane is older than what is next of another."""
        first = self._waiting[0].entries
        return not first or next(iter(lane.entries)) < next(iter(first))

    def _credit_below(self, index: int, size: int) -> None:
        """Note bytes that went out above lanes that wait, and a floor that was used."""
        # A source that had nothing to give has used none.
        if size and any(self._waiting[above].entries for above in range(index)):
            self._credit[index] = max(0, self._credit[index] - STARVATION_FLOOR)
        for below in range(index + 1, len(self._waiting)):
            if self._waiting[below].entries:
                self._credit[below] += size

    def _pull(
        self, index: int, serial: int, pull: Pull, budget: int, wire: Wire, reader: Any
    ) -> list[bytes]:
        messages, more = pull.pull(reader, budget)
        if not more:
            self._remove(index, serial)
        return [message.form(wire).data for message in messages]

    # ---------------------------------------------------------------- the bounds

    def _hold_bounds(self, index: int, newest: Outgoing) -> bool:
        """Make what may give way do so, until the lane is within its bounds."""
        bounds, lane = self._lanes[index], self._waiting[index]
        while len(lane.entries) > bounds.max_messages or lane.bytes > bounds.max_bytes:
            if not (self._drop_volatile(index) or self._give_way(index, newest.room)):
                self._counters[index].overflowed += 1
                self._note(index, newest.svc, "overflowed")
                return False
        return True

    def _drop_volatile(self, index: int) -> bool:
        """Drop the oldest volatile message; return whether there was one."""
        lane = self._waiting[index]
        if not lane.volatile:
            return False
        serial = lane.volatile[0]
        entry = lane.entries[serial]
        assert isinstance(entry, Form)
        self._counters[index].dropped += 1
        self._own[index].dropped += 1
        self._note(index, entry.message.svc, "dropped")
        self._replace_by_lost(index, [serial])
        return True

    def _give_way(self, index: int, room: object) -> bool:
        """Let what waits of one recoverable room go; return whether there was any.

        It is the room whose message found the lane full, or where nothing of that one
        waits, the room of which most waits.
        """
        rooms = self._waiting[index].rooms
        if not rooms:
            return False
        victim = room if room in rooms else max(rooms, key=lambda one: len(rooms[one]))
        serials = list(rooms[victim])
        self._counters[index].lost += len(serials)
        self._own[index].lost += len(serials)
        for serial in serials:
            entry = self._waiting[index].entries[serial]
            assert isinstance(entry, Form)
            self._note(index, entry.message.svc, "lost")
        self._replace_by_lost(index, serials)
        return True

    def _replace_by_lost(self, index: int, serials: Sequence[int]) -> None:
        """Put one `sys.lost` in the place of the first; adjacent ones merge."""
        lane = self._waiting[index]
        first = lane.entries[serials[0]]
        assert isinstance(first, Form)
        message = first.message
        # Services share the numbers of a room, so it has one range for them all.
        svc = message.svc if message.seq is None else None
        slot = (svc, message.room)
        place = lane.lost.get(slot)
        if place is None:
            name = getattr(message.room, "name", None)
            lost = Lost(message.svc, message.room, name, self._lanes[index].name)
        else:
            known = lane.entries[place]
            assert isinstance(known, Lost)
            lost = known
        for serial in serials:
            entry = lane.entries[serial]
            assert isinstance(entry, Form)
            lost.add(entry.message.seq)
            if place is None and serial == serials[0]:
                self._forget(lane, serial, entry)
                lane.entries[serial] = lost
                lane.lost[slot] = serial
                self._grow(lane, LOST_SIZE - entry.size)
            else:
                self._remove(index, serial)

    # ----------------------------------------------------------- the bookkeeping

    def _note(self, index: int, svc: str, reason: str) -> None:
        """Count a message that is not sent."""
        self._unsent[self._tenant, svc, self._lanes[index].name, reason] += 1

    def _grow(self, lane: _LaneBacklog, size: int) -> None:
        lane.bytes += size
        self.waiting += size

    def _remove(self, index: int, serial: int) -> None:
        """Take an entry out, and everything that is known of it."""
        lane = self._waiting[index]
        entry = lane.entries.pop(serial)
        del lane.since[serial]
        self._forget(lane, serial, entry)
        if isinstance(entry, Form):
            self._grow(lane, -entry.size)
        elif isinstance(entry, Lost):
            self._grow(lane, -LOST_SIZE)
        if not lane.entries:
            # It waits no more, and saves nothing up for the next time.
            self._credit[index] = 0

    def _forget(self, lane: _LaneBacklog, serial: int, entry: Entry) -> None:
        if isinstance(entry, Lost):
            svc = entry.svc if entry.from_seq is None else None
            del lane.lost[svc, entry.owner]
            return
        if isinstance(entry, Pull):
            del lane.pulls[entry.source, entry.key]
            return
        message = entry.message
        if message.delivery is LATEST:
            del lane.latest[message.svc, message.room, message.key]
        elif message.delivery is VOLATILE:
            # Volatile messages leave from the front, whether sent or dropped, but for
            # those of a room that is left.
            if lane.volatile[0] == serial:
                lane.volatile.popleft()
            else:
                lane.volatile.remove(serial)
        elif message.seq is not None:
            serials = lane.rooms[message.room]
            del serials[serial]
            if not serials:
                del lane.rooms[message.room]


def _is_recoverable(entry: Entry) -> bool:
    if isinstance(entry, Form):
        return entry.message.seq is not None
    return entry.replay if isinstance(entry, Pull) else entry.from_seq is not None


def _room_of(entry: Entry) -> object:
    if isinstance(entry, Form):
        return entry.message.room
    return entry.owner if isinstance(entry, Lost) else entry.room
