from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from support.chat_place import Room
from wsprism_chat.log import MAX_UNREAD, NOTHING_READ, Mark, RoomLog


def log_of(room: Room, reach: int = 100) -> RoomLog:
    log = RoomLog(room.recall, "r1", reach)
    log.catch_up()
    return log


def edited(id: str, msg: str, version: int) -> dict[str, Any]:
    return {"id": id, "from": "user:ann", "msg": msg, "version": version}


def test_a_message_is_as_it_was_last_said() -> None:
    room = Room()
    room.say("one", "two")
    log = log_of(room)
    message = log.get("m1")
    assert message is not None
    assert (message.sender, message.seq, message.version) == ("user:ann", 1, 1)
    room.put(edited("m1", "uno", 2), type="edited")
    log.catch_up()
    assert message.version == message.issued == 2
    assert message.edited == edited("m1", "uno", 2)
    assert log.get("m9") is log.find("m9") is None


def test_what_is_deleted_stays_so() -> None:
    room = Room()
    room.say("one")
    room.put({"id": "m1", "by": "user:bob", "version": 2}, type="deleted")
    room.put(edited("m1", "back", 3), type="edited")
    log = log_of(room)
    assert log.get("m1") is None
    found = log.find("m1")
    assert found is not None
    assert found.deleted


def test_erasing_takes_what_was_said_before_it() -> None:
    room = Room()
    room.say("one")
    room.say("two", user="user:bob")
    room.put({"user": "user:ann", "by": "user:ann"}, type="erased")
    room.say("three")
    log = log_of(room)
    assert [id for id in ("m1", "m2", "m4") if log.get(id)] == ["m2", "m4"]


def test_it_counts_what_is_left_of_a_users_messages() -> None:
    room = Room()
    room.say("one", "two", "three")
    room.say("his", user="user:bob")
    log = log_of(room, reach=5)
    assert [log.count_of(f"user:{name}") for name in ("ann", "bob", "cat")] == [3, 1, 0]
    room.put({"id": "m1", "by": "user:ann", "version": 2}, type="deleted")
    log.catch_up()
    assert log.count_of("user:ann") == 2
    room.say("four", user="user:bob")
    room.say("five", user="user:bob")
    log.catch_up()
    # The second is out of reach.
    assert log.count_of("user:ann") == 1
    room.put({"user": "user:ann", "by": "user:ann"}, type="erased")
    room.put({"user": "user:ann", "by": "user:ann"}, type="erased")
    log.catch_up()
    assert log.count_of("user:ann") == 0
    # Of his three the first is out of reach by now.
    assert log.count_of("user:bob") == 2
    room.held.clear()
    room.head = 0
    log.catch_up()
    assert log.count_of("user:bob") == 0


def test_what_is_no_message_of_chat_is_passed_over() -> None:
    room = Room()
    room.put({"id": "m1"}, svc="party")
    room.put({"id": "m2"}, type="other")
    room.put(edited("gone", "x", 2), type="edited")
    room.say("one")
    assert [one.seq for one in log_of(room).newest()] == [4]


def test_it_reaches_back_only_so_far() -> None:
    room = Room()
    room.say(*"abcde")
    log = log_of(room, reach=3)
    assert (log.first, [one.seq for one in log.newest()]) == (3, [5, 4, 3])
    room.say("f")
    log.catch_up()
    assert (log.first, [one.seq for one in log.newest()]) == (4, [6, 5, 4])
    assert log.find("m3") is None


def test_a_room_that_counts_anew_is_another_room() -> None:
    room = Room()
    room.say("one", "two")
    log = log_of(room)
    room.held.clear()
    room.head = 0
    room.say("other")
    log.catch_up()
    assert [one.seq for one in log.newest()] == [1]
    room.held.clear()
    room.head = 0
    log.catch_up()
    assert list(log.newest()) == []


def test_unread_is_what_others_said_beyond_the_mark() -> None:
    room = Room()
    room.say("a", "b")
    room.say("mine", user="user:bob")
    room.put({"id": "m1", "by": "user:ann", "version": 2}, type="deleted")
    log = log_of(room)
    assert log.unread("user:bob", NOTHING_READ) == 1
    assert log.unread("user:bob", Mark(1_001, 1)) == 1
    assert log.unread("user:bob", Mark(1_002, 2)) == 0
    assert log.unread("user:cat", Mark(1_002, 2)) == 1


def test_what_is_newer_is_unread_though_the_room_counts_anew() -> None:
    room = Room()
    room.put({"id": "m1", "from": "user:ann", "msg": "x"}, ts=9_000)
    assert log_of(room).unread("user:bob", Mark(8_000, 50)) == 1


def test_counting_ends_somewhere() -> None:
    room = Room()
    room.say(*["x"] * (MAX_UNREAD + 5))
    assert log_of(room, reach=5_000).unread("user:bob", NOTHING_READ) == MAX_UNREAD


@given(st.data())
def test_reading_on_gives_what_reading_at_once_gives(data: st.DataObject) -> None:
    room, stepwise = Room(), None
    for n in range(data.draw(st.integers(0, 30))):
        kind = data.draw(st.sampled_from(["msg", "edited", "deleted", "erased"]))
        user = data.draw(st.sampled_from(["user:ann", "user:bob"]))
        id = f"m{data.draw(st.integers(1, n + 1))}"
        version = data.draw(st.integers(2, 4))
        match kind:
            case "msg":
                room.say("x", user=user)
            case "edited":
                room.put(edited(id, f"v{version}", version), type=kind)
            case "deleted":
                room.put({"id": id, "by": user, "version": version}, type=kind)
            case _:
                room.put({"user": user, "by": user}, type=kind)
        if stepwise is None:
            stepwise = log_of(room, reach=12)
        if data.draw(st.booleans()):
            before = {one.seq: one.version for one in stepwise.newest()}
            stepwise.catch_up()
            after = {one.seq: one.version for one in stepwise.newest()}
            # Versions only rise.
            assert all(after.get(seq, 9) >= v for seq, v in before.items())
    if stepwise is not None:
        stepwise.catch_up()
        first = [(one.seq, one.sender) for one in stepwise.newest()]
        again = [(one.seq, one.sender) for one in log_of(room, reach=12).newest()]
        assert first == again
