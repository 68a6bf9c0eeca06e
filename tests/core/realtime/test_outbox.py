from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.pure import Pipe, form, lane, outbox
from wsprism_core.realtime.backlog import LaneCounters, Pull
from wsprism_core.realtime.lanes import DEFAULT_LANES, Delivery, Lane
from wsprism_core.realtime.outbox import (
    STALLED_WRITE_CHUNK,
    WRITE_CHUNK,
    Outbox,
    OutboxState,
)
from wsprism_core.realtime.wire import Form, Outgoing


def collect(box: Outbox, *forms: Form) -> None:
    """Queue forms as the engine does while the socket takes bytes."""
    for one in forms:
        box.queues[one.message.lane].append(one)
        box.posted += one.size


def test_lanes_are_written_in_strict_order_and_each_first_in_first_out() -> None:
    box, pipe = outbox(), Pipe()
    collect(
        box,
        form(b"bulk", "bulk"),
        form(b"chat1"),
        form(b"tick", "market"),
        form(b"chat2"),
        form(b"input", "realtime"),
        form(b"ping", "control"),
    )
    assert box.flush(pipe)
    assert pipe.writes == [b"#ping#input#tick#chat1#chat2#bulk"]
    assert box.waiting == 0


def test_one_turn_is_one_write() -> None:
    box, pipe = outbox(), Pipe()
    collect(box, *(form(b"m%d" % n) for n in range(50)))
    box.flush(pipe)
    assert len(pipe.writes) == 1


def test_a_turn_with_much_is_written_in_chunks_of_whole_messages() -> None:
    box, pipe = outbox(), Pipe()
    collect(box, *(form(b"x" * 30_000) for _ in range(5)))
    box.flush(pipe)
    assert [len(write) for write in pipe.writes] == [60_002, 60_002, 30_001]
    assert all(len(write) <= WRITE_CHUNK for write in pipe.writes)


def test_a_message_larger_than_a_chunk_goes_alone() -> None:
    box, pipe = outbox(), Pipe()
    collect(box, form(b"y"), form(b"x" * (WRITE_CHUNK + 1)), form(b"z"))
    box.flush(pipe)
    assert [write[:2] for write in pipe.writes] == [b"#y", b"#x", b"#z"]


def test_while_the_socket_takes_bytes_every_latest_message_is_sent() -> None:
    box, pipe = outbox(), Pipe()
    for data in (b"a", b"b", b"c"):
        collect(box, form(data, delivery=Delivery.LATEST, key="k"))
    box.flush(pipe)
    assert pipe.written == b"#a#b#c"


class Given:
    """A source that gives what it was given, one message at a time."""

    def __init__(self, *texts: bytes) -> None:
        self.texts = list(texts)

    def pull(self, reader: object, budget: int) -> tuple[list[Outgoing], bool]:
        text = self.texts.pop(0)
        return [Outgoing(lane("market"), hot=text)], bool(self.texts)


def test_who_pulls_and_takes_everything_is_under_no_bound() -> None:
    lanes = tuple(Lane(one.name, 100, 2) for one in DEFAULT_LANES)
    box, pipe = Outbox(lanes, [LaneCounters() for _ in lanes]), Pipe()
    box.state = OutboxState.DIRTY
    for n in range(3):
        collect(box, form(b"t%d" % n, "market", delivery=Delivery.LATEST, key="k"))
    pull = Pull(lane("market"), Given(b"p1", b"p2"))
    box.pull(pull)
    box.pull(pull)
    collect(box, form(b"t3", "market"), form(b"input", "realtime"))
    collect(box, *(form(b"chat%d" % n) for n in range(4)))
    assert box.flush(pipe)
    assert pipe.writes == [b"#input#t0#t1#t2#p1#p2#t3#chat0#chat1#chat2#chat3"]
    assert (box.waiting, box.state) == (0, OutboxState.CLEAN)


