from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.pure import WIRE, form, hot, lane
from wsprism_core.realtime.backlog import (
    LOST_SIZE,
    STARVATION_FLOOR,
    Backlog,
    LaneCounters,
    Pull,
)
from wsprism_core.realtime.lanes import DEFAULT_LANES, Delivery, Lane
from wsprism_core.realtime.wire import Form, Outgoing

INTERACTIVE = lane("interactive")


class Named:
    """Stands for a room."""

    def __init__(self, name: str) -> None:
        self.name = name


LOBBY, ARENA = Named("lobby"), Named("arena")


class Bench:
    """A backlog with its counters and small lanes."""

    def __init__(self, max_messages: int = 5, max_bytes: int = 10_000) -> None:
        self.lanes = tuple(
            Lane(one.name, max_bytes=max_bytes, max_messages=max_messages)
            for one in DEFAULT_LANES
        )
        self.counters = tuple(LaneCounters() for _ in self.lanes)
        self.own = tuple(LaneCounters() for _ in self.lanes)
        self.time = 0.0
        self.backlog = Backlog(self.lanes, self.counters, self.own, lambda: self.time)

    def say(self, *seqs: int, room: Named = LOBBY) -> bool:
        """Queue recoverable messages of a room."""
        kept = [self.backlog.add(chat(seq, room=room)) for seq in seqs]
        return all(kept)

    def sent(self, limit: int = 1_000_000) -> list[Any]:
        """Everything, in the order in which it would be sent."""
        got: list[Any] = []
        while data := self.backlog.take(limit, WIRE, None):
            got += [read(part) for part in split(data)]
        return got


def chat(seq: int, *, room: Named = LOBBY) -> Form:
    return form(b"%d" % seq, room=room, seq=seq, svc="chat")


def split(data: bytes) -> list[bytes]:
    """Cut what the plain wire wrote into its messages."""
    parts: list[bytes] = []
    for byte in data:
        if byte in b"#|":
            parts.append(b"")
        parts[-1] += bytes([byte])
    return parts


def read(part: bytes) -> Any:
    """A hot message as its text, a `sys.lost` as its data."""
    if part[:1] == b"#":
        return part[1:].decode()
    envelope = orjson.loads(part[1:])
    assert (envelope["svc"], envelope["type"]) == ("sys", "lost")
    return envelope["data"]


def lost(first: int, last: int, room: str = "lobby") -> dict[str, Any]:
    return {
        "svc": "chat",
        "room": room,
        "lane": "interactive",
        "count": last - first + 1,
        "from_seq": first,
        "to_seq": last,
    }


def test_a_full_lane_of_a_recoverable_room_becomes_one_range_in_its_place() -> None:
    bench = Bench()
    assert bench.say(1, 2, 3, 4, 5, 6)
    assert bench.say(7)
    assert bench.sent() == [lost(1, 6), "7"]
    assert bench.counters[INTERACTIVE].lost == 6


def test_adjacent_ranges_merge() -> None:
    bench = Bench()
    assert bench.say(*range(1, 31))
    got = bench.sent()
    assert got[0] == lost(1, 26)
    assert got[1:] == ["27", "28", "29", "30"]


def test_a_range_stands_where_the_first_missing_message_stood() -> None:
    bench = Bench()
    bench.backlog.add(form(b"before"))
    bench.say(1, 2)
    bench.backlog.add(form(b"after"))
    assert bench.say(3, 4)
    assert bench.sent() == ["before", lost(1, 4), "after"]


def test_after_a_range_was_sent_a_new_one_begins() -> None:
    bench = Bench()
    bench.say(*range(1, 7))
    assert bench.sent() == [lost(1, 6)]
    bench.say(*range(7, 13))
    assert bench.sent() == [lost(7, 12)]


def test_the_room_whose_message_comes_gives_way_first() -> None:
    bench = Bench()
    bench.say(1, 2, 3, 4)
    bench.say(1, room=ARENA)
    bench.say(2, room=ARENA)
    assert bench.sent() == ["1", "2", "3", "4", lost(1, 2, "arena")]


def test_a_flooding_room_gives_way_to_what_may_not_be_lost() -> None:
    bench = Bench()
    bench.say(1, 2, 3, 4, 5)
    assert bench.backlog.add(form(b"ack"))
    assert bench.sent() == [lost(1, 5), "ack"]


