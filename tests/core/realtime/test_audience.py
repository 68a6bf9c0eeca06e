from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.pure import WIRE, ManualClock, Pipe, form, hot, lane
from wsprism_core.realtime import delivery
from wsprism_core.realtime.audience import SHARING_PAYS_FROM, Audience
from wsprism_core.realtime.delivery import DeliveryEngine
from wsprism_core.realtime.lanes import DEFAULT_LANES, Delivery, Lane
from wsprism_core.realtime.outbox import POSTED_LIMIT, WRITE_CHUNK, OutboxState
from wsprism_core.realtime.session import Session

ROOMS = 3


class Stage:
    """An engine, sessions with pipes, and rooms' audiences."""

    def __init__(
        self, sessions: int = 8, lanes: tuple[Lane, ...] = DEFAULT_LANES
    ) -> None:
        self.clock = ManualClock()
        self.cut: list[Session] = []
        self.engine = DeliveryEngine(self.clock, lanes, self._cut)
        self.rooms = [Audience(WIRE) for _ in range(ROOMS)]
        self.pipes = [Pipe() for _ in range(sessions)]
        self.sessions = [
            Session(str(n), f"user:{n}", "acme", pipe, self.engine.outbox())
            for n, pipe in enumerate(self.pipes)
        ]

    def _cut(self, session: Session) -> None:
        self.cut.append(session)
        for room in self.rooms:
            if session in room.members:
                room.remove(session)

    def everybody_joins(self, room: int = 0) -> Audience:
        for session in self.sessions:
            self.rooms[room].add(session)
        return self.rooms[room]

    def say(self, room: int, data: bytes, **options: Any) -> None:
        exclude = options.pop("exclude", None)
        message = hot(data, room=self.rooms[room], **options)
        self.engine.broadcast({WIRE: self.rooms[room]}, message, exclude)

    def written(self) -> list[bytes]:
        return [pipe.written for pipe in self.pipes]


def test_members_who_get_nothing_else_write_the_same_bytes() -> None:
    stage = Stage()
    room = stage.everybody_joins()
    stage.say(0, b"a")
    stage.say(0, b"b")
    assert room.tail is not None
    assert all(one.outbox.state is OutboxState.SHARING for one in stage.sessions)
    stage.clock.end_turn()
    assert len({id(pipe.writes[0]) for pipe in stage.pipes}) == 1
    assert stage.written() == [b"#a#b"] * 8
    assert room.tail is None
    assert all(one.outbox.state is OutboxState.CLEAN for one in stage.sessions)


def test_few_members_share_nothing() -> None:
    stage = Stage(SHARING_PAYS_FROM - 1)
    room = stage.everybody_joins()
    stage.say(0, b"a")
    assert room.tail is None
    stage.clock.end_turn()
    assert stage.written() == [b"#a"] * (SHARING_PAYS_FROM - 1)


def test_a_tail_is_written_in_the_order_of_lanes() -> None:
    stage = Stage()
    stage.everybody_joins()
    stage.say(0, b"chat")
    stage.say(0, b"input", lane_name="realtime")
    stage.say(0, b"more chat")
    stage.clock.end_turn()
    assert stage.written() == [b"#input#chat#more chat"] * 8


def test_what_a_member_gets_of_its_own_keeps_its_place() -> None:
    stage = Stage()
    room = stage.everybody_joins()
    stage.say(0, b"1")
    stage.engine.post(stage.sessions[0], hot(b"ack"))
    stage.say(0, b"2")
    assert list(room.apart) == [stage.sessions[0]]
    stage.clock.end_turn()
    assert stage.written() == [b"#1#ack#2"] + [b"#1#2"] * 7


def test_a_member_of_two_rooms_that_speak_has_one_order() -> None:
    stage = Stage()
    stage.everybody_joins(0)
    stage.everybody_joins(1)
    for data in (b"1", b"2", b"3", b"4"):
        stage.say(int(data) % 2, data)
    stage.clock.end_turn()
    assert stage.written() == [b"#1#2#3#4"] * 8


