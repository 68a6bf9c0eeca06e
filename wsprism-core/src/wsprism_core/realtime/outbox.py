"""What waits for one session: lanes in strict order, and what happens at their bounds.

While the socket takes bytes an outbox only collects what one turn of the event loop
posted. Once the socket is full (`stalled`) the delivery classes apply: the latest
replaces its elder of the same key, the volatile ring drops its oldest, the reliable
waits up to the lane's bound.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from enum import IntEnum
from typing import Protocol

from wsprism_core.realtime.lanes import Delivery, Lane
from wsprism_core.realtime.wire import Form

__all__ = ("Drain", "LaneCounters", "Outbox", "OutboxState")

#: Most bytes handed to a socket at once while it takes everything.
WRITE_CHUNK = 64 * 1024
#: The same for a session that has stalled, so that what waits stays in the lanes.
STALLED_WRITE_CHUNK = 16 * 1024


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


class Drain(Protocol):
    """Where the bytes go: a link."""

    def write(self, data: bytes) -> bool:
        """Hand bytes over; return whether the socket takes more."""


class LaneCounters:
    """What happened in one lane, over all sessions; plain integers for the hot path."""

    __slots__ = ("conflated", "dropped", "messages_out", "overflowed")

    def __init__(self) -> None:
        self.messages_out = 0
        self.conflated = 0
        self.dropped = 0
        self.overflowed = 0


# Bound once: enum attribute look-ups cost on the hot path.
CLEAN, DIRTY, STALLED, CLOSED = OutboxState
LATEST, VOLATILE = Delivery.LATEST, Delivery.VOLATILE


class Outbox:
    """The lanes of one session.

    Args:
        lanes: The gateway's lanes, in order.
        counters: One per lane, shared by all sessions.

    Attributes:
        queues: One list of forms per lane, oldest first.
        state: Where it stands with its socket.
        waiting: Bytes in all lanes together.
    """

    __slots__ = (
        "_bytes",
        "_counters",
        "_latest",
        "lanes",
        "queues",
        "state",
        "waiting",
    )

    def __init__(self, lanes: Sequence[Lane], counters: Sequence[LaneCounters]) -> None:
        self.lanes = lanes
        self.queues: list[list[Form]] = [[] for _ in lanes]
        self.state: OutboxState = CLEAN
        self.waiting = 0
        self._counters = counters
        # Kept only while stalled: bytes per lane, and where each key waits.
        self._bytes: list[int] | None = None
        self._latest: dict[Hashable, int] | None = None

    def depth(self, lane: int) -> tuple[int, int]:
        """Return how much waits in a lane: messages and bytes."""
        queue = self.queues[lane]
        return len(queue), sum(form.size for form in queue)

    def offer(self, form: Form) -> bool:
        """Queue a form while the socket takes nothing.

        Returns:
            False where a reliable message found its lane full: the session is a slow
            consumer and must be closed.
        """
        sizes, latest = self._bytes, self._latest
        assert sizes is not None
        assert latest is not None
        message = form.message
        index = message.lane
        queue = self.queues[index]
        if message.delivery is LATEST:
            slot = (index, message.svc, message.room, message.key)
            place = latest.get(slot)
            if place is not None:
                elder = queue[place]
                queue[place] = form
                sizes[index] += form.size - elder.size
                self.waiting += form.size - elder.size
                self._counters[index].conflated += 1
                return True
            latest[slot] = len(queue)
        queue.append(form)
        sizes[index] += form.size
        self.waiting += form.size
        return self._hold_bounds(index)

    def stall(self) -> bool:
        """Apply the delivery classes to what is left after the socket filled up.

        Returns:
            False where reliable messages already exceed a bound.
        """
        if self.state in (STALLED, CLOSED):
            return True
        self.state = STALLED
        return self._sort_out()

    def flush(self, drain: Drain) -> bool:
        """Write what waits, the most urgent lane first, until the socket is full.

        Returns:
            False where a bound is exceeded and the session must be closed.
        """
        limit = STALLED_WRITE_CHUNK if self.state is STALLED else WRITE_CHUNK
        self.state = CLEAN
        self._bytes = self._latest = None
        while self.waiting:
            # A write may pause or close this very outbox before it returns.
            if not drain.write(self._take(limit)):
                return self.stall()
        return True

    def drop_room(self, room: object) -> None:
        """Forget what waits of a room; its last words are said."""
        for index, queue in enumerate(self.queues):
            kept = [form for form in queue if form.message.room is not room]
            if len(kept) != len(queue):
                self.waiting -= sum(form.size for form in queue)
                self.waiting += sum(form.size for form in kept)
                self.queues[index] = kept
        if self.state is STALLED:
            self._sort_out()

    def close(self) -> None:
        """Forget everything and take nothing more."""
        self.state = CLOSED
        self.waiting = 0
        self.queues = []
        self._bytes = self._latest = None

    def _sort_out(self) -> bool:
        """Queue everything that waits anew, under the delivery classes."""
        self._bytes = [0] * len(self.lanes)
        self._latest = {}
        self.waiting = 0
        left, self.queues = self.queues, [[] for _ in self.lanes]
        kept = True
        for queue in left:
            for form in queue:
                kept = self.offer(form) and kept
        return kept

    def _take(self, limit: int) -> bytes:
        """Return up to `limit` bytes of whole messages, at least one message."""
        taken: list[bytes] = []
        size = 0
        for index, queue in enumerate(self.queues):
            if not queue:
                continue
            count = 0
            for form in queue:
                if taken and size + form.size > limit:
                    break
                taken.append(form.data)
                size += form.size
                count += 1
            self._counters[index].messages_out += count
            if count < len(queue):
                del queue[:count]
                break
            queue.clear()
        self.waiting -= size
        return taken[0] if len(taken) == 1 else b"".join(taken)

    def _hold_bounds(self, index: int) -> bool:
        """Drop the oldest volatile messages of a lane until it is within its bounds."""
        assert self._bytes is not None
        lane, queue, counters = self.lanes[index], self.queues[index], self._counters
        while len(queue) > lane.max_messages or self._bytes[index] > lane.max_bytes:
            place = next(
                (
                    place
                    for place, form in enumerate(queue)
                    if form.message.delivery is VOLATILE
                ),
                None,
            )
            if place is None:
                counters[index].overflowed += 1
                return False
            gone = queue.pop(place)
            self._bytes[index] -= gone.size
            self.waiting -= gone.size
            counters[index].dropped += 1
            self._forget_places(index, place)
        return True

    def _forget_places(self, index: int, removed: int) -> None:
        """Move the places of latest messages behind one that was removed."""
        assert self._latest is not None
        for slot, place in self._latest.items():
            if isinstance(slot, tuple) and slot[0] == index and place > removed:
                self._latest[slot] = place - 1