def test_a_room_whose_numbers_two_services_share_has_one_range() -> None:
    bench = Bench()
    assert bench.say(1, 2, 3)
    for seq in (4, 5, 6):
        assert bench.backlog.add(form(b"%d" % seq, room=LOBBY, seq=seq, svc="poll"))
    assert bench.backlog.add(form(b"7", room=LOBBY, seq=7, svc="poll"))
    bench.say(8, 9, 10, 11)
    assert bench.sent() == [lost(1, 11)]


def test_where_nothing_may_give_way_the_session_must_be_closed() -> None:
    bench = Bench()
    assert all(bench.backlog.add(form(b"ack")) for _ in range(5))
    assert not bench.backlog.add(form(b"ack"))
    assert bench.counters[INTERACTIVE].overflowed == 1


def test_volatile_messages_go_oldest_first_and_are_counted() -> None:
    bench = Bench()
    for n in range(8):
        one = form(b"v%d" % n, delivery=Delivery.VOLATILE, svc="game", room=ARENA)
        assert bench.backlog.add(one)
    told = {"svc": "game", "room": "arena", "lane": "interactive", "count": 4}
    assert bench.sent() == [told, "v4", "v5", "v6", "v7"]
    assert bench.counters[INTERACTIVE].dropped == 4


def test_bytes_are_bounded_too() -> None:
    bench = Bench(max_messages=1_000, max_bytes=1_000)
    for n in range(1, 60):
        one = form(b"x" * 99, room=LOBBY, seq=n, svc="chat")
        assert bench.backlog.add(one)
        assert bench.backlog.depth(INTERACTIVE)[1] <= 1_000


def test_every_lane_that_waits_gets_its_floor() -> None:
    bench = Bench(max_messages=10_000, max_bytes=10_000_000)
    for n in range(600):
        bench.backlog.add(form(b"%03d" % n + b"r" * 1_020, "realtime"))
    for n in range(10):
        bench.backlog.add(form(b"chat%d" % n))
        bench.backlog.add(form(b"bulk%d" % n, "bulk"))
    order = bench.sent()
    chats = [at for at, one in enumerate(order) if one.startswith("chat")]
    bulks = [at for at, one in enumerate(order) if one.startswith("bulk")]
    per_floor = STARVATION_FLOOR // 1_024
    assert chats[0] <= per_floor + 1
    assert bulks[0] <= per_floor + 2
    assert all(
        later - earlier <= per_floor + 2 for earlier, later in pairwise(chats[:9])
    )
    realtime = [one for one in order if one[3:5] == "rr"]
    assert realtime == sorted(realtime)


def test_a_floor_is_paid_when_its_message_goes_and_not_before() -> None:
    bench = Bench(max_messages=10_000, max_bytes=10_000_000)
    for n in range(200):
        bench.backlog.add(form(b"%03d" % n + b"r" * 1_020, "realtime"))
    # Too large for what is left of the write in which its turn comes.
    bench.backlog.add(form(b"b" * 2_000, "bulk"))
    order = bench.sent(limit=16 * 1_024 + 1)
    place = next(at for at, one in enumerate(order) if one[0] == "b")
    assert place <= STARVATION_FLOOR // 1_024 + 1


def test_a_floor_overtakes_nothing_that_was_in_control_before_it() -> None:
    bench = Bench(max_messages=10_000, max_bytes=10_000_000)
    # Enough for two floors, and something behind it.
    bench.backlog.add(form(b"r" * 2 * STARVATION_FLOOR, "realtime"))
    bench.backlog.add(form(b"rr", "realtime"))
    bench.say(1)
    bench.say(7, room=ARENA)
    bench.backlog.take(1, WIRE, None)
    # It leaves the lobby and joins it again.
    bench.backlog.drop_room(LOBBY)
    for name in (b"left", b"joined"):
        bench.backlog.add(form(name, "control"))
    bench.say(2)
    bench.backlog.add(form(b"later", "control"))
    assert bench.sent() == ["7", "left", "joined", "2", "later", "rr"]


def test_a_lane_that_was_empty_has_saved_up_no_floor() -> None:
    bench = Bench(max_messages=10_000, max_bytes=10_000_000)
    bench.backlog.add(form(b"r" * STARVATION_FLOOR, "realtime"))
    bench.backlog.add(form(b"rr", "realtime"))
    bench.say(1)
    bench.backlog.take(1, WIRE, None)
    bench.backlog.drop_room(LOBBY)
    bench.say(2)
    assert bench.sent() == ["rr", "2"]


