from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsprism_core.state.memory import MemoryState
from wsprism_core.state.port import StateBounds, StateFull

BOUNDS = StateBounds(items=3, value_bytes=4)


def test_what_is_put_is_there_until_it_is_deleted() -> None:
    state = MemoryState(BOUNDS)
    state.put("a", b"1")
    state.put("a", b"2")
    assert (state.get("a"), state.get("b"), len(state)) == (b"2", None, 1)
    state.delete("a")
    state.delete("a")
    assert (state.get("a"), len(state)) == (None, 0)


def test_items_are_those_below_a_prefix_in_order() -> None:
    state = MemoryState(BOUNDS, {"b/2": b"2", "b/1": b"1", "a/1": b"3"})
    assert list(state.items("b/")) == [("b/1", b"1"), ("b/2", b"2")]
    assert [key for key, _ in state.items()] == ["a/1", "b/1", "b/2"]


def test_one_may_change_what_one_walks_through() -> None:
    state = MemoryState(BOUNDS, {"a": b"1", "b": b"2"})
    for key, value in state.items():
        state.delete(key)
        state.put(f"{key}!", value)
    assert [key for key, _ in state.items()] == ["a!", "b!"]


def test_over_a_bound_nothing_changes_and_it_is_told() -> None:
    refusals: list[int] = []
    changes: list[str] = []
    state = MemoryState(
        BOUNDS,
        changed=lambda key, _: changes.append(key),
        refused=lambda: refusals.append(1),
    )
    for key in "abc":
        state.put(key, b"1234")
    with pytest.raises(StateFull, match="3 values are kept, which is the most"):
        state.put("d", b"1")
    with pytest.raises(StateFull, match="a value of 5 bytes; 4 is the most"):
        state.put("a", b"12345")
    # In place of an older one there is room.
    state.put("a", b"4321")
    assert list(state.items()) == [("a", b"4321"), ("b", b"1234"), ("c", b"1234")]
    assert changes == ["a", "b", "c", "a"]
    assert len(refusals) == 2


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.none() | st.binary(max_size=6))))
def test_who_writes_down_the_changes_holds_the_same(
    steps: list[tuple[str, bytes | None]],
) -> None:
    copy: dict[str, bytes | None] = {}
    state = MemoryState(BOUNDS, changed=copy.__setitem__)
    for key, value in steps:
        if value is None:
            state.delete(key)
        else:
            try:
                state.put(key, value)
            except StateFull:
                continue
    kept = {key: value for key, value in copy.items() if value is not None}
    assert dict(state.items()) == kept
    assert len(kept) <= BOUNDS.items
