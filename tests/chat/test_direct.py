from __future__ import annotations

import re
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.chat_place import refusal, room_of_two
from wsprism_chat.direct import direct_room, is_direct, may_join_direct
from wsprism_core import ErrorCode, JoinRoom, Push, Reply

users = st.text(min_size=1, max_size=256)


@given(users, users)
def test_a_room_is_the_same_for_both_and_has_a_name_that_a_room_may_have(
    one: str, other: str
) -> None:
    room = direct_room(one, other)
    assert room == direct_room(other, one)
    assert re.fullmatch(r"[A-Za-z0-9_.:@-]{1,128}", room)
    assert is_direct(room)


@given(users, users, users)
def test_the_two_may_join_and_nobody_else(one: str, other: str, third: str) -> None:
    room = direct_room(one, other)
    assert may_join_direct(one, room)
    assert may_join_direct(other, room)
    assert may_join_direct(third, room) is (third in (one, other))


def test_the_name_does_not_change_with_a_version() -> None:
    ann = sha256(b"user:ann").hexdigest()[:32]
    bob = sha256(b"user:bob").hexdigest()[:32]
    first, second = sorted((ann, bob))
    assert direct_room("user:ann", "user:bob") == f"dm:{first}.{second}"


@pytest.mark.parametrize(
    "change", ["dm:{1}.{0}", "dm:{0}.{1}x", "dm:{0}", "DM:{0}.{1}"]
)
def test_a_name_made_up_is_joined_by_nobody(change: str) -> None:
    first, second = direct_room("ann", "bob").removeprefix("dm:").split(".")
    assert not may_join_direct("ann", change.format(first, second))


def test_other_rooms_are_no_direct_ones() -> None:
    assert not is_direct("lobby")
    assert not may_join_direct("ann", "lobby")


def test_both_are_joined_and_the_other_is_told_with_whom() -> None:
    place, ann, bob = room_of_two()
    phone = place.enter("ann")
    room = direct_room("user:ann", "user:bob")
    assert place.do(ann, "open", {"user": "user:bob"}) == [
        JoinRoom(ann.id, room, active=False),
        JoinRoom(phone.id, room, active=False),
        Push("opened", {"room": room, "user": "user:bob"}, session=phone.id),
        JoinRoom(bob.id, room, active=False),
        Push("opened", {"room": room, "user": "user:ann"}, session=bob.id),
        Reply("opened", {"room": room, "user": "user:bob"}),
    ]
    for one in ann, phone, bob:
        one.rooms.append(room)
    assert place.do(bob, "open", {"user": "user:ann"}) == [
        Reply("opened", {"room": room, "user": "user:ann"})
    ]


def test_nobody_is_in_more_direct_rooms_than_he_may() -> None:
    place, ann, bob = room_of_two(max_direct_rooms=1)
    place.enter("cat")
    bob.rooms.append(direct_room("user:bob", "user:cat"))
    actions = place.do(ann, "open", {"user": "user:bob"})
    assert [one.session for one in actions if isinstance(one, JoinRoom)] == [ann.id]
    ann.rooms.append(direct_room("user:ann", "user:bob"))
    full = ErrorCode.RESOURCE_EXHAUSTED
    assert refusal(place, ann, "open", {"user": "user:cat"}) is full
    # The one that he is in he may open again.
    place.do(ann, "open", {"user": "user:bob"})
    assert refusal(place, ann, "open", {"user": "user:ann"}) is ErrorCode.BAD_REQUEST
