"""The outbox of one session: lanes that are flushed at the end of a turn.

While the socket takes bytes, an outbox only collects what one turn of the event loop
posted, one list a lane, and a flush writes it in the order of the lanes. Once the
socket is full, what is left moves to a `Backlog`, where the delivery classes and bounds
apply.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Final, Protocol

from wsprism_core.realtime.backlog import Backlog, LaneCounters, Pull, Unsent
from wsprism_core.realtime.lanes import Lane
from wsprism_core.realtime.wire import Form, Wire

if TYPE_CHECKING:
    from wsprism_core.realtime.audience import Tail

__all__ = ("POSTED_LIMIT", "WRITE_CHUNK", "Outbox", "OutboxState", "Sink")

#: Posted bytes that are flushed before the turn ends, so that one turn has a bound too.
POSTED_LIMIT: Final = 256 * 1024
#: Most bytes handed to a socket at once while it takes everything.
WRITE_CHUNK: Final = 64 * 1024
#: The same for a session that has stalled, so that what waits stays in the lanes.
STALLED_WRITE_CHUNK: Final = 16 * 1024


def _timeless() -> float:
    return 0.0


class OutboxState(IntEnum):
    """Where an outbox stands with its socket."""

    #: Nothing waits, the socket takes bytes.
    CLEAN = 0
    #: Something waits for the end of this turn.
    DIRTY = 1
    #: The socket takes nothing until it says so.
    STALLED = 2
    #: Nothing more will be sent.
    CLOSED = 3
    #: What waits for the end of this turn is an audience's tail, and nothing besides.
    SHARING = 4


class Sink(Protocol):
    """Where the bytes go: a link."""

    wire: Wire

    def write(self, data: bytes) -> bool:
        """Hand bytes over; return whether the socket takes more."""


# Bound once: enum attribute look-ups cost on the hot path.
CLEAN, DIRTY, STALLED, CLOSED, SHARING = OutboxState


class Outbox:
    """The lanes of one session.

    Args:
        lanes: The gateway's lanes, in order.
        counters: One per lane, shared by all sessions.
        now: Time, in seconds; without it nothing that waits grows old.
        tenant: The session's tenant.
        unsent: Where what is not sent is counted, for all sessions.

    Attributes:
        own: One per lane, of this session alone; None until its socket was full.
        queues: One list of forms per lane, oldest first: what this turn posted.
        posted: How many bytes those are.
        handed: Bytes that were handed over while the socket was full or had been.
        shared: The tail that it shares; None unless it is SHARING.
        state: Where it stands with its socket.
    """

    __slots__ = (
        "_backlog",
        "_counters",
        "_now",
        "_pulls",
        "_tenant",
        "_unsent",
        "handed",
        "lanes",
        "own",
        "posted",
        "queues",
        "shared",
        "state",
    )

    def __init__(
        self,
        lanes: Sequence[Lane],
        counters: Sequence[LaneCounters],
        now: Callable[[], float] = _timeless,
        tenant: str = "",
        unsent: Unsent | None = None,
    ) -> None:
        self.lanes = lanes
        self.queues: list[list[Form]] = [[] for _ in lanes]
        self.posted = 0
        self.handed = 0
        self.shared: Tail | None = None
        self.state: OutboxState = CLEAN
        self.own: Sequence[LaneCounters] | None = None
        self._counters = counters
        self._now = now
        self._tenant = tenant
        self._unsent = unsent
        self._backlog: Backlog | None = None
        self._pulls: list[tuple[int, Pull]] = []

    @property
    def backlog(self) -> Backlog | None:
        """What waits since the socket was full; None where it takes everything."""
        return self._backlog

    @property
    def waiting(self) -> int:
        """Bytes in all lanes together."""
        return self.posted + (0 if self._backlog is None else self._backlog.waiting)

    def depth(self, lane: int) -> tuple[int, int]:
        """Return how much waits in a lane: messages and bytes."""
        if self._backlog is not None:
            return self._backlog.depth(lane)
        if self.state is CLOSED:
            return 0, 0
        queue = self.queues[lane]
        return len(queue), sum(form.size for form in queue)

    def take_over(self, tail: Mapping[int, Sequence[Form]], size: int) -> None:
        """Have what an audience's tail has so far as one's own.

        Args:
            tail: Forms by lane, oldest first.
            size: How many bytes those are.
        """
        for lane, forms in tail.items():
            self.queues[lane] = list(forms)
        self.posted = size
        self.shared = None
        self.state = DIRTY

    def offer(self, form: Form) -> bool:
        """Queue a form while the socket takes nothing.

        Returns:
            False where the lane is full and nothing may give way: the session is a slow
            consumer and must be closed.
        """
        assert self._backlog is not None
        return self._backlog.add(form)

    def pull(self, pull: Pull) -> None:
        """Queue a marker for what is computed when the socket can take it."""
        if self._backlog is not None:
            self._backlog.add_pull(pull)
        elif not any(one.is_like(pull) for _, one in self._pulls):
            # It keeps its place among what this turn posts to its lane.
            self._pulls.append((len(self.queues[pull.lane]), pull))

    def stall(self) -> bool:
        """Move what is left to the backlog: the socket is full.

        Returns:
            False where a bound is exceeded already.
        """
        if self.state in (STALLED, CLOSED):
            return True
        self.state = STALLED
        return self._retreat()

    def flush(self, sink: Sink, reader: object = None) -> bool:
        """Write what waits, the most urgent lane first, until the socket is full.

        Args:
            sink: Where to.
            reader: The session, for what is pulled.

        Returns:
            False where a bound is exceeded and the session must be closed.
        """
        if self._backlog is not None:
            return self._flush_backlog(self._backlog, sink, reader)
        self.state = CLEAN
        while self.posted or self._pulls:
            data = (
                self._take_and_pull(sink.wire, reader) if self._pulls else self._take()
            )
            # A write may pause or close this very outbox before it returns.
            if data and not sink.write(data):
                return self.stall()
        return True

    def drop_recoverable(self, room: object) -> None:
        """Forget what waits of a room and is about to be fetched again."""
        if self._backlog is not None:
            self._backlog.drop_room(room, recoverable=True)
        self._pulls = [
            (at, pull)
            for at, pull in self._pulls
            if not (pull.replay and pull.room is room)
        ]

    def drop_room(self, room: object) -> None:
        """Forget what waits of a room; its last words are said."""
        if self._backlog is not None:
            self._backlog.drop_room(room)
        for index, queue in enumerate(self.queues):
            self.queues[index] = [one for one in queue if one.message.room is not room]
        self.posted = sum(form.size for queue in self.queues for form in queue)
        self._pulls = [(at, pull) for at, pull in self._pulls if pull.room is not room]

    def close(self) -> None:
        """Forget everything and take nothing more."""
        self.state = CLOSED
        self.shared = None
        self.queues = []
        self.posted = 0
        self._backlog = None
        self._pulls = []

    def _flush_backlog(self, backlog: Backlog, sink: Sink, reader: object) -> bool:
        # A session that has stalled gets small writes, so that what waits stays here.
        limit = STALLED_WRITE_CHUNK if self.state is STALLED else WRITE_CHUNK
        self.state = STALLED
        while backlog:
            data = backlog.take(limit, sink.wire, reader)
            self.handed += len(data)
            if data and not sink.write(data):
                return True
            if self.state is CLOSED:
                return True
        self._backlog = None
        self.state = CLEAN
        return True

    def _retreat(self) -> bool:
        """Queue in the backlog what this turn posted, under the delivery classes."""
        if self._backlog is None:
            if self.own is None:
                self.own = tuple(LaneCounters() for _ in self.lanes)
            self._backlog = Backlog(
                self.lanes,
                self._counters,
                self.own,
                self._now,
                self._tenant,
                self._unsent,
            )
        backlog = self._backlog
        left, self.queues = self.queues, [[] for _ in self.lanes]
        self.posted = 0
        pulls, self._pulls = self._pulls, []
        kept = True
        for index, queue in enumerate(left):
            here = [(at, pull) for at, pull in pulls if pull.lane == index]
            for place, form in enumerate(queue):
                while here and here[0][0] <= place:
                    backlog.add_pull(here.pop(0)[1])
                kept = backlog.add(form) and kept
            for _, pull in here:
                backlog.add_pull(pull)
        return kept

    def _take_and_pull(self, wire: Wire, reader: object) -> bytes:
        """Return up to a chunk as `_take` does, with what is pulled in its place."""
        taken: list[bytes] = []
        size = 0
        for index, queue in enumerate(self.queues):
            pulls = [(at, pull) for at, pull in self._pulls if pull.lane == index]
            sent = len(taken)
            place = 0
            full = False
            while not full and (pulls or place < len(queue)):
                if pulls and pulls[0][0] <= place:
                    messages, more = pulls[0][1].pull(reader, WRITE_CHUNK - size)
                    got = [message.form(wire).data for message in messages]
                    if not more:
                        self._pulls.remove(pulls.pop(0))
                else:
                    form = queue[place]
                    full = bool(taken) and size + form.size > WRITE_CHUNK
                    got = [] if full else [form.data]
                    place += not full
                taken += got
                size += sum(map(len, got))
                full = full or size >= WRITE_CHUNK
            self._counters[index].messages_out += len(taken) - sent
            self.posted -= sum(form.size for form in queue[:place])
            del queue[:place]
            self._pulls = [
                (max(0, at - place) if pull.lane == index else at, pull)
                for at, pull in self._pulls
            ]
            if full:
                break
        return b"".join(taken)

    def _take(self) -> bytes:
        """Return up to a chunk of whole messages, at least one; something waits."""
        taken: list[bytes] = []
        size = 0
        for index, queue in enumerate(self.queues):
            if not queue:
                continue
            if size + self.posted <= WRITE_CHUNK:
                # As nearly always: all that is left fits.
                self._counters[index].messages_out += len(queue)
                taken += [form.data for form in queue]
                queue.clear()
                continue
            count = 0
            for form in queue:
                if taken and size + form.size > WRITE_CHUNK:
                    break
                taken.append(form.data)
                size += form.size
                self.posted -= form.size
                count += 1
            self._counters[index].messages_out += count
            if count < len(queue):
                del queue[:count]
                return b"".join(taken)
            queue.clear()
        self.posted = 0
        return taken[0] if len(taken) == 1 else b"".join(taken)
