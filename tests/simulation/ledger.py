"""What a session is owed: the model that every byte of the gateway is compared with.

A ledger is told what is posted to a session and whether its socket takes bytes. From
that alone it knows what must leave next: it holds the lanes as the documentation says
they are, not as the engine keeps them. What the engine gave up of its own accord it
learns from the `sys.lost` that the client is sent, and from nothing else.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Final

from simulation.facts import Facts, read_facts
from simulation.invariants import Invariant
from wsprism_core.realtime.backlog import STARVATION_FLOOR, LaneCounters, Pull
from wsprism_core.realtime.lanes import Delivery, Lane
from wsprism_core.realtime.outbox import STALLED_WRITE_CHUNK, WRITE_CHUNK
from wsprism_core.realtime.session import Session
from wsprism_core.realtime.wire import Form

__all__ = ("Ledger", "Marker", "Posted", "Tally")

_LENGTH: Final = struct.Struct(">I")
#: How much of the past is kept, to tell what was wrong.
_REMEMBERED: Final = 4_096

LATEST, VOLATILE = Delivery.LATEST, Delivery.VOLATILE


class Posted:
    """A message in the bytes of one wire, shared by all who are sent it.

    Attributes:
        data: The whole frame.
        lane: The lane's index.
        delivery: Its delivery class.
        slot: What the newest of a key replaces its elder by.
        room: The room object that it belongs to.
        seq: The room's number.
        replay: Whether it is a marker of what the room has kept.
    """

    __slots__ = (
        "_facts",
        "data",
        "delivery",
        "lane",
        "replay",
        "room",
        "seq",
        "slot",
        "svc",
    )

    def __init__(self, data: bytes, form: Form | None = None) -> None:
        self.data = data
        self._facts: Facts | None = None
        self.lane = 0
        self.delivery = Delivery.RELIABLE
        self.slot: Hashable = None
        self.svc = "sys"
        self.room: object = None
        self.seq: int | None = None
        self.replay = False
        if form is not None:
            message = form.message
            self.lane = message.lane
            self.delivery = message.delivery
            self.svc = message.svc
            self.room = message.room
            self.seq = message.seq
            self.slot = (message.svc, message.room, message.key)

    @property
    def facts(self) -> Facts:
        """What it says."""
        if self._facts is None:
            self._facts = read_facts(self.data)
        return self._facts

    def __repr__(self) -> str:
        facts = self.facts
        return f"{facts.name} room={facts.room} seq={facts.seq} stamp={facts.stamp}"


class Marker(Posted):
    """A marker of what is pulled, in the place where that will stand.

    Args:
        pull: What the engine was given.
        told: What a report calls it.
    """

    __slots__ = ("_told",)

    def __init__(self, pull: Pull, told: str) -> None:
        # No frame begins so: it is never taken for something that is written.
        super().__init__(b"\xff\xff\xff\xff a marker")
        self.lane = pull.lane
        self.room = pull.room
        self.slot = (pull.source, pull.key)
        self.replay = pull.replay
        self._told = told

    def __repr__(self) -> str:
        return f"the marker of {self._told}"


class Cell:
    """A place in a lane, in which the newest of a key replaces its elder.

    Attributes:
        message: What stands there.
        number: When the place was taken, of all the session's places.
    """

    __slots__ = ("message", "number")

    def __init__(self, message: Posted, number: int) -> None:
        self.message = message
        self.number = number


class Tally:
    """What happened in one lane, over all sessions."""

    __slots__ = (
        "conflated",
        "discarded",
        "dropped",
        "lost",
        "out",
        "posted",
        "pulled",
        "unsure",
    )

    def __init__(self) -> None:
        self.posted = 0
        self.pulled = 0
        #: Written, `sys.lost` among them.
        self.out = 0
        self.conflated = 0
        #: Volatile ones that were told as lost.
        self.dropped = 0
        #: Recoverable ones that were told as lost.
        self.lost = 0
        #: Waited for a session that ended, or of a room that was left.
        self.discarded = 0
        #: Of those conflated: at the last, for a session that was closed as too slow,
        #: for which the engine may have done nothing any more.
        self.unsure = 0


class Ledger:
    """What one session is owed.

    Args:
        name: What a report calls it.
        tenant: The tenant that its client belongs to.
        lanes: The gateway's lanes.
        tallies: One per lane, shared by all sessions.
        counters: The engine's own, one per lane.
        violated: Called with what does not hold.

    Attributes:
        session: The session, once something is posted to it.
        stalled: Whether its socket took nothing, and not all has left since.
        pending: By lane, oldest first, what is to be written or told as lost.
    """

    def __init__(
        self,
        name: str,
        tenant: str,
        lanes: tuple[Lane, ...],
        tallies: tuple[Tally, ...],
        counters: tuple[LaneCounters, ...],
        violated: Callable[[Invariant, str], None],
    ) -> None:
        self.name = name
        self.tenant = tenant
        self.session: Session | None = None
        self.stalled = False
        self.pending: list[deque[Cell]] = [deque() for _ in lanes]
        self._lanes = lanes
        self._tallies = tallies
        self._counters = counters
        self._violated = violated
        self._ranges: dict[tuple[str, str], int] = {}
        # What sources gave since the last write.
        self._pulled: list[Posted] = []
        self._batch: dict[Posted, None] = {}
        self._latest: list[dict[Hashable, Cell]] = [{} for _ in lanes]
        self._credit = [0] * len(lanes)
        self._number = 0
        # Since the session stalled last.
        self._conflated = [0] * len(lanes)
        self._written: deque[Posted] = deque(maxlen=_REMEMBERED)
        self._replaced: deque[Posted] = deque(maxlen=_REMEMBERED)
        self._lost: deque[Posted] = deque(maxlen=_REMEMBERED)
        self._gone: deque[Posted] = deque(maxlen=_REMEMBERED)

    # ------------------------------------------------------------ what it is told

    def posted(self, message: Posted) -> None:
        """Note a message that is posted to the session."""
        lane = message.lane
        self._tallies[lane].posted += 1
        cell = self._place(message)
        if self.stalled and message.delivery is LATEST:
            elder = self._latest[lane].setdefault(message.slot, cell)
            if elder is not cell:
                self._replace(lane, elder, message)
                return
        self.pending[lane].append(cell)

    def marked(self, marker: Marker) -> None:
        """Note a marker; one of the same source and key waits once only."""
        queue = self.pending[marker.lane]
        for message in _messages(queue):
            if isinstance(message, Marker) and message.slot == marker.slot:
                return
        queue.append(self._place(marker))

    def pulled(self, lane: int, slot: Hashable, got: list[Posted], more: bool) -> None:
        """Note what a source gave: it stands where the marker stood."""
        queue = self.pending[lane]
        waiting = (
            place
            for place, message in enumerate(_messages(queue))
            if isinstance(message, Marker) and message.slot == slot
        )
        place = next(waiting, None)
        if place is None:
            self.wrong(Invariant.PULLED, "a source is asked that nobody marked")
            return
        number = queue[place].number
        if not (more and got):
            del queue[place]
        for message in reversed(got):
            queue.insert(place, Cell(message, number))
        self._note_empty()
        self._tallies[lane].pulled += len(got)
        self._pulled += got
        # What one question to a source brings has one turn.
        self._batch.update(dict.fromkeys(got[1:]))

    def fetched_again(self, room: object) -> None:
        """Note that what waits of a room is about to be pulled."""
        for lane, queue in enumerate(self.pending):
            kept = [
                cell
                for cell in queue
                if cell.message.room is not room
                or not (cell.message.seq is not None or cell.message.replay)
            ]
            self._tallies[lane].discarded += len(queue) - len(kept)
            self.pending[lane] = deque(kept)
        self._note_empty()

    def full(self) -> None:
        """Note that the socket takes nothing: the delivery classes come into force."""
        if self.stalled:
            return
        self.stalled = True
        self._conflated = [0] * len(self._lanes)
        for lane, queue in enumerate(self.pending):
            if queue:
                self.pending[lane] = deque()
                for message in _messages(queue):
                    cell = self._place(message)
                    if message.delivery is LATEST:
                        elder = self._latest[lane].setdefault(message.slot, cell)
                        if elder is not cell:
                            self._replace(lane, elder, message)
                            continue
                    self.pending[lane].append(cell)

    def roomy(self) -> None:
        """Note that the socket takes bytes again; if nothing waits, the stall ends."""
        if self.stalled and not any(self.pending):
            self.stalled = False
            self._credit = [0] * len(self._lanes)
            for latest in self._latest:
                latest.clear()

    def left(self, room: object) -> None:
        """Note that nothing of a room follows."""
        for lane, queue in enumerate(self.pending):
            gone = [cell.message for cell in queue if cell.message.room is room]
            if gone:
                kept = (cell for cell in queue if cell.message.room is not room)
                self.pending[lane] = deque(kept)
                self._latest[lane] = {
                    slot: cell
                    for slot, cell in self._latest[lane].items()
                    if cell.message.room is not room
                }
                self._gone += gone
                self._tallies[lane].discarded += len(gone)
        self._note_empty()

    def ended(self, *, slow: bool = False, late: bool = False) -> None:
        """Note the end of the link.

        Args:
            slow: Whether the gateway closed it as too slow.
            late: Whether its socket took nothing, or next to nothing, for long enough.
        """
        if slow:
            if not late and not any(self._exceeded()):
                self.wrong(Invariant.CLOSES, "closed as too slow, and was not")
            for tally, conflated in zip(self._tallies, self._conflated, strict=True):
                tally.unsure += conflated
        for lane, queue in enumerate(self.pending):
            self._tallies[lane].discarded += len(queue)
            queue.clear()
        self.session = None

    # ------------------------------------------------------------- what it checks

    def wrote(self, data: bytes, *, full: bool) -> list[Posted]:
        """Check what the gateway writes; return the messages in it.

        Args:
            data: What it writes.
            full: Whether the socket was full already.
        """
        if self.session is None:
            return [Posted(frame) for frame in _frames(data)]
        if full:
            self.wrong(Invariant.SOCKET, f"{len(data)} bytes for a socket that is full")
        messages: list[Posted] = []
        at, end = 0, len(data)
        self._ranges.clear()
        while at < end:
            message = self._next(data, at)
            if message is None:
                return messages
            messages.append(message)
            at += len(message.data)
        late = [one for one in self._pulled if not any(one is got for got in messages)]
        if late:
            told = "was pulled before it could be written"
            self.wrong(Invariant.PULLED, f"{late[0]} {told}")
        # A source knows about how much it may give, and one message it may always.
        over = max((len(one.data) for one in self._pulled), default=0)
        self._pulled.clear()
        self._batch.clear()
        most = STALLED_WRITE_CHUNK if self.stalled else WRITE_CHUNK
        if end - over > most and len(messages) > 1:
            self.wrong(Invariant.SOCKET, f"{end} bytes at once, {most} are the most")
        return messages

    def check_turn(self, *, socket_full: bool) -> None:
        """Check what must hold when a turn has ended."""
        session = self.session
        if session is None:
            return
        outbox = session.outbox
        if not socket_full:
            for lane, queue in enumerate(self.pending):
                if queue:
                    message = queue[0].message
                    if any(outbox.depth(lane)):
                        self.wrong(Invariant.FLUSH, f"{message} waits for nothing")
                    else:
                        self._missing(message, "was not sent")
            return
        for lane, bounds in enumerate(self._lanes):
            messages, size = outbox.depth(lane)
            if messages > bounds.max_messages or size > bounds.max_bytes:
                self.wrong(
                    Invariant.BOUNDS,
                    f"{messages} messages and {size} bytes wait in {bounds.name}, "
                    f"{bounds.max_messages} and {bounds.max_bytes} may",
                )
            counted = self._counters[lane]
            if counted.dropped or counted.lost:
                # Some of what is owed may have given way to a `sys.lost` that waits.
                continue
            queue = self.pending[lane]
            owed = sum(
                len(cell.message.data)
                for cell in queue
                if not isinstance(cell.message, Marker)
            )
            if messages == len(queue) and size != owed:
                self.wrong(
                    Invariant.BOUNDS,
                    f"{owed} bytes wait in {bounds.name}, and it says {size}",
                )

    # ------------------------------------------------------------------ its parts

    def _next(self, data: bytes, at: int) -> Posted | None:
        """Return the message that begins here, which must be owed now."""
        above = False
        for lane, queue in enumerate(self.pending):
            if not queue:
                continue
            message = queue[0].message
            if data.startswith(message.data, at):
                if message not in self._batch:
                    self._check_turn_of(lane, above=above)
                queue.popleft()
                self._note_empty()
                if self.stalled:
                    if message.delivery is LATEST:
                        del self._latest[lane][message.slot]
                    self._credit_below(lane, len(message.data))
                self._tallies[lane].out += 1
                self._written.append(message)
                return message
            above = True
        frame = next(_frames(data, at))
        facts = read_facts(frame)
        if facts.name == "sys.lost":
            message = Posted(frame)
            self._told(facts, len(frame))
            return message
        self._blame(frame, facts, data[at + len(frame) :])
        return None

    def _told(self, facts: Facts, size: int) -> None:
        """Strike off what a `sys.lost` says is lost."""
        data = facts.data
        names = [lane.name for lane in self._lanes]
        lane = names.index(data["lane"])
        queue = self.pending[lane]
        self._tallies[lane].out += 1
        above = any(self.pending[higher] for higher in range(lane))
        self._check_turn_of(lane, above=above)
        first, last, count = data.get("from_seq"), data.get("to_seq"), data["count"]
        room, svc = data.get("room"), data["svc"]

        def covers(message: Posted) -> bool:
            if getattr(message.room, "name", None) != room:
                return False
            if first is None:
                return message.delivery is VOLATILE and message.svc == svc
            return message.seq is not None and message.seq <= last

        if first is not None:
            wrong = self._wrong_range(queue, covers, data)
            if wrong:
                self.wrong(Invariant.RANGES, f"{data}: {wrong}")
                return
            left = count
        elif not queue or not covers(queue[0].message):
            self.wrong(Invariant.VOLATILE, f"{data} stands where nothing was lost")
            return
        else:
            left = count
        kept: deque[Cell] = deque()
        for cell in queue:
            if left and covers(cell.message):
                self._lost.append(cell.message)
                left -= 1
            else:
                kept.append(cell)
        if left:
            self.wrong(Invariant.VOLATILE, f"{data} is {left} too many")
        self.pending[lane] = kept
        self._note_empty()
        tally = self._tallies[lane]
        if first is None:
            tally.dropped += count
        else:
            tally.lost += count
        if self.stalled:
            self._credit_below(lane, size)

    def _wrong_range(
        self,
        queue: deque[Cell],
        covers: Callable[[Posted], bool],
        data: dict[str, int],
    ) -> str | None:
        """Return what is wrong with a range, None where it is right."""
        first, last, count = data["from_seq"], data["to_seq"], data["count"]
        if count != last - first + 1:
            return "the count is not that of the range"
        if not queue or not covers(queue[0].message):
            return "it does not stand where the missing messages stood"
        owed = [cell.message.seq for cell in queue if covers(cell.message)]
        if owed != list(range(first, last + 1)):
            return f"missing are {owed[0]} to {owed[-1]}, {len(owed)} in all"
        slot = (str(data["svc"]), str(data.get("room")))
        if self._ranges.get(slot) == first - 1:
            return "it touches the range before it"
        self._ranges[slot] = last
        return None

    def _check_turn_of(self, lane: int, *, above: bool) -> None:
        """Check that it is a lane's turn."""
        if above:
            if not (self.stalled and self._is_due(lane)):
                waits = next(i for i, queue in enumerate(self.pending) if queue)
                self.wrong(
                    Invariant.LANES,
                    f"{self._lanes[lane].name} goes before {self._lanes[waits].name}",
                )
            self._credit[lane] = max(0, self._credit[lane] - STARVATION_FLOOR)
        elif self.stalled:
            for below in range(lane + 1, len(self._lanes)):
                if self._is_due(below):
                    self.wrong(
                        Invariant.FLOOR,
                        f"{self._lanes[below].name} waits, {self._credit[below]} bytes "
                        "went above it",
                    )

    def _is_due(self, lane: int) -> bool:
        """Whether a lane below the first may go now: what was there before it may not.

        That of the first lane is never overtaken.
        """
        queue, first = self.pending[lane], self.pending[0]
        if not queue or self._credit[lane] < STARVATION_FLOOR:
            return False
        return not first or queue[0].number < first[0].number

    def _credit_below(self, lane: int, size: int) -> None:
        for below in range(lane + 1, len(self._lanes)):
            if self.pending[below]:
                self._credit[below] += size

    def _note_empty(self) -> None:
        """Note that a lane in which nothing waits saves nothing up."""
        for lane, queue in enumerate(self.pending):
            if not queue:
                self._credit[lane] = 0

    def _place(self, message: Posted) -> Cell:
        self._number += 1
        return Cell(message, self._number)

    def _replace(self, lane: int, elder: Cell, newer: Posted) -> None:
        self._replaced.append(elder.message)
        elder.message = newer
        self._tallies[lane].conflated += 1
        self._conflated[lane] += 1

    def _exceeded(self) -> Iterator[bool]:
        """Yield for each lane whether it could not hold what the session is owed."""
        for queue, bounds in zip(self.pending, self._lanes, strict=True):
            size = sum(len(cell.message.data) for cell in queue)
            yield len(queue) > bounds.max_messages or size > bounds.max_bytes

    # --------------------------------------------------- what it was that went wrong

    def _blame(self, frame: bytes, facts: Facts, rest: bytes) -> None:
        """Say what is wrong with a message that was not the next one of any lane."""
        shown = Posted(frame)
        for queue in self.pending:
            for place, message in enumerate(_messages(queue)):
                if message.data == frame:
                    skipped = queue[0].message
                    told = f"was overtaken by {shown} from {place} places behind"
                    late = skipped.data in rest or self._holds(message.lane, rest)
                    if late and skipped.delivery is not LATEST:
                        self.wrong(Invariant.FIFO, f"{skipped} {told}")
                    else:
                        self._missing(skipped, told)
                    return
        for message in self._lost:
            if message.data == frame:
                self._missing(message, "was told as lost, and is written")
                return
        for invariant, past, told in (
            (Invariant.LATEST, self._replaced, "was replaced by a newer one"),
            (Invariant.LEFT, self._gone, "is of a room that was left"),
            (Invariant.ONCE, self._written, "was written before"),
        ):
            if any(message.data == frame for message in past):
                self.wrong(invariant, f"{shown} {told}")
                return
        if facts.tenant not in (None, self.tenant):
            self.wrong(Invariant.TENANTS, f"{shown} is of tenant {facts.tenant}")
        else:
            self.wrong(Invariant.ONCE, f"{shown} was posted to somebody else")

    def _holds(self, lane: int, rest: bytes) -> bool:
        """Whether the outbox still holds all that is owed and not in these bytes."""
        assert self.session is not None
        under_way = sum(1 for _ in _frames(rest)) + 1
        messages, _ = self.session.outbox.depth(lane)
        return messages >= len(self.pending[lane]) - under_way and messages > 0

    def _missing(self, message: Posted, told: str) -> None:
        """Say which promise is broken by a message that did not come, or too late."""
        if isinstance(message, Marker) or any(message is one for one in self._pulled):
            invariant = Invariant.PULLED
        elif message.delivery is LATEST:
            invariant = Invariant.LATEST
        elif message.delivery is VOLATILE:
            invariant = Invariant.VOLATILE
        elif message.seq is not None:
            invariant = Invariant.RANGES
        else:
            invariant = Invariant.RELIABLE
        self.wrong(invariant, f"{message} {told}")

    def wrong(self, invariant: Invariant, told: str) -> None:
        self._violated(invariant, f"{self.name}: {told}")


def _messages(queue: Iterable[Cell]) -> Iterator[Posted]:
    return (cell.message for cell in queue)


def _frames(data: bytes, at: int = 0) -> Iterator[bytes]:
    """Yield the frames that bytes consist of."""
    while at < len(data):
        end = at + _LENGTH.size + _LENGTH.unpack_from(data, at)[0]
        yield data[at:end]
        at = end
