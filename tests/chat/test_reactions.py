from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsprism_chat.reactions import ReactionBook


def a_book(kinds: int = 3, most: int = 5, messages: int = 2) -> ReactionBook:
    return ReactionBook(0.25, kinds, most, messages)


def test_each_user_counts_once_for_each_kind() -> None:
    book = a_book()
    assert book.react("m1", "ann", "+", on=True)
    assert not book.react("m1", "ann", "+", on=True)
    assert book.react("m1", "bob", "+", on=True)
    assert book.react("m1", "ann", "-", on=True)
    assert book.counts("m1") == {"+": 2, "-": 1}
    assert book.react("m1", "ann", "-", on=False)
    assert not book.react("m1", "ann", "-", on=False)
    assert book.counts("m1") == {"+": 2}
    assert book.counts("m2") == {}
    assert not book.react("m2", "ann", "+", on=False)


def test_a_summary_is_told_once_and_not_too_often() -> None:
    book = a_book()
    book.react("m1", "ann", "+", on=True)
    book.react("m1", "bob", "+", on=True)
    assert list(book.due(1.0)) == [("m1", {"+": 2})]
    assert list(book.due(1.1)) == []
    book.react("m1", "bob", "+", on=False)
    book.react("m1", "ann", "+", on=False)
    assert list(book.due(1.2)) == []
    assert list(book.due(1.25)) == [("m1", {})]
    book.react("m1", "ann", "+", on=True)
    assert list(book.due(1.3)) == []


def test_at_a_bound_nothing_changes() -> None:
    book = a_book()
    for kind in "abc":
        book.react("m1", "ann", kind, on=True)
    with pytest.raises(OverflowError):
        book.react("m1", "ann", "d", on=True)
    for user in "bob", "cat":
        book.react("m1", user, "a", on=True)
    with pytest.raises(OverflowError):
        book.react("m1", "dan", "a", on=True)
    assert book.counts("m1") == {"a": 3, "b": 1, "c": 1}
    book.react("m1", "ann", "c", on=False)
    book.react("m1", "ann", "d", on=True)
    assert book.counts("m1") == {"a": 3, "b": 1, "d": 1}


def test_the_message_that_got_none_for_longest_goes_first() -> None:
    book = a_book()
    for id in "m1", "m2":
        book.react(id, "ann", "+", on=True)
    book.react("m1", "bob", "+", on=True)
    book.react("m3", "ann", "+", on=True)
    assert [book.counts(id) for id in ("m1", "m2", "m3")] == [{"+": 2}, {}, {"+": 1}]
    assert {id for id, _ in book.due(1.0)} == {"m1", "m3"}


def test_what_is_gone_is_not_told() -> None:
    book = a_book()
    book.react("m1", "ann", "+", on=True)
    book.forget("m1")
    book.forget("m1")
    assert list(book.due(1.0)) == []
    assert book.counts("m1") == {}


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
    book = ReactionBook(0.0, 9, 99, 9)
    given_: set[tuple[str, str, str]] = set()
    for id, user, kind, on in steps:
        new = ((id, user, kind) not in given_) is on
        assert book.react(id, user, kind, on=on) is new
        (given_.add if on else given_.discard)((id, user, kind))
        for one in "m1", "m2":
            counts = {
                kind: sum(1 for got in given_ if (got[0], got[2]) == (one, kind))
                for kind in "ab"
            }
            assert book.counts(one) == {kind: n for kind, n in counts.items() if n}
