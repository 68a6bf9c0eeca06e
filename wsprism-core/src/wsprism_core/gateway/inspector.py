"""The queue inspector: what waits for whom, read when somebody asks.

A reading is a snapshot and holds nothing of the gateway. Asking costs time in
proportion to the sessions and rooms that there are; nothing is kept up to date for it
in between.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, Generic, TypeVar

from wsprism_core.gateway.monitor import GcReading, LagReading, Monitor
from wsprism_core.metrics import Metrics
from wsprism_core.protocol.errors import WsPrismError
from wsprism_core.realtime.backlog import LaneCounters
from wsprism_core.realtime.clock import Clock
from wsprism_core.realtime.delivery import DeliveryEngine
from wsprism_core.realtime.outbox import OutboxState
from wsprism_core.realtime.rooms import Room, RoomRegistry
from wsprism_core.realtime.session import Session, SessionRegistry

__all__ = (
    "MAX_PAGE",
    "BadCursor",
    "Inspector",
    "LaneDepth",
    "LaneReading",
    "Overview",
    "Page",
    "RoomReading",
    "SessionReading",
)

#: The most sessions or rooms on one page.
MAX_PAGE: Final = 1000
#: The most rooms that a session's reading names.
MAX_ROOM_NAMES: Final = 100
#: The least time from which a room's rate is measured, in seconds.
MIN_RATE_TIME: Final = 0.5

T = TypeVar("T")


class BadCursor(WsPrismError, ValueError):
    """A cursor that no page gave."""

    def __str__(self) -> str:
        return "the cursor is none that a page gave"


@dataclass(frozen=True, slots=True)
class LaneDepth:
    """What waits in one lane of one session.

    Args:
        lane: The lane's name.
        messages: How many wait.
        bytes: Their length together, as they go over the wire.
        oldest_s: For how long the one that is sent next has waited, in seconds; None
            where none does. What replaced its elder of the same key waits since then.
        conflated: Messages of this session that were replaced by a newer one.
        dropped: Volatile messages of this session that were dropped at a bound.
        lost: Recoverable messages that this session was told of as a range instead.
    """

    lane: str
    messages: int
    bytes: int
    oldest_s: float | None
    conflated: int
    dropped: int
    lost: int


@dataclass(frozen=True, slots=True)
class SessionReading:
    """One session.

    Args:
        id: The session's id.
        user: The user's id.
        tenant: The tenant's id.
        transport: How its messages are framed, such as `websocket`.
        codec: How its envelopes are encoded.
        age_s: Since it began, in seconds.
        rooms: The rooms that it is in, the first 100 of them, in the order of joining.
        room_count: How many those are, all counted.
        messages: How many messages wait for it.
        bytes: Their length together.
        stalled_s: For how long something has always waited for its socket, in seconds;
            None where the socket takes everything.
        silent_s: How long ago its socket took bytes last, in seconds; None likewise.
        lanes: Each of its lanes, in strict order.
    """

    id: str
    user: str
    tenant: str
    transport: str
    codec: str
    age_s: float
    rooms: tuple[str, ...]
    room_count: int
    messages: int
    bytes: int
    stalled_s: float | None
    silent_s: float | None
    lanes: tuple[LaneDepth, ...]


@dataclass(frozen=True, slots=True)
class RoomReading:
    """One room, as this gateway sees it.

    Args:
        tenant: The tenant's id.
        name: The room's name.
        alias: What stands for it in hot frames.
        members: Sessions of this gateway that are in it, and seen to be.
        users: Users among them.
        audience: Sessions of this gateway that get what is sent to it, quiet ones too.
        seq: The number of its newest recoverable message, 0 before the first.
        epoch: Since when `seq` counts.
        published: Messages and frames that were sent to it here.
        published_per_s: How many a second since the rooms were read before, or where
            they were not, since the gateway began.
    """

    tenant: str
    name: str
    alias: int
    members: int
    users: int
    audience: int
    seq: int
    epoch: str
    published: int
    published_per_s: float


@dataclass(frozen=True, slots=True)
class LaneReading:
    """One lane over all sessions.

    Args:
        lane: The lane's name.
        messages_out: Messages handed to sockets.
        out_per_s: How many a second, over the last second.
        waiting_messages: How many wait now, of sessions whose sockets are full.
        waiting_bytes: Their length together.
        conflated: Messages that were replaced by a newer one.
        dropped: Volatile messages dropped at a bound.
        lost: Recoverable messages that were told as a range instead.
        overflowed: Sessions that were closed because the lane was full.
    """

    lane: str
    messages_out: int
    out_per_s: float
    waiting_messages: int
    waiting_bytes: int
    conflated: int
    dropped: int
    lost: int
    overflowed: int


@dataclass(frozen=True, slots=True)
class Overview:
    """The gateway as a whole.

    Rates, CPU and lag are 0 where no monitor runs.

    Args:
        uptime_s: Since it was made, in seconds.
        sessions: Open sessions.
        stalled: Those whose sockets are full.
        rooms: Rooms that have members here.
        messages_in: Messages received, `sys.*` not counted.
        messages_out: Messages handed to sockets.
        in_per_s: Messages received a second, over the last second.
        out_per_s: Messages handed to sockets a second, over the last second.
        waiting_bytes: What waits for all sessions together.
        cpu: The share of one core that the process took over the last second.
        memory_bytes: What the process holds in memory; None where the platform does not
            tell.
        loop_lag: How late the event loop was.
        gc: The pauses of the garbage collector, by generation.
        lanes: Each lane, in strict order.
    """

    uptime_s: float
    sessions: int
    stalled: int
    rooms: int
    messages_in: int
    messages_out: int
    in_per_s: float
    out_per_s: float
    waiting_bytes: int
    cpu: float
    memory_bytes: int | None
    loop_lag: LagReading
    gc: tuple[GcReading, ...]
    lanes: tuple[LaneReading, ...]


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A bounded part of a list that may change between two pages.

    Args:
        items: What stands on it.
        total: How many there are on all pages.
        next: The cursor of the next page; None on the last.
    """

    items: tuple[T, ...]
    total: int
    next: str | None


