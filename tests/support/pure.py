"""What the tests of the pure core stand on: a wire, a link and a clock without I/O."""

from __future__ import annotations

from collections.abc import Callable

from wsprism_core.protocol.codecs import JSON
from wsprism_core.realtime.backlog import LaneCounters
from wsprism_core.realtime.clock import Timer
from wsprism_core.realtime.lanes import DEFAULT_LANES, Delivery, Lane
from wsprism_core.realtime.outbox import Outbox
from wsprism_core.realtime.session import Session
from wsprism_core.realtime.wire import Form, Outgoing, Wire


class PlainFraming:
    """Payloads between bars, so that what was written can be read."""

    name = "plain"

    def text(self, payload: bytes) -> bytes:
        return b"|" + payload

    def binary(self, payload: bytes) -> bytes:
        return b"#" + payload

    def ping(self, payload: bytes) -> bytes:
        return b"?" + payload


WIRE = Wire(JSON, PlainFraming())


class Pipe:
    """A link that takes so many bytes and then says that it is full."""

    def __init__(self, room: int | None = None) -> None:
        self.wire = WIRE
        self.room = room
        self.writes: list[bytes] = []
        self.closes: list[tuple[int, str]] = []

    @property
    def written(self) -> bytes:
        return b"".join(self.writes)

    def write(self, data: bytes) -> bool:
        self.writes.append(data)
        if self.room is None:
            return True
        self.room -= len(data)
        return self.room > 0

    def unsent(self) -> int:
        return 0

    def close(self, code: int, reason: str) -> None:
        self.closes.append((code, reason))


class ManualClock:
    """Time that stands still; work for the end of the turn runs when told to."""

    def __init__(self) -> None:
        self.time = 0.0
        self.soon: list[Callable[[], None]] = []

    def now(self) -> float:
        return self.time

    def wall_ms(self) -> int:
        return round(self.time * 1000)

    def at_end_of_turn(self, work: Callable[[], None]) -> None:
        self.soon.append(work)

    def after(self, seconds: float, work: Callable[[], None]) -> Timer:
        raise AssertionError("no timer is expected here")

    def end_turn(self) -> None:
        work, self.soon = self.soon, []
        for one in work:
            one()

    def end_turns(self) -> None:
        while self.soon:
            self.end_turn()


def lane(name: str) -> int:
    return [one.name for one in DEFAULT_LANES].index(name)


def hot(
    data: bytes,
    lane_name: str = "interactive",
    *,
    delivery: Delivery = Delivery.RELIABLE,
    key: object = None,
    room: object | None = None,
    svc: str = "sys",
    seq: int | None = None,
) -> Outgoing:
    """A message whose bytes on the plain wire are `#` and `data`."""
    return Outgoing(
        lane(lane_name),
        delivery=delivery,
        key=key,
        room=room,
        svc=svc,
        seq=seq,
        hot=data,
    )


def form(data: bytes, lane_name: str = "interactive", **options: object) -> Form:
    return hot(data, lane_name, **options).form(WIRE)  # type: ignore[arg-type]


def outbox(lanes: tuple[Lane, ...] = DEFAULT_LANES) -> Outbox:
    return Outbox(lanes, tuple(LaneCounters() for _ in lanes))


def session(id: str = "1", pipe: Pipe | None = None) -> Session:
    return Session(id, f"user:{id}", "acme", pipe or Pipe(), outbox())
