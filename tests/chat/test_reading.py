from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsprism_chat.log import NOTHING_READ, Mark
from wsprism_chat.reading import Marks
from wsprism_core import ErrorCode, ProtocolError
from wsprism_core.state.memory import MemoryState
from wsprism_core.state.port import StateBounds


def a_state(items: int = 100) -> MemoryState:
    return MemoryState(StateBounds(items, 1_000))


def test_a_mark_is_of_one_user_in_one_room() -> None:
    marks = Marks(a_state(), "acme", 9)
    assert marks.advance("r1", "ann", Mark(5, 1))
    assert marks.get("r1", "ann") == Mark(5, 1)
    assert marks.get("r1", "bob") == marks.get("r2", "ann") == NOTHING_READ


def test_marks_are_kept_for_each_tenant() -> None:
    state = a_state()
    Marks(state, "acme", 9).advance("r1", "a/b", Mark(5, 1))
    assert Marks(state, "acme", 9).get("r1", "a/b") == Mark(5, 1)
    assert len(Marks(state, "umbrella", 9)) == 0


def test_the_one_that_has_not_moved_for_longest_goes_first() -> None:
    state = a_state()
    marks = Marks(state, "acme", 2)
    marks.advance("r1", "ann", Mark(1, 1))
    marks.advance("r1", "bob", Mark(2, 2))
    marks.advance("r1", "ann", Mark(3, 3))
    marks.advance("r1", "cat", Mark(4, 4))
    for one in marks, Marks(state, "acme", 2):
        assert len(one) == 2
        assert one.get("r1", "bob") == NOTHING_READ
        assert one.get("r1", "ann") == Mark(3, 3)
    again = Marks(state, "acme", 2)
    again.advance("r1", "dan", Mark(5, 5))
    assert again.get("r1", "ann") == NOTHING_READ


def test_where_no_more_is_kept_nothing_changes() -> None:
    marks = Marks(a_state(items=1), "acme", 9)
    marks.advance("r1", "ann", Mark(1, 1))
    with pytest.raises(ProtocolError) as refused:
        marks.advance("r1", "bob", Mark(1, 1))
    assert refused.value.code is ErrorCode.RESOURCE_EXHAUSTED
    assert marks.get("r1", "bob") == NOTHING_READ
    assert len(marks) == 1


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9))))
def test_a_mark_never_goes_back(steps: list[tuple[int, int]]) -> None:
    state = a_state()
    marks, last = Marks(state, "acme", 9), NOTHING_READ
    for ts, seq in steps:
        moved = marks.advance("r1", "ann", Mark(ts, seq))
        now = marks.get("r1", "ann")
        assert now >= last
        assert moved is (now != last)
        assert Marks(state, "acme", 9).get("r1", "ann") == now
        last = now
