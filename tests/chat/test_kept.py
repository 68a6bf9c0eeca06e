from __future__ import annotations

from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsprism_chat.kept import Kept
from wsprism_core import ErrorCode, ProtocolError
from wsprism_core.state.memory import MemoryState
from wsprism_core.state.port import StateBounds


class Shelf:
    """A state that keeps so many values of 4 bytes, and how often something went."""

    def __init__(self, items: int = 100) -> None:
        self.state = MemoryState(StateBounds(items, 4))
        self.evicted = 0

    def kept(self, most: int, prefix: str = "a/") -> Kept:
        """Return what is found there; what has the smaller value is older."""
        return Kept(
            self.state,
            prefix,
            most,
            age=lambda _, value: value,
            evicted=self._note,
        )

    def keys(self) -> list[str]:
        return [key for key, _ in self.state.items()]

    def _note(self) -> None:
        self.evicted += 1


def refused(kept: Kept, key: str, value: bytes = b"9") -> ErrorCode:
    with pytest.raises(ProtocolError) as error:
        kept.put(key, value)
    return error.value.code


def test_the_oldest_goes_and_is_counted() -> None:
    shelf = Shelf()
    kept = shelf.kept(2)
    assert kept.put("x", b"1") is None
    assert kept.put("y", b"2") is None
    assert kept.put("x", b"3") is None
    assert kept.put("z", b"4") == "y"
    assert (len(kept), "y" in kept, kept.get("y")) == (2, False, None)
    assert (kept.get("x"), kept.get("z")) == (b"3", b"4")
    assert shelf.keys() == ["a/x", "a/z"]
    assert shelf.evicted == 1


def test_what_is_refused_changes_nothing() -> None:
    shelf = Shelf()
    kept = shelf.kept(2)
    for key in "x", "y":
        kept.put(key, b"1")
    assert refused(kept, "z", b"12345") is ErrorCode.RESOURCE_EXHAUSTED
    assert refused(kept, "x", b"12345") is ErrorCode.RESOURCE_EXHAUSTED
    assert (shelf.keys(), shelf.evicted) == (["a/x", "a/y"], 0)
    assert kept.put("z", b"1") == "x"


def test_where_the_state_is_full_a_newer_one_has_the_place_of_the_oldest() -> None:
    shelf = Shelf(items=3)
    kept, other = shelf.kept(2), shelf.kept(9, "b/")
    for key in "x", "y":
        kept.put(key, b"1")
    other.put("w", b"1")
    assert kept.put("z", b"1") == "x"
    assert refused(other, "v") is ErrorCode.RESOURCE_EXHAUSTED
    assert shelf.keys() == ["a/y", "a/z", "b/w"]


def test_what_stays_does_not_go_until_it_is_put_again() -> None:
    shelf = Shelf()
    kept = shelf.kept(2)
    kept.put("x", b"1", stays=True)
    kept.put("y", b"2")
    assert kept.put("z", b"3", stays=True) == "y"
    assert refused(kept, "w") is ErrorCode.RESOURCE_EXHAUSTED
    assert (shelf.keys(), shelf.evicted) == (["a/x", "a/z"], 2)
    kept.put("x", b"4")
    assert kept.put("w", b"5") == "x"
    assert len(kept) == 2


def test_a_bound_that_was_lowered_holds_from_the_start() -> None:
    shelf = Shelf()
    before, other = shelf.kept(9), shelf.kept(9, "b/")
    for key, value in ("x", b"3"), ("y", b"1"), ("z", b"2"):
        before.put(key, value)
        other.put(key, value)
    again = shelf.kept(2)
    assert len(again) == shelf.evicted + 1 == 2
    assert again.put("w", b"4") == "z"
    assert len(shelf.kept(9, "b/")) == 3


def test_what_is_dropped_is_not_kept_any_more() -> None:
    shelf = Shelf()
    kept = shelf.kept(2)
    kept.put("x", b"1")
    kept.put("y", b"1", stays=True)
    for key in "x", "y", "z":
        kept.drop(key)
    assert len(kept) == len(shelf.state) == shelf.evicted == 0


@given(
    st.lists(
        st.tuples(
            st.sampled_from("vwxyz"), st.sampled_from(["put", "stay", "long", "drop"])
        )
    )
)
def test_it_is_what_a_list_of_the_latest_would_be(steps: list[tuple[str, str]]) -> None:
    shelf = Shelf()
    kept = shelf.kept(3)
    latest: OrderedDict[str, bool] = OrderedDict()
    for key, step in steps:
        if step == "drop":
            kept.drop(key)
            latest.pop(key, None)
            continue
        goes = [one for one, stays in latest.items() if not stays]
        has_room = key in latest or len(latest) < 3
        if step == "long" or not (has_room or goes):
            assert refused(kept, key, b"12345") is ErrorCode.RESOURCE_EXHAUSTED
        else:
            gone = None if has_room else goes[0]
            assert kept.put(key, b"1", stays=step == "stay") == gone
            latest.pop(gone or key, None)
            latest[key] = step == "stay"
            latest.move_to_end(key)
        assert shelf.keys() == sorted(f"a/{one}" for one in latest)
        assert len(kept) == len(latest)