def test_whom_a_message_excludes_gets_the_others() -> None:
    stage = Stage()
    stage.everybody_joins()
    stage.say(0, b"1")
    stage.say(0, b"2", exclude=stage.sessions[3])
    stage.say(0, b"3")
    stage.clock.end_turn()
    assert stage.written()[3] == b"#1#3"
    assert stage.written()[4] == b"#1#2#3"


def test_who_joins_late_gets_what_comes_then() -> None:
    stage = Stage()
    room = stage.everybody_joins()
    room.remove(stage.sessions[0])
    stage.say(0, b"1")
    room.add(stage.sessions[0])
    stage.say(0, b"2")
    stage.clock.end_turn()
    assert stage.written()[:2] == [b"#2", b"#1#2"]


def test_who_leaves_keeps_what_came_before() -> None:
    stage = Stage()
    room = stage.everybody_joins()
    stage.say(0, b"1")
    room.remove(stage.sessions[0])
    stage.say(0, b"2")
    stage.clock.end_turn()
    assert stage.written()[:2] == [b"#1", b"#1#2"]
    stage.engine.post(stage.sessions[0], hot(b"3"))
    stage.clock.end_turn()
    assert stage.written()[0] == b"#1#3"


def test_a_full_socket_keeps_what_it_did_not_take() -> None:
    stage = Stage()
    stage.everybody_joins()
    stage.pipes[0].room = 10
    for _ in range(3):
        stage.say(0, b"x" * 40_000)
    stage.clock.end_turn()
    slow = stage.sessions[0].outbox
    assert slow.state is OutboxState.STALLED
    assert slow.depth(lane("interactive")) == (2, 80_002)
    assert [len(data) for data in stage.written()[1:]] == [120_003] * 7
    sent = stage.engine.counters[lane("interactive")].messages_out
    assert sent == 7 * 3 + 1
    stage.pipes[0].room = None
    stage.engine.resume(stage.sessions[0])
    assert len(stage.written()[0]) == 120_003
    assert stage.engine.counters[lane("interactive")].messages_out == 8 * 3


def test_one_turn_of_a_room_has_a_bound() -> None:
    stage = Stage()
    room = stage.everybody_joins()
    for _ in range(100):
        stage.say(0, b"x" * 10_000)
        assert room.tail is None or room.tail.posted <= POSTED_LIMIT + 10_001
    assert len(stage.pipes[0].written) > 100 * 10_000 - POSTED_LIMIT
    assert all(len(one) <= WRITE_CHUNK for one in stage.pipes[0].writes)
    stage.clock.end_turn()
    assert [len(one) for one in stage.written()] == [100 * 10_001] * 8


def test_a_session_that_ends_gets_nothing_more() -> None:
    stage = Stage()
    room = stage.everybody_joins()
    stage.say(0, b"1")
    stage.sessions[0].outbox.close()
    room.remove(stage.sessions[0])
    stage.say(0, b"2")
    stage.clock.end_turn()
    assert stage.written() == [b""] + [b"#1#2"] * 7


def test_a_write_that_ends_a_member_leaves_the_others_alone() -> None:
    stage = Stage()
    room = stage.everybody_joins()

    def fatal(data: bytes) -> bool:
        for session in stage.sessions[:2]:
            session.outbox.close()
            room.remove(session)
        return False

    stage.pipes[0].write = fatal  # type: ignore[method-assign]
    stage.say(0, b"1")
    stage.clock.end_turn()
    assert stage.written() == [b"", b""] + [b"#1"] * 6
    assert stage.cut == []


