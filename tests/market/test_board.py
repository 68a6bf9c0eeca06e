from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wsprism_market.board import Board, Update
from wsprism_market.quotes import Quote


def quote(symbol: str, last: int = 1) -> Quote:
    return Quote(symbol, 0, 0, last, last, last)


def test_the_first_quote_has_none_before_it() -> None:
    board = Board("e", 10)
    update = board.put(quote("A"))
    assert update == Update(quote("A"), 1, "e")
    assert update.is_first
    assert update.prev_seq == 0


def test_the_newest_quote_is_kept() -> None:
    board = Board("e", 10)
    board.put(quote("A", 1))
    second = board.put(quote("A", 2))
    assert second is not None
    assert not second.is_first
    assert board.get("A") == second == Update(quote("A", 2), 2, "e")


def test_an_unknown_symbol() -> None:
    assert Board("e", 10).get("A") is None


def test_a_symbol_too_many_is_refused_and_the_others_go_on() -> None:
    board = Board("e", 2)
    board.put(quote("A"))
    board.put(quote("B"))
    assert board.put(quote("C")) is None
    assert board.get("C") is None
    assert board.put(quote("A")) is not None
    assert list(board) == ["A", "B"]


@given(st.lists(st.sampled_from("ABC")))
def test_seq_is_gap_free_per_symbol_and_chained(symbols: list[str]) -> None:
    board = Board("e", 3)
    held = dict.fromkeys("ABC", 0)
    for symbol in symbols:
        update = board.put(quote(symbol))
        assert update is not None
        assert update.prev_seq == held[symbol]
        assert update.seq == held[symbol] + 1
        held[symbol] = update.seq
    assert held == {symbol: symbols.count(symbol) for symbol in "ABC"}
