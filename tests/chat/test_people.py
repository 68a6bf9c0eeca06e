from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsprism_chat.people import PEOPLE_EVICTED, People
from wsprism_core import ErrorCode, ProtocolError
from wsprism_core.state.memory import MemoryState
from wsprism_core.state.port import StateBounds


class Town:
    """People, and a wall clock that can be set."""

    def __init__(self, most: int = 10, items: int = 100) -> None:
        self.ms = 1_000
        self.state = MemoryState(StateBounds(items, 1_000))
        self._most = most
        self.counted: Counter[str] = Counter()
        self.people = self.again()

    def again(self, tenant: str = "acme") -> People:
        """Return what a gateway finds that is started anew."""
        return People(self.state, tenant, self._most, lambda: self.ms, self._count)

    def _count(self, counter: str) -> None:
        self.counted[counter] += 1


def of(people: People, user: str = "ann") -> tuple[str, int | None]:
    told = people.of(user)
    return told["status"], told.get("since_ms")


def test_of_a_stranger_nothing_is_known() -> None:
    assert Town().people.of("ann") == {"user": "ann", "status": "offline"}


def test_a_user_is_here_until_the_last_session_is_over() -> None:
    town = Town()
    people = town.people
    people.came("ann", "s1")
    assert of(people) == ("online", 1_000)
    town.ms = 2_000
    people.came("ann", "s2")
    assert not people.went("ann", "s1")
    assert of(people) == ("online", 1_000)
    town.ms = 3_000
    assert people.went("ann", "s2")
    assert of(people) == ("offline", 3_000)


def test_he_was_here_last_when_the_last_connection_ended() -> None:
    town = Town()
    people = town.people
    for session in "s1", "s2":
        people.came("ann", session)
    town.ms = 2_000
    people.dropped("ann", "s1")
    town.ms = 3_000
    assert not people.went("ann", "s2")
    assert of(people) == ("online", 1_000)
    town.ms = 4_000
    assert people.went("ann", "s1")
    assert of(people) == ("offline", 3_000)


def test_who_comes_back_was_never_away() -> None:
    town = Town()
    people = town.people
    people.came("ann", "s1")
    town.ms = 2_000
    people.dropped("ann", "s1")
    assert of(people) == ("online", 1_000)
    people.back("ann", "s1")
    town.ms = 3_000
    people.went("ann", "s1")
    assert of(people) == ("offline", 3_000)


def test_what_one_has_chosen_stays_until_one_says_otherwise() -> None:
    town = Town()
    people = town.people
    people.came("ann", "s1")
    assert people.is_plain("ann")
    town.ms = 2_000
    assert people.choose("ann", "busy", "writing") == 2_000
    busy = {"user": "ann", "status": "busy", "text": "writing", "since_ms": 2_000}
    assert people.of("ann") == busy
    assert not people.is_plain("ann")
    people.went("ann", "s1")
    assert people.of("ann") == {**busy, "status": "offline", "since_ms": 2_001}
    town.ms = 5_000
    again = town.again()
    again.came("ann", "s1")
    assert again.of("ann") == {**busy, "since_ms": 5_000}
    again.choose("ann", "online", "")
    assert again.of("ann") == {"user": "ann", "status": "online", "since_ms": 5_001}


@given(st.text(max_size=100))
def test_any_words_are_kept_as_they_are(text: str) -> None:
    town = Town()
    town.people.came("ann", "s1")
    town.people.choose("ann", "away", text)
    assert town.again().of("ann").get("text", "") == text


def test_what_is_newer_has_the_larger_number_though_the_clock_is_set_back() -> None:
    town = Town()
    people = town.people
    people.came("ann", "s1")
    town.ms = 10
    assert people.choose("ann", "away", "") == 1_001
    people.went("ann", "s1")
    assert of(people) == ("offline", 1_002)
    people.came("ann", "s2")
    assert of(people) == ("away", 1_003)


def test_of_whom_nobody_saw_go_the_last_beat_tells_when() -> None:
    town = Town()
    town.people.came("ann", "s1")
    town.people.came("bob", "s2")
    town.ms = 5_000
    town.people.went("bob", "s2")
    town.ms = 9_000
    town.people.beat()
    town.ms = 60_000
    again = town.again()
    assert [of(again, user) for user in ("ann", "bob")] == [
        ("offline", 9_000),
        ("offline", 5_000),
    ]
    assert [of(town.again(), user) for user in ("ann", "bob")] == [
        ("offline", 9_000),
        ("offline", 5_000),
    ]


def test_where_nobody_is_no_beat_is_written() -> None:
    town = Town()
    town.people.beat()
    assert len(town.state) == 0


def test_only_so_many_are_kept_and_the_one_unchanged_for_longest_goes() -> None:
    town = Town(most=2)
    people = town.people
    for user in "ann", "bob":
        people.came(user, f"s-{user}")
        people.choose(user, "busy", "")
    people.went("bob", "s-bob")
    people.went("ann", "s-ann")
    people.came("bob", "s-bob")
    people.came("cat", "s-cat")
    assert len(people) == len(town.state) == 2
    assert [of(people, user) for user in ("ann", "bob", "cat")] == [
        ("offline", None),
        ("busy", 1_003),
        ("online", 1_000),
    ]
    assert town.counted == {PEOPLE_EVICTED: 1}


def test_what_one_who_is_here_has_chosen_goes_for_nobody() -> None:
    town = Town(most=1)
    people = town.people
    people.came("ann", "s-ann")
    people.choose("ann", "busy", "")
    people.came("bob", "s-bob")
    assert of(people, "ann") == ("busy", 1_001)
    # He is here all the same.
    assert of(people, "bob") == ("online", 1_000)
    with pytest.raises(ProtocolError) as refused:
        people.choose("bob", "away", "")
    assert refused.value.code is ErrorCode.RESOURCE_EXHAUSTED
    assert of(people, "bob") == ("online", 1_000)
    assert town.counted == {PEOPLE_EVICTED: 2}
    people.went("ann", "s-ann")
    assert people.choose("bob", "away", "") == 1_001
    assert [of(people, user)[0] for user in ("ann", "bob")] == ["offline", "away"]


def test_who_is_here_and_went_for_another_is_newer_than_what_was_told() -> None:
    town = Town(most=1)
    people = town.people
    people.came("ann", "s-ann")
    people.choose("ann", "busy", "")
    people.choose("ann", "online", "")
    people.came("bob", "s-bob")
    assert of(people, "ann") == ("online", 1_002)
    town.ms = 10
    people.went("ann", "s-ann")
    assert of(people, "ann") == ("offline", 1_003)


def test_who_cannot_be_remembered_is_refused_nothing_but_that() -> None:
    people = Town(items=0).people
    people.came("ann", "s1")
    people.beat()
    assert of(people) == ("online", 1_000)
    with pytest.raises(ProtocolError) as refused:
        people.choose("ann", "busy", "")
    assert refused.value.code is ErrorCode.RESOURCE_EXHAUSTED
    assert people.went("ann", "s1")


def test_tenants_are_apart() -> None:
    town = Town()
    other: Any = town.again("other")
    town.people.came("ann", "s1")
    assert of(other) == ("offline", None)
    assert of(town.again("other")) == ("offline", None)
