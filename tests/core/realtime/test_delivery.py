from __future__ import annotations

import pytest

from support.pure import ManualClock, Pipe, PlainFraming, hot
from wsprism_core.protocol.codecs import MSGPACK
from wsprism_core.realtime.audience import Audience
from wsprism_core.realtime.delivery import DeliveryEngine, MessageTooLarge
from wsprism_core.realtime.lanes import DEFAULT_LANES, Delivery, Lane
from wsprism_core.realtime.outbox import OutboxState
from wsprism_core.realtime.session import Session
from wsprism_core.realtime.wire import Outgoing, Wire


class Bench:
    """An engine with what it needs."""

    def __init__(self, lanes: tuple[Lane, ...] = DEFAULT_LANES) -> None:
        self.clock = ManualClock()
        self.cut: list[Session] = []
        self.engine = DeliveryEngine(self.clock, lanes, self.cut.append)

    def session(self, id: str = "1", room: int | None = None) -> tuple[Session, Pipe]:
        pipe = Pipe(room)
        return Session(id, "user:ann", "acme", pipe, self.engine.outbox()), pipe


def everybody(*sessions: Session) -> dict[Wire, Audience]:
    """A room's audience, by wire."""
    audiences: dict[Wire, Audience] = {}
    for session in sessions:
        audiences.setdefault(session.wire, Audience(session.wire)).add(session)
    return audiences


def test_a_message_is_written_at_the_end_of_the_turn() -> None:
    bench = Bench()
    session, pipe = bench.session()
    bench.engine.post(session, hot(b"a"))
    bench.engine.post(session, hot(b"b"))
    assert pipe.writes == []
    bench.clock.end_turn()
    assert pipe.writes == [b"#a#b"]


def test_one_turn_schedules_one_flush_for_everybody() -> None:
    bench = Bench()
    sessions = [bench.session(str(n))[0] for n in range(5)]
    for session in sessions:
        bench.engine.post(session, hot(b"a"))
    assert len(bench.clock.soon) == 1


def test_a_later_turn_flushes_again() -> None:
    bench = Bench()
    session, pipe = bench.session()
    for data in (b"a", b"b"):
        bench.engine.post(session, hot(data))
        bench.clock.end_turn()
    assert pipe.writes == [b"#a", b"#b"]


def test_a_broadcast_is_the_same_bytes_for_all_of_one_wire() -> None:
    bench = Bench()
    members = [bench.session(str(n))[0] for n in range(3)]
    bench.engine.broadcast(everybody(*members), hot(b"a"))
    forms = {id(session.outbox.queues[3][0]) for session in members}
    assert len(forms) == 1


def test_a_broadcast_is_encoded_for_each_wire() -> None:
    bench = Bench()
    other = Wire(MSGPACK, PlainFraming())
    (one, pipe), (two, other_pipe) = bench.session("1"), bench.session("2")
    two.wire = other
    message = Outgoing(0, envelope={"v": 1})
    bench.engine.broadcast(everybody(one, two), message)
    bench.clock.end_turn()
    assert pipe.written == b'|{"v":1}'
    assert other_pipe.written == b"#\x81\xa1v\x01"


def test_what_cannot_be_encoded_for_one_wire_reaches_nobody() -> None:
    bench = Bench()
    other = Wire(MSGPACK, PlainFraming())
    one, two = bench.session("1")[0], bench.session("2")[0]
    two.wire = other
    message = Outgoing(0, envelope={"v": object()})
    with pytest.raises(ValueError, match="object"):
        bench.engine.broadcast(everybody(one, two), message)
    assert one.outbox.waiting == two.outbox.waiting == 0


def test_a_broadcast_leaves_out_whom_it_excludes() -> None:
    bench = Bench()
    (one, pipe), (two, other_pipe) = bench.session("1"), bench.session("2")
    bench.engine.broadcast(everybody(one, two), hot(b"a"), exclude=one)
    bench.clock.end_turn()
    assert pipe.writes == []
    assert other_pipe.writes == [b"#a"]


def test_a_full_socket_stalls_the_session_until_it_resumes() -> None:
    bench = Bench()
    session, pipe = bench.session(room=1)
    bench.engine.post(session, hot(b"a"))
    bench.clock.end_turn()
    assert session.outbox.state is OutboxState.STALLED
    assert session.outbox.waiting == 0
    bench.engine.pause(session)
    bench.engine.post(session, hot(b"b"))
    bench.clock.end_turn()
    assert pipe.writes == [b"#a"]
    pipe.room = None
    bench.engine.resume(session)
    assert pipe.writes == [b"#a", b"#b"]


TIGHT = tuple(Lane(one.name, max_bytes=50, max_messages=2) for one in DEFAULT_LANES)


def test_a_slow_consumer_is_cut_at_the_end_of_the_turn_and_others_go_on() -> None:
    bench = Bench(TIGHT)
    (slow, slow_pipe), (quick, pipe) = bench.session("1"), bench.session("2")
    bench.engine.pause(slow)
    for _ in range(3):
        bench.engine.broadcast(everybody(slow, quick), hot(b"a"))
    assert bench.cut == []
    bench.clock.end_turn()
    assert bench.cut == [slow]
    assert slow_pipe.writes == []
    assert pipe.written == b"#a#a#a"