class Inspector:
    """Reads the gateway's state; it changes nothing.

    Args:
        sessions: Who is there.
        rooms: Where they are.
        delivery: The lanes.
        metrics: What was counted.
        clock: Time.
        monitor: The event loop's health.
    """

    def __init__(
        self,
        *,
        sessions: SessionRegistry,
        rooms: RoomRegistry,
        delivery: DeliveryEngine,
        metrics: Metrics,
        clock: Clock,
        monitor: Monitor,
    ) -> None:
        self._sessions = sessions
        self._rooms = rooms
        self._delivery = delivery
        self._metrics = metrics
        self._clock = clock
        self._monitor = monitor
        self._began = clock.now()
        # What each room had published when rates were measured last, by alias.
        self._measured_at = self._began
        self._measured: dict[int, int] = {}
        self._rates: dict[int, float] = {}

    def overview(self) -> Overview:
        """Return the gateway as a whole."""
        monitor, counters = self._monitor, self._delivery.counters
        indices = range(len(counters))
        messages, sizes, stalled = [0 for _ in indices], [0 for _ in indices], 0
        for session in self._sessions:
            backlog = session.outbox.backlog
            if backlog is None:
                continue
            stalled += 1
            for index in indices:
                count, size = backlog.depth(index)
                messages[index] += count
                sizes[index] += size
        rates = monitor.lane_rates or [0.0] * len(counters)
        return Overview(
            uptime_s=self._clock.now() - self._began,
            sessions=len(self._sessions),
            stalled=stalled,
            rooms=len(self._rooms),
            messages_in=sum(self._metrics.messages.values()),
            messages_out=sum(lane.messages_out for lane in counters),
            in_per_s=monitor.in_rate,
            out_per_s=sum(rates),
            waiting_bytes=sum(sizes),
            cpu=monitor.cpu,
            memory_bytes=monitor.memory(),
            loop_lag=monitor.lag(),
            gc=monitor.gc(),
            lanes=tuple(
                LaneReading(
                    lane=lane.name,
                    messages_out=counted.messages_out,
                    out_per_s=rates[index],
                    waiting_messages=messages[index],
                    waiting_bytes=sizes[index],
                    conflated=counted.conflated,
                    dropped=counted.dropped,
                    lost=counted.lost,
                    overflowed=counted.overflowed,
                )
                for index, (lane, counted) in enumerate(
                    zip(self._delivery.lanes, counters, strict=True)
                )
            ),
        )

    def sessions(
        self, *, limit: int = 50, cursor: str | None = None
    ) -> Page[SessionReading]:
        """Return sessions, those for which most bytes wait first.

        Args:
            limit: How many at the most, up to 1,000.
            cursor: A page's `next`. A session whose backlog changes between two pages
                may stand on both, or on none.

        Raises:
            BadCursor: It is none.
        """
        ranked = [(-one.outbox.waiting, one.id, one) for one in self._sessions]
        found, following = _first(ranked, limit, cursor)
        return Page(
            items=tuple(self._read_session(session) for session in found),
            total=len(self._sessions),
            next=following,
        )

    def session(self, id: str) -> SessionReading | None:
        """Return an open session by its id."""
        session = self._sessions.get(id)
        return None if session is None else self._read_session(session)

    def rooms(self, *, limit: int = 50, cursor: str | None = None) -> Page[RoomReading]:
        """Return rooms, the busiest first.

        Args:
            limit: How many at the most, up to 1,000.
            cursor: A page's `next`, as for `sessions`.

        Raises:
            BadCursor: It is none.
        """
        self._measure_rooms()
        rates = self._rates
        ranked = [
            # A cursor has whole numbers: messages a minute.
            (-round(60 * rates.get(one.alias, 0.0)), str(one.alias), one)
            for one in self._rooms
        ]
        found, following = _first(ranked, limit, cursor)
        return Page(
            items=tuple(self._read_room(room) for room in found),
            total=len(self._rooms),
            next=following,
        )

    # ------------------------------------------------------------------ reading

    def _read_session(self, session: Session) -> SessionReading:
        now, outbox = self._clock.now(), session.outbox
        backlog = outbox.backlog
        depths = tuple(self._read_lanes(session, now))
        return SessionReading(
            id=session.id,
            user=session.user,
            tenant=session.tenant,
            transport=session.wire.framing.name,
            codec=session.wire.codec.name,
            age_s=now - session.opened,
            rooms=tuple(islice(session.memberships, MAX_ROOM_NAMES)),
            room_count=len(session.memberships),
            messages=sum(depth.messages for depth in depths),
            bytes=outbox.waiting,
            stalled_s=None if backlog is None else now - backlog.began,
            silent_s=None if backlog is None else now - backlog.took,
            lanes=depths,
        )

    def _read_lanes(self, session: Session, now: float) -> Iterable[LaneDepth]:
        outbox = session.outbox
        is_open = outbox.state is not OutboxState.CLOSED
        own: Sequence[LaneCounters] = outbox.own or _NOTHING * len(outbox.lanes)
        for index, lane in enumerate(outbox.lanes):
            messages, size = outbox.depth(index) if is_open else (0, 0)
            since = None
            if outbox.backlog is not None:
                since = outbox.backlog.waits_since(index)
            yield LaneDepth(
                lane=lane.name,
                messages=messages,
                bytes=size,
                oldest_s=None if since is None else now - since,
                conflated=own[index].conflated,
                dropped=own[index].dropped,
                lost=own[index].lost,
            )

    def _read_room(self, room: Room) -> RoomReading:
        return RoomReading(
            tenant=room.tenant,
            name=room.name,
            alias=room.alias,
            members=room.size,
            users=room.users,
            audience=sum(map(len, room.audience.values())),
            seq=room.channel.seq,
            epoch=room.channel.epoch,
            published=room.published,
            published_per_s=self._rates.get(room.alias, 0.0),
        )

    def _measure_rooms(self) -> None:
        """Measure every room's rate, unless that was done a moment ago."""
        now = self._clock.now()
        elapsed = now - self._measured_at
        if elapsed < MIN_RATE_TIME:
            return
        published = {room.alias: room.published for room in self._rooms}
        before = self._measured
        self._rates = {
            alias: (count - before.get(alias, 0)) / elapsed
            for alias, count in published.items()
        }
        self._measured, self._measured_at = published, now