def test_what_is_pulled_waits_again_where_the_socket_fills_up_before_it() -> None:
    box, pipe = outbox(), Pipe(room=10)
    collect(box, form(b"input", "realtime"), form(b"x" * WRITE_CHUNK, "market"))
    box.pull(Pull(lane("market"), Given(b"p")))
    collect(box, form(b"chat"))
    assert box.flush(pipe)
    assert pipe.written == b"#input#" + b"x" * WRITE_CHUNK
    assert box.state is OutboxState.STALLED
    pipe.room = None
    assert box.flush(pipe)
    assert pipe.written.endswith(b"x#p#chat")


def test_what_the_socket_did_not_take_waits_in_its_lane() -> None:
    box, pipe = outbox(), Pipe(room=10)
    collect(box, *(form(b"x" * 40_000) for _ in range(3)))
    assert box.flush(pipe)
    assert box.state is OutboxState.STALLED
    assert box.depth(lane("interactive")) == (2, 80_002)
    assert box.waiting == 80_002


def test_a_stalled_session_is_written_to_in_small_chunks() -> None:
    box, pipe = outbox(), Pipe(room=1)
    collect(box, *(form(b"x" * 7_000) for _ in range(12)))
    box.flush(pipe)
    pipe.writes.clear()
    pipe.room = None
    box.flush(pipe)
    assert pipe.writes
    assert all(len(write) <= STALLED_WRITE_CHUNK for write in pipe.writes)


def stalled(lanes: tuple[Lane, ...] = DEFAULT_LANES) -> Outbox:
    box = outbox(lanes)
    assert box.stall()
    return box


def test_latest_replaces_its_elder_in_place() -> None:
    box, pipe = stalled(), Pipe()
    box.offer(form(b"a1", delivery=Delivery.LATEST, key="a"))
    box.offer(form(b"b1", delivery=Delivery.LATEST, key="b"))
    box.offer(form(b"plain"))
    box.offer(form(b"a2-longer", delivery=Delivery.LATEST, key="a"))
    assert box.waiting == len(b"#a2-longer#b1#plain")
    box.flush(pipe)
    assert pipe.written == b"#a2-longer#b1#plain"


def test_latest_does_not_merge_across_keys_rooms_or_lanes() -> None:
    box, pipe = stalled(), Pipe()
    one, other = object(), object()
    box.offer(form(b"a", delivery=Delivery.LATEST, key="k", room=one))
    box.offer(form(b"b", delivery=Delivery.LATEST, key="k", room=other))
    box.offer(form(b"c", delivery=Delivery.LATEST, key="l", room=one))
    box.offer(form(b"d", "bulk", delivery=Delivery.LATEST, key="k", room=one))
    box.flush(pipe)
    assert pipe.written == b"#a#b#c#d"


def test_what_waits_when_the_socket_fills_up_is_conflated_too() -> None:
    box = outbox()
    for data in (b"a", b"b", b"c"):
        collect(box, form(data, delivery=Delivery.LATEST, key="k"))
    box.stall()
    pipe = Pipe()
    box.flush(pipe)
    assert pipe.written == b"#c"


SMALL = tuple(Lane(one.name, max_bytes=400, max_messages=3) for one in DEFAULT_LANES)


def test_reliable_messages_over_the_bound_in_messages_end_the_session() -> None:
    box = stalled(SMALL)
    assert [box.offer(form(b"m")) for _ in range(4)] == [True, True, True, False]


def test_reliable_messages_over_the_bound_in_bytes_end_the_session() -> None:
    box = stalled(SMALL)
    assert box.offer(form(b"x" * 250))
    assert not box.offer(form(b"x" * 250))


def test_a_full_lane_leaves_the_others_alone() -> None:
    box = stalled(SMALL)
    for _ in range(3):
        box.offer(form(b"m"))
    assert box.offer(form(b"input", "realtime"))


def test_the_oldest_volatile_message_goes_at_the_bound() -> None:
    counters = tuple(LaneCounters() for _ in SMALL)
    box = Outbox(SMALL, counters)
    box.stall()
    for data in (b"v1", b"v2"):
        assert box.offer(form(data, delivery=Delivery.VOLATILE))
    assert box.offer(form(b"latest1", delivery=Delivery.LATEST, key="k"))
    assert box.offer(form(b"v3", delivery=Delivery.VOLATILE))
    assert box.offer(form(b"latest2", delivery=Delivery.LATEST, key="k"))
    pipe = Pipe()
    box.flush(pipe)
    lost = b'|{"v":1,"svc":"sys","type":"lost","data":{"svc":"sys",'
    lost += b'"lane":"interactive","count":2}}'
    assert pipe.written == lost + b"#latest2#v3"
    assert counters[lane("interactive")].dropped == 2
    assert counters[lane("interactive")].conflated == 1


