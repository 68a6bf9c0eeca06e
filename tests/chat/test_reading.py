from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsprism_chat.log import NOTHING_READ, Mark
from wsprism_chat.reading import MARKS_EVICTED, Marks
from wsprism_core import ErrorCode, ProtocolError
from wsprism_core.state.memory import MemoryState
from wsprism_core.state.port import StateBounds


def a_state(items: int = 100) -> MemoryState:
    return MemoryState(StateBounds(items, 1_000))


def a_tenant(
    state: MemoryState,
    most: int = 9,
    name: str = "acme",
    count: Callable[[str], None] = lambda counter: None,
) -> Marks:
    return Marks(state, name, most, count)


def test_a_mark_is_of_one_user_in_one_room() -> None:
    marks = a_tenant(a_state())
    assert marks.advance("r1", "ann", Mark(5, 1))
    assert marks.get("r1", "ann") == Mark(5, 1)
    assert marks.get("r1", "bob") == marks.get("r2", "ann") == NOTHING_READ


def test_marks_are_kept_for_each_tenant() -> None:
    state = a_state()
    a_tenant(state).advance("r1", "a/b", Mark(5, 1))
    assert a_tenant(state).get("r1", "a/b") == Mark(5, 1)
    assert len(a_tenant(state, name="umbrella")) == 0


def test_the_one_that_has_not_moved_for_longest_goes_first() -> None:
    state = a_state()
    marks = a_tenant(state, 2)
    marks.advance("r1", "ann", Mark(1, 1))
    marks.advance("r1", "bob", Mark(2, 2))
    marks.advance("r1", "ann", Mark(3, 3))
    marks.advance("r1", "cat", Mark(4, 4))
    for one in marks, a_tenant(state, 2):
        assert len(one) == 2
        assert one.get("r1", "bob") == NOTHING_READ
        assert one.get("r1", "ann") == Mark(3, 3)
    again = a_tenant(state, 2)
    again.advance("r1", "dan", Mark(5, 5))
    assert again.get("r1", "ann") == NOTHING_READ


def test_marks_that_go_are_counted() -> None:
    counted: Counter[str] = Counter()
    marks = a_tenant(a_state(), 2, count=lambda name: counted.update([name]))
    for user in "ann", "bob", "cat":
        marks.advance("r1", user, Mark(1, 1))
    assert counted == {MARKS_EVICTED: 1}


def test_where_no_more_is_kept_nothing_changes() -> None:
    marks = a_tenant(a_state(items=1))
    marks.advance("r1", "ann", Mark(1, 1))
    with pytest.raises(ProtocolError) as refused:
        marks.advance("r1", "bob", Mark(1, 1))
    assert refused.value.code is ErrorCode.RESOURCE_EXHAUSTED
    assert marks.get("r1", "bob") == NOTHING_READ
    assert len(marks) == 1


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9))))
def test_a_mark_never_goes_back(steps: list[tuple[int, int]]) -> None:
    state = a_state()
    marks, last = a_tenant(state), NOTHING_READ
    for ts, seq in steps:
        moved = marks.advance("r1", "ann", Mark(ts, seq))
        now = marks.get("r1", "ann")
        assert now >= last
        assert moved is (now != last)
        assert a_tenant(state).get("r1", "ann") == now
        last = now
