from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsprism_chat.config import ChatConfig
from wsprism_chat.reactions import REACTIONS_EVICTED, ReactionBook
from wsprism_core import ErrorCode, ProtocolError
from wsprism_core.state.memory import MemoryState
from wsprism_core.state.port import StateBounds


def a_state(items: int = 100, value_bytes: int = 1_000) -> MemoryState:
    return MemoryState(StateBounds(items, value_bytes))


def a_book(
    state: MemoryState | None = None,
    tenant: str = "acme",
    count: Callable[[str], None] = lambda counter: None,
    **section: Any,
) -> ReactionBook:
    limits: dict[str, Any] = {"reactions_max_kinds": 3, "reactions_max": 5, **section}
    # An empty state is false.
    state = a_state() if state is None else state
    return ReactionBook(ChatConfig(**limits), state, tenant, count)


def refused(book: ReactionBook, id: str, user: str, kind: str) -> ErrorCode:
    with pytest.raises(ProtocolError) as error:
        book.react("r1", id, user, kind, on=True)
    return error.value.code


def test_each_user_counts_once_for_each_kind() -> None:
    book = a_book()
    assert book.react("r1", "m1", "ann", "+", on=True)
    assert not book.react("r1", "m1", "ann", "+", on=True)
    assert book.react("r1", "m1", "bob", "+", on=True)
    assert book.react("r1", "m1", "ann", "-", on=True)
    assert book.counts("r1", "m1") == {"+": 2, "-": 1}
    assert book.react("r1", "m1", "ann", "-", on=False)
    assert not book.react("r1", "m1", "ann", "-", on=False)
    assert book.counts("r1", "m1") == {"+": 2}
    assert book.counts("r1", "m2") == book.counts("r2", "m1") == {}
    assert not book.react("r1", "m2", "ann", "+", on=False)


def test_a_summary_is_told_once_and_not_too_often() -> None:
    book = a_book()
    book.react("r1", "m1", "ann", "+", on=True)
    book.react("r1", "m1", "bob", "+", on=True)
    assert list(book.due(1.0)) == [("r1", "m1", {"+": 2})]
    assert list(book.due(1.1)) == []
    book.react("r1", "m1", "bob", "+", on=False)
    book.react("r1", "m1", "ann", "+", on=False)
    assert list(book.due(1.2)) == []
    assert list(book.due(1.25)) == [("r1", "m1", {})]
    book.react("r1", "m1", "ann", "+", on=True)
    assert list(book.due(1.3)) == []
    assert len(book._told) == 1
    assert list(book.due(1.5)) == [("r1", "m1", {"+": 1})]
    assert list(book.due(2.0)) == []
    assert book._told == {}


def test_at_a_bound_nothing_changes() -> None:
    book = a_book()
    for kind in "abc":
        book.react("r1", "m1", "ann", kind, on=True)
    full = ErrorCode.RESOURCE_EXHAUSTED
    assert refused(book, "m1", "ann", "d") is full
    for user in "bob", "cat":
        book.react("r1", "m1", user, "a", on=True)
    assert refused(book, "m1", "dan", "a") is full
    assert book.counts("r1", "m1") == {"a": 3, "b": 1, "c": 1}
    book.react("r1", "m1", "ann", "c", on=False)
    book.react("r1", "m1", "ann", "d", on=True)
    assert book.counts("r1", "m1") == {"a": 3, "b": 1, "d": 1}


def test_what_cannot_be_kept_is_refused() -> None:
    full = ErrorCode.RESOURCE_EXHAUSTED
    book = a_book(a_state(value_bytes=20))
    book.react("r1", "m1", "ann", "+", on=True)
    assert refused(book, "m1", "somebody", "+") is full
    assert book.counts("r1", "m1") == {"+": 1}
    book = a_book(a_state(items=1))
    book.react("r1", "m1", "ann", "+", on=True)
    assert refused(book, "m2", "ann", "+") is full
    assert len(list(book.due(1.0))) == 1


def test_the_message_that_got_none_for_longest_goes_first() -> None:
    state = a_state()
    counted: Counter[str] = Counter()
    book = a_book(
        state, count=lambda name: counted.update([name]), reactions_max_messages=2
    )
    for id in "m1", "m2":
        book.react("r1", id, "ann", "+", on=True)
    book.react("r1", "m1", "bob", "+", on=True)
    book.react("r2", "m3", "ann", "+", on=True)
    kept = [book.counts(*of) for of in (("r1", "m1"), ("r1", "m2"), ("r2", "m3"))]
    assert kept == [{"+": 2}, {}, {"+": 1}]
    assert {id for _, id, _ in book.due(1.0)} == {"m1", "m3"}
    assert len(book) == len(state) == len(book._counted) == 2
    assert counted == {REACTIONS_EVICTED: 1}


def test_a_page_reads_no_names_again() -> None:
    state = a_state()
    a_book(state).react("r1", "m1", "ann", "+", on=True)
    book = a_book(state)
    assert book.counts("r1", "m1") == {"+": 1}
    # Whatever is kept there now, the names of it were read.
    state.put("react/acme/r1/m1", b"{}")
    assert book.counts("r1", "m1") == {"+": 1}
    book.forget("r1", "m1")
    assert book.counts("r1", "m1") == {}
    assert book._counted == {}


def test_what_is_gone_is_neither_told_nor_kept() -> None:
    state = a_state()
    book = a_book(state)
    book.react("r1", "m1", "ann", "+", on=True)
    book.forget("r1", "m1")
    book.forget("r1", "m1")
    assert list(book.due(1.0)) == []
    assert book.counts("r1", "m1") == {}
    book.react("r1", "m1", "ann", "+", on=True)
    book.react("r1", "m1", "ann", "+", on=False)
    assert len(book) == len(state) == 0


def test_they_outlive_the_book_and_the_oldest_message_goes_first() -> None:
    state = a_state()
    for room, id in ("b", "m1"), ("a", "m2"):
        a_book(state).react(room, id, "ann", "+", on=True)
    a_book(state, "other").react("a", "m0", "ann", "+", on=True)
    again = a_book(state, reactions_max_messages=2)
    assert len(again) == 2
    assert not again.react("a", "m2", "ann", "+", on=True)
    assert again.react("c", "m3", "ann", "+", on=True)
    assert again.counts("b", "m1") == {}
    assert again.counts("a", "m2") == again.counts("c", "m3") == {"+": 1}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["m1", "m2"]),
            st.sampled_from(["ann", "bob", "cat"]),
            st.sampled_from("ab"),
            st.booleans(),
        )
    )
)
def test_the_counts_are_those_of_the_set_of_reactions(
    steps: list[tuple[str, str, str, bool]],
) -> None:
    state = a_state()
    book = a_book(state, reactions_max=99)
    given_: set[tuple[str, str, str]] = set()
    for id, user, kind, on in steps:
        new = ((id, user, kind) not in given_) is on
        assert book.react("r1", id, user, kind, on=on) is new
        (given_.add if on else given_.discard)((id, user, kind))
        for one in "m1", "m2":
            counts = {
                kind: sum(1 for got in given_ if (got[0], got[2]) == (one, kind))
                for kind in "ab"
            }
            kept = {kind: n for kind, n in counts.items() if n}
            assert book.counts("r1", one) == a_book(state).counts("r1", one) == kept
