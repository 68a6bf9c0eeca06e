from __future__ import annotations

import re
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsprism_chat.direct import direct_room, is_direct, may_join_direct

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