def test_bounds_apply_to_what_one_turn_left_over() -> None:
    box = outbox(SMALL)
    collect(box, *(form(b"m") for _ in range(10)))
    assert not box.stall()


def test_nothing_of_a_dropped_room_is_sent() -> None:
    room = object()
    box, pipe = stalled(), Pipe()
    box.offer(form(b"of the room", room=room))
    box.offer(form(b"k1", delivery=Delivery.LATEST, key="k"))
    box.offer(form(b"other"))
    box.drop_room(room)
    box.offer(form(b"k2", delivery=Delivery.LATEST, key="k"))
    assert box.waiting == len(b"#k2#other")
    box.flush(pipe)
    assert pipe.written == b"#k2#other"


def test_a_closed_outbox_does_not_come_back() -> None:
    box = outbox()
    box.close()
    assert box.stall()
    assert box.state is OutboxState.CLOSED


def test_a_write_that_closes_the_outbox_ends_the_flush() -> None:
    box = outbox()

    class Fatal(Pipe):
        def write(self, data: bytes) -> bool:
            box.close()
            return False

    collect(box, form(b"a"))
    assert box.flush(Fatal())
    assert box.state is OutboxState.CLOSED


posts = st.lists(
    st.tuples(
        st.sampled_from([one.name for one in DEFAULT_LANES]),
        st.sampled_from(list(Delivery)),
        st.integers(0, 3),
        st.integers(1, 200),
    ),
    max_size=60,
)


@given(posts=posts, room=st.integers(1, 3_000))
def test_whatever_is_posted_bounds_and_order_hold(
    posts: list[tuple[str, Delivery, int, int]], room: int
) -> None:
    lanes = tuple(
        Lane(one.name, max_bytes=1_000, max_messages=10) for one in DEFAULT_LANES
    )
    box = outbox(lanes)
    collect(box, form(b"\x00" * 50))
    alive = box.flush(Pipe(room=1))
    for number, (lane_name, delivery, key, size) in enumerate(posts):
        data = b"%d|%d|%d:" % (lane(lane_name), key, number)
        one = form(data + b"." * size, lane_name, delivery=delivery, key=key)
        alive = alive and box.offer(one)
        if not alive:
            assert delivery is not Delivery.VOLATILE or any(
                form.message.delivery is not Delivery.VOLATILE
                for form in box.queues[lane(lane_name)]
            )
            return
        for index, bounds in enumerate(lanes):
            messages, size_in_lane = box.depth(index)
            assert messages <= bounds.max_messages
            assert size_in_lane <= bounds.max_bytes
        assert box.waiting == sum(box.depth(i)[1] for i in range(len(lanes)))
    pipe = Pipe()
    box.flush(pipe)
    sent = [part.split(b":")[0].split(b"|") for part in pipe.written.split(b"#")[1:]]
    order = [(int(lane_index), int(number)) for lane_index, key, number in sent]
    assert [index for index, _ in order] == sorted(index for index, _ in order)
    newest: dict[tuple[str, int], int] = {}
    for number, (lane_name, delivery, key, _) in enumerate(posts):
        if delivery is Delivery.LATEST:
            newest[lane_name, key] = number
    by_number = {number for _, number in order}
    assert set(newest.values()) <= by_number
    reliable = {n for n, post in enumerate(posts) if post[1] is Delivery.RELIABLE}
    assert reliable <= by_number


@pytest.mark.parametrize("state", [OutboxState.CLEAN, OutboxState.DIRTY])
def test_stalling_is_noted_once(state: OutboxState) -> None:
    box = outbox()
    box.state = state
    box.stall()
    box.offer(form(b"a"))
    box.stall()
    assert box.depth(lane("interactive")) == (1, 2)