_NOTHING: Final = (LaneCounters(),)


def _first(
    ranked: list[tuple[int, str, T]], limit: int, cursor: str | None
) -> tuple[list[T], str | None]:
    """Return what ranks highest behind a cursor, and the cursor of what follows.

    Args:
        ranked: Weight, below 0, name and item of each; the lowest is first.
        limit: How many at the most.
        cursor: None begins with the first.

    Raises:
        BadCursor: It is none.
    """
    limit = max(1, min(limit, MAX_PAGE))
    if cursor is not None:
        after = _parse_cursor(cursor)
        ranked = [row for row in ranked if row[:2] > after]
    # No two have the same name, so that the items themselves are never compared.
    rows = heapq.nsmallest(limit + 1, ranked)
    items = [item for _, _, item in rows[:limit]]
    if len(rows) <= limit:
        return items, None
    weight, name, _ = rows[limit - 1]
    return items, f"{-weight}-{name}"


def _parse_cursor(cursor: str) -> tuple[int, str]:
    """Return weight and name of what a page ended with.

    Raises:
        BadCursor: It is none.
    """
    weight, dash, name = cursor.partition("-")
    if not (dash and weight.isascii() and weight.isdigit() and len(weight) < 20):
        raise BadCursor(cursor)
    return -int(weight), name
