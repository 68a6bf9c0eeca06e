from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from wsprism_core import LatestInputs, ProtocolError

MAX_KEYS = 2
sessions = st.sampled_from(["s1", "s2", "s3"])
keys = st.sampled_from([None, "aim", "walk"])


def test_a_session_has_one_input_unless_it_names_keys() -> None:
    inputs = LatestInputs[str]()
    for value in "abc":
        inputs.put("s1", value)
    inputs.put("s1", "up", "walk")
    assert inputs.take() == [
        ("s1", None, "c"),
        ("s1", "walk", "up"),
    ]
    assert inputs.superseded == 2


def test_who_sends_more_often_keeps_his_place() -> None:
    inputs = LatestInputs[int]()
    for value, session in enumerate(["s1", "s2", "s1", "s2", "s1"]):
        inputs.put(session, value)
    assert [(session, value) for session, _, value in inputs.take()] == [
        ("s1", 4),
        ("s2", 3),
    ]


def test_a_tick_takes_all_and_the_next_has_what_came_since() -> None:
    inputs = LatestInputs[int]()
    inputs.put("s2", 1)
    assert [value for _, _, value in inputs.take()] == [1]
    assert inputs.take() == []
    inputs.put("s1", 2)
    inputs.put("s2", 3)
    assert [session for session, _, _ in inputs.take()] == ["s1", "s2"]
    assert inputs.superseded == 0


def test_one_session_has_so_many_keys_and_takes_no_place_of_others() -> None:
    inputs = LatestInputs[int](max_keys=2)
    inputs.put("s1", 0, "a")
    inputs.put("s1", 0, "b")
    with pytest.raises(ProtocolError, match="RESOURCE_EXHAUSTED"):
        inputs.put("s1", 0, "c")
    inputs.put("s1", 1, "a")
    inputs.put("s2", 1, "c")
    assert (len(inputs), inputs.refused, inputs.superseded) == (3, 1, 1)
    inputs.take()
    inputs.put("s1", 0, "c")


def test_who_has_left_is_forgotten() -> None:
    inputs = LatestInputs[int]()
    inputs.put("s1", 1)
    inputs.put("s2", 2)
    inputs.forget("s1")
    inputs.forget("never")
    assert [session for session, _, _ in inputs.take()] == ["s2"]


class Ticks(RuleBasedStateMachine):
    """Random input against a list of all that came, read from its end."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs = LatestInputs[int](MAX_KEYS)
        self.came: list[tuple[str, str | None, int]] = []
        self.value = 0
        self.superseded = 0

    @rule(session=sessions, key=keys)
    def put(self, session: str, key: str | None) -> None:
        self.value += 1
        mine = {other for one, other, _ in self.came if one == session}
        if key not in mine and len(mine) >= MAX_KEYS:
            with pytest.raises(ProtocolError):
                self.inputs.put(session, self.value, key)
            return
        self.inputs.put(session, self.value, key)
        self.came.append((session, key, self.value))
        self.superseded += key in mine

    @rule(session=sessions)
    def forget(self, session: str) -> None:
        self.inputs.forget(session)
        self.came = [one for one in self.came if one[0] != session]

    @rule()
    def tick(self) -> None:
        sessions_came = [one for one, _, _ in self.came]
        came = [(one, key) for one, key, _ in self.came]
        newest = {(one, key): value for one, key, value in self.came}
        in_order = sorted(
            newest, key=lambda it: (sessions_came.index(it[0]), came.index(it))
        )
        assert self.inputs.take() == [
            (session, key, newest[session, key]) for session, key in in_order
        ]
        self.came = []

    @invariant()
    def everything_is_counted(self) -> None:
        assert len(self.inputs) == len({(one, key) for one, key, _ in self.came})
        assert self.inputs.superseded == self.superseded


TestTicks = Ticks.TestCase