def test_a_slow_consumer_is_cut_once() -> None:
    bench = Bench(TIGHT)
    slow, _ = bench.session()
    bench.engine.pause(slow)
    for _ in range(9):
        bench.engine.post(slow, hot(b"a"))
    bench.clock.end_turn()
    bench.clock.end_turn()
    assert bench.cut == [slow]


def test_too_much_left_by_one_turn_cuts_too() -> None:
    bench = Bench(TIGHT)
    slow, _ = bench.session(room=1)
    for _ in range(5):
        bench.engine.post(slow, hot(b"x" * 40_000))
    bench.clock.end_turn()
    assert bench.cut == [] or bench.cut == [slow]
    bench.clock.end_turn()
    assert bench.cut == [slow]


def test_sending_now_does_not_wait_for_the_end_of_the_turn() -> None:
    bench = Bench()
    session, pipe = bench.session()
    bench.engine.post(session, hot(b"a"))
    bench.engine.send_now(session)
    assert pipe.writes == [b"#a"]
    bench.clock.end_turn()
    assert pipe.writes == [b"#a"]


def test_letting_go_of_a_room_sends_what_can_be_sent() -> None:
    bench = Bench()
    room = object()
    session, pipe = bench.session()
    bench.engine.post(session, hot(b"last words", room=room))
    bench.engine.let_go(session, room)
    assert pipe.writes == [b"#last words"]


def test_letting_go_of_a_room_forgets_what_cannot_be_sent() -> None:
    bench = Bench()
    room = object()
    session, pipe = bench.session()
    bench.engine.pause(session)
    bench.engine.post(session, hot(b"last words", room=room))
    bench.engine.let_go(session, room)
    bench.engine.resume(session)
    assert pipe.writes == []


def test_a_lane_is_found_by_name() -> None:
    bench = Bench()
    assert bench.engine.lane("market") == 2
    with pytest.raises(KeyError):
        bench.engine.lane("express")


def test_one_turn_holds_no_more_than_its_bound() -> None:
    bench = Bench()
    session, pipe = bench.session(room=1)
    most = 0
    for _ in range(2_000):
        bench.engine.post(session, hot(b"x" * 4_096))
        most = max(most, session.outbox.waiting)
    assert pipe.writes
    assert most <= 1_048_576 + 256 * 1_024 + 4_097
    bench.clock.end_turn()
    assert bench.cut == [session]


def test_what_is_not_sent_is_counted_by_tenant_service_lane_and_reason() -> None:
    bench = Bench(tuple(Lane(one.name, 1_000, 2) for one in DEFAULT_LANES))
    slow = Session("1", "user:ann", "acme", Pipe(), bench.engine.outbox("acme"))
    bench.engine.pause(slow)
    for _ in range(3):
        message = hot(b"a", "market", delivery=Delivery.LATEST, key="k", svc="ticks")
        bench.engine.post(slow, message)
    for _ in range(3):
        message = hot(b"a", "bulk", delivery=Delivery.VOLATILE, svc="noise")
        bench.engine.post(slow, message)
    for seq in (1, 2, 3):
        message = hot(b"a", "interactive", seq=seq, room=slow, svc="chat")
        bench.engine.post(slow, message)
    for _ in range(3):
        bench.engine.post(slow, hot(b"a", "realtime", svc="game"))
    assert bench.engine.unsent == {
        ("acme", "ticks", "market", "conflated"): 2,
        ("acme", "noise", "bulk", "dropped"): 2,
        ("acme", "chat", "interactive", "lost"): 3,
        ("acme", "game", "realtime", "overflowed"): 1,
    }


def test_a_message_larger_than_its_lane_takes_is_refused_and_reaches_nobody() -> None:
    small = tuple(
        Lane(one.name, 1_000, 10, max_message_bytes=10) for one in DEFAULT_LANES
    )
    bench = Bench(small)
    (one, pipe), (two, other_pipe) = bench.session("1"), bench.session("2")
    large = hot(b"x" * 10, svc="chat")
    assert not bench.engine.fits(one.wire, large)
    assert bench.engine.fits(one.wire, hot(b"x" * 9))
    with pytest.raises(MessageTooLarge, match="11 bytes"):
        bench.engine.post(one, large)
    with pytest.raises(MessageTooLarge, match="11 bytes"):
        bench.engine.post_each([one, two], large)
    with pytest.raises(MessageTooLarge, match="11 bytes"):
        bench.engine.broadcast(everybody(one, two), large)
    bench.engine.post(one, hot(b"x" * 9))
    bench.clock.end_turn()
    assert (pipe.written, other_pipe.written) == (b"#" + b"x" * 9, b"")
    assert bench.engine.unsent["acme", "chat", "interactive", "too_large"] == 3


def test_a_flush_that_fails_and_never_should_loses_nobody_else() -> None:
    bench = Bench()
    (one, pipe), (two, other_pipe) = bench.session("1"), bench.session("2")

    def fail(data: bytes) -> bool:
        raise RuntimeError("a bug")

    pipe.write = fail  # type: ignore[method-assign]
    bench.engine.post(one, hot(b"a"))
    bench.engine.post(two, hot(b"b"))
    with pytest.raises(RuntimeError):
        bench.clock.end_turn()
    bench.clock.end_turn()
    assert other_pipe.written == b"#b"