def test_a_marker_with_nothing_behind_it_uses_no_floor() -> None:
    bench = Bench(max_messages=10_000, max_bytes=10_000_000)
    for n in range(200):
        bench.backlog.add(form(b"%03d" % n + b"r" * 1_020, "realtime"))
    bench.backlog.add_pull(Pull(lane("bulk"), Scripted()))
    bench.backlog.add(form(b"bulk", "bulk"))
    place = bench.sent().index("bulk")
    assert place <= STARVATION_FLOOR // 1_024 + 1


def test_a_lane_saves_up_no_floor_while_nothing_of_it_waits() -> None:
    bench = Bench(max_messages=10_000, max_bytes=10_000_000)
    for _ in range(300):
        bench.backlog.add(form(b"r" * 1_023, "realtime"))
    bench.backlog.take(256 * 1_024, WIRE, None)
    for n in range(3):
        bench.backlog.add(form(b"chat%d" % n))
    assert not any(one.startswith("chat") for one in bench.sent()[:40])


class Scripted:
    """A source that hands out what it was given, a few at a time."""

    def __init__(self, *messages: Outgoing, at_once: int = 2) -> None:
        self.messages = list(messages)
        self.at_once = at_once
        self.asked: list[tuple[Any, int]] = []

    def pull(self, reader: Any, budget: int) -> tuple[Sequence[Outgoing], bool]:
        self.asked.append((reader, budget))
        got = self.messages[: self.at_once]
        self.messages = self.messages[self.at_once :]
        return got, bool(self.messages)


def test_a_range_does_not_make_a_write_larger_than_it_may_be() -> None:
    bench = Bench(max_messages=3)
    bench.backlog.add(form(b"x" * 990, "control"))
    assert bench.say(1, 2, 3, 4)
    assert len(bench.backlog.take(1_000, WIRE, None)) == 991
    assert bench.sent() == [lost(1, 4)]


def test_what_is_pulled_is_asked_for_when_its_turn_comes() -> None:
    bench = Bench()
    source = Scripted(hot(b"p1"), hot(b"p2"), hot(b"p3"))
    bench.backlog.add(form(b"before"))
    bench.backlog.add_pull(Pull(INTERACTIVE, source))
    bench.backlog.add(form(b"after"))
    assert source.asked == []
    assert bench.backlog.take(1, WIRE, "ann") == b"#before"
    assert source.asked == []
    assert bench.sent() == ["p1", "p2", "p3", "after"]


def test_a_pull_gets_what_is_left_of_the_budget_and_its_reader() -> None:
    bench = Bench()
    source = Scripted(hot(b"p"))
    bench.backlog.add(form(b"x" * 99))
    bench.backlog.add_pull(Pull(INTERACTIVE, source))
    bench.backlog.take(1_000, WIRE, "ann")
    assert source.asked == [("ann", 900)]


def test_a_pull_waits_once_for_each_key() -> None:
    bench = Bench()
    source, other = Scripted(), Scripted()
    for one, key in [(source, "a"), (source, "a"), (source, "b"), (other, "a")]:
        bench.backlog.add_pull(Pull(INTERACTIVE, one, key=key))
    assert bench.backlog.depth(INTERACTIVE)[0] == 3
    bench.sent()
    bench.backlog.add_pull(Pull(INTERACTIVE, source, key="a"))
    assert bench.backlog.depth(INTERACTIVE)[0] == 1


def test_nothing_of_a_room_that_is_left_is_sent() -> None:
    bench = Bench()
    bench.say(*range(1, 7))
    bench.say(7, 8)
    bench.say(1, room=ARENA)
    bench.backlog.add(form(b"typing", room=LOBBY, delivery=Delivery.LATEST, key="ann"))
    bench.backlog.add_pull(Pull(INTERACTIVE, Scripted(hot(b"p")), room=LOBBY))
    bench.backlog.drop_room(LOBBY)
    assert bench.sent() == ["1"]
    assert bench.backlog.waiting == 0
    bench.say(9)
    assert bench.sent() == ["9"]


def test_nothing_is_kept_of_what_was_sent() -> None:
    bench = Bench()
    bench.say(*range(1, 9))
    bench.backlog.add(form(b"l", delivery=Delivery.LATEST, key="k"))
    bench.backlog.add(form(b"v", delivery=Delivery.VOLATILE))
    bench.sent()
    assert not bench.backlog
    assert bench.backlog.waiting == 0
    for waiting in bench.backlog._waiting:
        assert not waiting.latest
        assert not waiting.volatile
        assert not waiting.rooms
        assert not waiting.lost
        assert not waiting.pulls


steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("post"),
            st.sampled_from([one.name for one in DEFAULT_LANES]),
            st.sampled_from(["latest", "volatile", "lobby", "arena", "ack"]),
            st.integers(0, 2),
            st.integers(1, 300),
        ),
        st.tuples(st.just("take"), st.integers(1, 1_000)),
    ),
    max_size=120,
)


@given(steps=steps)
def test_whatever_happens_nothing_is_lost_in_silence(
    steps: list[tuple[Any, ...]],
) -> None:
    bench = Bench(max_messages=6, max_bytes=900)
    rooms = {"lobby": LOBBY, "arena": ARENA}
    seqs = {"lobby": 0, "arena": 0}
    posted: dict[str, list[tuple[str, str]]] = {one.name: [] for one in DEFAULT_LANES}
    newest: dict[tuple[str, str], str] = {}
    sent: list[Any] = []
    number = 0

    def take(limit: int) -> None:
        data = bench.backlog.take(limit, WIRE, None)
        sent.extend(read(part) for part in split(data))

    for step in steps:
        if step[0] == "take":
            take(step[1])
            continue
        _, lane_name, kind, key, size = step
        number += 1
        name = f"{lane_name}.{kind}.{key}.{number}."
        options: dict[str, Any] = {}
        if kind == "latest":
            options = {"delivery": Delivery.LATEST, "key": key}
            newest[lane_name, str(key)] = name
        elif kind == "volatile":
            options = {"delivery": Delivery.VOLATILE}
        elif kind in rooms:
            # A room's recoverable messages ride one lane.
            lane_name = "interactive"
            seqs[kind] += 1
            name = f"interactive.{kind}.{seqs[kind]}.{number}."
            options = {"room": rooms[kind], "seq": seqs[kind], "svc": "chat"}
        data = name.encode() + b"." * min(size, 300)
        posted[lane_name].append((kind, name))
        alive = bench.backlog.add(form(data, lane_name, **options))
        if not alive:
            # Only what may not be lost closes, and only a lane that is full of it.
            held = bench.backlog._waiting[lane(lane_name)]
            assert not held.rooms
            assert not held.volatile
            return
        for index, bounds in enumerate(bench.lanes):
            messages, waits = bench.backlog.depth(index)
            assert messages <= bounds.max_messages
            assert waits <= max(bounds.max_bytes, LOST_SIZE)
        for waiting in bench.backlog._waiting:
            assert list(waiting.since) == list(waiting.entries)
        assert bench.backlog.waiting == sum(
            bench.backlog.depth(i)[1] for i in range(len(bench.lanes))
        )
    while bench.backlog:
        take(10_000)

    got = [one for one in sent if isinstance(one, str)]
    names = {".".join(one.split(".")[:4]) + "." for one in got}
    for lane_name, rows in posted.items():
        acks = [name for kind, name in rows if kind == "ack"]
        assert [n for n in acks if n in names] == acks
        for key in ("0", "1", "2"):
            if (lane_name, key) in newest:
                assert newest[lane_name, key] in names
        volatile = [name for kind, name in rows if kind == "volatile"]
        dropped = sum(
            one["count"]
            for one in sent
            if isinstance(one, dict)
            and one["lane"] == lane_name
            and "from_seq" not in one
        )
        assert len([n for n in volatile if n in names]) + dropped == len(volatile)
    for kind in rooms:
        covered: list[int] = []
        for one in sent:
            if isinstance(one, dict) and one.get("room") == kind:
                covered += range(one["from_seq"], one["to_seq"] + 1)
            elif isinstance(one, str) and one.startswith(f"interactive.{kind}."):
                covered.append(int(one.split(".")[2]))
        assert covered == list(range(1, seqs[kind] + 1))


@pytest.mark.parametrize("limit", [1, 10, 100])
def test_a_take_is_whole_messages_within_the_limit_but_for_one(limit: int) -> None:
    bench = Bench(max_messages=100)
    for n in range(20):
        bench.backlog.add(form(b"x" * n))
    while data := bench.backlog.take(limit, WIRE, None):
        assert len(data) <= limit or data.count(b"#") == 1