TIGHT = tuple(Lane(one.name, max_bytes=400, max_messages=4) for one in DEFAULT_LANES)
session_numbers = st.integers(0, 7)
room_numbers = st.integers(0, ROOMS - 1)
lanes = st.sampled_from(["realtime", "interactive", "bulk"])
speaking = st.one_of(
    st.tuples(
        st.just("say"),
        room_numbers,
        lanes,
        st.sampled_from(list(Delivery)),
        st.none() | session_numbers,
    ),
    st.tuples(st.just("post"), session_numbers, lanes),
    st.tuples(st.just("join"), session_numbers, room_numbers),
    st.tuples(st.just("leave"), session_numbers, room_numbers),
    st.tuples(st.just("send now"), session_numbers),
    st.tuples(st.just("end turn")),
)
hindering = st.one_of(
    st.tuples(st.just("pause"), session_numbers),
    st.tuples(st.just("resume"), session_numbers),
    st.tuples(st.just("room in the pipe"), session_numbers, st.integers(1, 60)),
    st.tuples(st.just("close"), session_numbers),
)
steps = st.lists(st.one_of(speaking, hindering), max_size=60)


def play(script: list[tuple[Any, ...]], writes_per_turn: int = 1_000) -> list[Any]:
    """Return what everybody was written, who was cut, and what was counted."""
    stage = Stage(lanes=TIGHT)
    stage.engine.writes_per_turn = writes_per_turn
    for number, session in enumerate(stage.sessions):
        stage.rooms[number % 2].add(session)
        stage.rooms[2].add(session)
    for number, (verb, *args) in enumerate(script):
        session = stage.sessions[args[0]] if args else stage.sessions[0]
        data = b"%d;" % number
        match verb:
            case "say":
                room, lane_name, delivery_class, excluded = args
                stage.say(
                    room,
                    lane_name.encode() + data,
                    lane_name=lane_name,
                    delivery=delivery_class,
                    key="k",
                    exclude=None if excluded is None else stage.sessions[excluded],
                )
            case "post":
                stage.engine.post(session, hot(args[1].encode() + data, args[1]))
            case "join":
                room = stage.rooms[args[1]]
                if session not in room.members and session not in stage.cut:
                    room.add(session)
            case "leave":
                room = stage.rooms[args[1]]
                if session in room.members:
                    stage.engine.let_go(session, room)
                    room.remove(session)
            case "pause":
                stage.engine.pause(session)
            case "resume":
                stage.pipes[args[0]].room = None
                stage.engine.resume(session)
            case "room in the pipe":
                stage.pipes[args[0]].room = args[1]
            case "send now":
                stage.engine.send_now(session)
            case "close":
                session.outbox.close()
            case "end turn":
                stage.clock.end_turn()
    stage.clock.end_turns()
    counted = [
        (one.messages_out, one.conflated, one.dropped, one.lost, one.overflowed)
        for one in stage.engine.counters
    ]
    return [stage.written(), [one.id for one in stage.cut], counted]


@settings(max_examples=300)
@given(script=steps)
def test_sharing_changes_nothing_that_anybody_sees(
    script: list[tuple[Any, ...]],
) -> None:
    shared = play(script)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delivery, "SHARING_PAYS_FROM", 1_000)
        alone = play(script)
    # Who is cut first among those of one turn is nobody's promise.
    assert (shared[0], sorted(shared[1]), shared[2]) == (
        alone[0],
        sorted(alone[1]),
        alone[2],
    )


def test_a_tail_ends_with_the_turn() -> None:
    audience = Audience(WIRE)
    tail = audience.begin()
    tail.add(form(b"chat"))
    tail.add(form(b"input", "realtime"))
    assert audience.take_tail() is tail
    assert [one.data for one in tail.in_order()] == [b"#input", b"#chat"]
    assert audience.tail is None
    assert audience.late is tail


# ---------------------------------------------------------- tails of several turns


def test_what_is_not_urgent_takes_so_many_writes_a_turn() -> None:
    stage = Stage()
    stage.everybody_joins()
    stage.engine.writes_per_turn = 3
    stage.say(0, b"1")
    for turns in range(1, 4):
        stage.clock.end_turn()
        written = [b"#1" if n < 3 * turns else b"" for n in range(8)]
        assert stage.written() == written
    assert not stage.clock.soon


