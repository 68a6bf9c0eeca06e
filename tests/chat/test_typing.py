from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsprism_chat.typing import TypistChange, Typists


def a_room(most: int = 3) -> Typists:
    return Typists(ttl=10.0, every=1.0, most=most)


def test_who_begins_is_told_at_once_and_ends_after_a_while() -> None:
    room = a_room()
    assert room.start("ann", "s1", 0.0) == TypistChange("ann", True, "s1")
    assert list(room.due(9.9)) == []
    assert list(room.due(10.0)) == [TypistChange("ann", False, "s1")]
    assert room
    assert list(room.due(11.0)) == []
    assert not room


def test_another_word_of_it_makes_it_longer_and_is_not_told() -> None:
    room = a_room()
    room.start("ann", "s1", 0.0)
    assert room.start("ann", "s2", 8.0) is None
    assert list(room.due(17.9)) == []
    assert list(room.due(18.0)) == [TypistChange("ann", False, "s2")]


def test_what_comes_too_soon_is_told_later_if_it_is_still_true() -> None:
    room = a_room()
    room.start("ann", "s1", 0.0)
    assert room.stop("ann", 0.5) is None
    assert list(room.due(0.9)) == []
    assert list(room.due(1.0)) == [TypistChange("ann", False, "s1")]
    assert room.start("ann", "s1", 1.2) is None
    assert room.stop("ann", 1.4) is None
    assert list(room.due(2.0)) == []
    assert not room


def test_who_does_not_type_cannot_stop() -> None:
    assert a_room().stop("ann", 0.0) is None


def test_only_so_many_are_shown() -> None:
    room = a_room(most=1)
    room.start("ann", "s1", 0.0)
    with pytest.raises(OverflowError):
        room.start("bob", "s2", 0.0)
    assert room.start("ann", "s1", 0.1) is None


@given(
    st.lists(
        st.tuples(st.sampled_from(["start", "stop", "due"]), st.floats(0.0, 4.0)),
        max_size=60,
    )
)
def test_words_alternate_keep_apart_and_end_with_off(
    steps: list[tuple[str, float]],
) -> None:
    room, now = a_room(), 0.0
    told: list[tuple[float, bool]] = []
    for what, passed in steps:
        now += passed
        if what == "due":
            changes = list(room.due(now))
        else:
            act = room.start("ann", "s1", now) if what == "start" else None
            change = room.stop("ann", now) if what == "stop" else act
            changes = [] if change is None else [change]
        told += [(now, change.on) for change in changes]
    told += [(now + 20, change.on) for change in room.due(now + 20)]
    assert [on for _, on in told] == [n % 2 == 0 for n in range(len(told))]
    assert not told or not told[-1][1]
    # Who was forgotten in between has been quiet for as long.
    assert all(b[0] - a[0] >= 1.0 for a, b in pairwise(told))
