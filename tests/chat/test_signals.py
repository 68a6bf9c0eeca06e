from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from support.chat_place import refusal, room_of_two
from wsprism_core import (
    Ack,
    Broadcast,
    ErrorCode,
)


def test_typing_is_told_to_the_others_by_user() -> None:
    place, ann, _ = room_of_two()
    on = Broadcast(
        "typing",
        {"user": "user:ann", "on": True},
        room="r1",
        key="user:ann",
        exclude=ann.id,
    )
    off = Broadcast(
        "typing",
        {"user": "user:ann", "on": False},
        room="r1",
        key="user:ann",
        exclude=ann.id,
    )
    assert place.do(ann, "typing", {"on": False}) == []
    assert place.do(ann, "typing") == [on]
    assert place.do(ann, "typing") == []
    place.time += 1
    assert place.do(ann, "typing", {"on": False}) == [off]
    place.time += 1
    assert place.do(ann, "typing") == [on]
    place.time += 10
    assert place.chat.tick() == [off]
    place.time += 1
    assert place.chat.tick() == []
    assert place.chat._signals.typists == {}


def test_only_so_many_type_at_once() -> None:
    place, ann, bob = room_of_two(typing_max_users=1)
    place.do(ann, "typing")
    assert refusal(place, bob, "typing") is ErrorCode.RESOURCE_EXHAUSTED


def test_reactions_are_told_by_message_when_they_are_due() -> None:
    place, ann, bob = room_of_two()
    id = place.say(ann, "one")
    for who in ann, bob:
        assert place.do(who, "react", {"id": id, "emoji": "+"}) == []
    told = {"id": id, "counts": {"+": 2}}
    assert place.chat.tick() == [Broadcast("reactions", told, room="r1", key=id)]
    assert place.chat.tick() == []
    (page,) = place.do(ann, "history")
    assert page.data["messages"][0]["reactions"] == {"+": 2}
    place.do(ann, "delete", {"id": id})
    assert refusal(place, bob, "react", {"id": id, "emoji": "+"}) is ErrorCode.NOT_FOUND
    assert place.chat.tick() == []


def test_a_message_takes_only_so_many_reactions() -> None:
    place, ann, bob = room_of_two(reactions_max_kinds=2, reactions_max=2)
    id = place.say(ann, "one")
    place.do(ann, "react", {"id": id, "emoji": "a"})
    place.do(ann, "react", {"id": id, "emoji": "b"})
    full = ErrorCode.RESOURCE_EXHAUSTED
    assert refusal(place, ann, "react", {"id": id, "emoji": "c"}) is full
    assert refusal(place, bob, "react", {"id": id, "emoji": "a"}) is full


def test_a_mark_is_told_in_small_rooms_alone() -> None:
    place, ann, bob = room_of_two(receipts_max_members=2)
    place.say(ann, "one")
    place.say(ann, "two")
    assert place.do(bob, "read", {"seq": 1}) == [
        Broadcast("read", {"user": "user:bob", "seq": 1}, room="r1", key="user:bob"),
        Ack({"seq": 1, "unread": 1}),
    ]
    place.enter("cat", "r1")
    assert place.do(bob, "read", {"seq": 2}) == [Ack({"seq": 2, "unread": 0})]
    assert place.do(bob, "read", {"seq": 1}) == [Ack({"seq": 2, "unread": 0})]
    silent, ann, bob = room_of_two(receipts_max_members=0)
    silent.say(ann, "one")
    assert silent.do(bob, "read", {"seq": 1}) == [Ack({"seq": 1, "unread": 0})]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=30))
def test_a_mark_never_goes_back_nor_beyond_the_head(
    steps: list[tuple[bool, int]],
) -> None:
    place, ann, bob = room_of_two()
    mark = said = 0
    for speaks, seq in steps:
        if speaks:
            place.say(ann, "x")
            said += 1
            continue
        mark = max(mark, min(seq, said))
        assert place.do(bob, "read", {"seq": seq})[-1] == Ack(
            {"seq": mark, "unread": said - mark}
        )