def test_who_has_not_got_the_late_tail_gets_both_in_order() -> None:
    stage = Stage()
    room = stage.everybody_joins()
    stage.engine.writes_per_turn = 3
    stage.say(0, b"1")
    stage.clock.end_turn()
    stage.say(0, b"2")
    stage.engine.post(stage.sessions[7], hot(b"ack"))
    room.remove(stage.sessions[6])
    stage.say(0, b"3")
    stage.clock.end_turns()
    assert stage.written() == [b"#1#2#3"] * 6 + [b"#1#2", b"#1#2#ack#3"]


def test_the_urgent_is_written_to_everybody_in_its_turn() -> None:
    stage = Stage()
    stage.everybody_joins()
    stage.engine.writes_per_turn = 3
    stage.say(0, b"chat")
    stage.clock.end_turn()
    stage.say(0, b"input", lane_name="realtime")
    stage.clock.end_turn()
    # It goes before what the late have not got yet.
    assert stage.written() == [b"#chat#input"] * 3 + [b"#input#chat"] * 5
    assert not stage.clock.soon


def test_the_urgent_of_one_room_does_not_wait_for_another() -> None:
    stage = Stage()
    stage.everybody_joins(0)
    for session in stage.sessions[4:]:
        stage.rooms[1].add(session)
    stage.engine.writes_per_turn = 1
    stage.say(0, b"chat")
    stage.say(1, b"input", lane_name="realtime")
    stage.engine.post(stage.sessions[3], hot(b"pong", "control"))
    stage.clock.end_turn()
    assert stage.written() == [b"#chat", b"", b"", b"#pong#chat"] + [b"#input#chat"] * 4


def test_rooms_take_turns_with_their_tails() -> None:
    stage = Stage()
    for number, session in enumerate(stage.sessions):
        stage.rooms[number % 2].add(session)
    stage.engine.writes_per_turn = 2
    stage.say(0, b"a")
    stage.say(1, b"b")
    stage.clock.end_turn()
    stage.clock.end_turn()
    assert stage.written() == [b"#a", b"#b"] * 2 + [b""] * 4


def test_sessions_have_a_share_of_a_flooded_turn() -> None:
    stage = Stage()
    stage.everybody_joins()
    stage.rooms[0].remove(stage.sessions[7])
    stage.engine.writes_per_turn = 1
    stage.say(0, b"chat")
    stage.engine.post(stage.sessions[7], hot(b"ack"))
    stage.clock.end_turn()
    assert stage.written()[7] == b"#ack"


def test_who_is_full_when_the_late_tail_comes_keeps_both() -> None:
    stage = Stage()
    stage.everybody_joins()
    stage.engine.writes_per_turn = 1
    stage.pipes[1].room = 0
    stage.say(0, b"1")
    stage.clock.end_turn()
    stage.say(0, b"2")
    stage.clock.end_turns()
    stage.pipes[1].room = None
    stage.engine.resume(stage.sessions[1])
    assert stage.written() == [b"#1#2"] * 8


def by_lane(written: bytes) -> dict[bytes, list[bytes]]:
    """Return the messages that one was written, those of each lane in order."""
    found: dict[bytes, list[bytes]] = {}
    for message in written.split(b"#")[1:]:
        found.setdefault(message.rstrip(b"0123456789;"), []).append(message)
    return found


@settings(max_examples=300)
@given(script=st.lists(speaking, max_size=60), writes=st.integers(1, 6))
def test_several_turns_change_no_lane_of_anybody(
    script: list[tuple[Any, ...]], writes: int
) -> None:
    late, _, counted = play(script, writes)
    at_once, _, expected = play(script)
    assert [by_lane(one) for one in late] == [by_lane(one) for one in at_once]
    assert counted == expected


@settings(max_examples=300)
@given(script=steps, writes=st.integers(1, 6))
def test_several_turns_change_no_order(
    script: list[tuple[Any, ...]], writes: int
) -> None:
    written, _, _ = play(script, writes)
    for one in written:
        for lane_name, messages in by_lane(one).items():
            if b"sys.lost" not in one:
                numbers = [int(m[len(lane_name) : -1]) for m in messages]
                assert numbers == sorted(set(numbers))
