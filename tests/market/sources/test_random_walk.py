from __future__ import annotations

from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsprism_market.quotes import Quote
from wsprism_market.sources import random_walk
from wsprism_market.sources.port import Due
from wsprism_market.sources.random_walk import RandomWalk

seeds = st.integers(0, 2**64)


def take(walk: RandomWalk, count: int) -> list[Due]:
    items = [item for item in islice(walk.play(), count) if isinstance(item, Due)]
    assert len(items) == count
    return items


@given(seeds)
def test_same_seed_same_quotes(seed: int) -> None:
    first = RandomWalk(["A", "B"], seed, 5, 1_000)
    second = RandomWalk(["A", "B"], seed, 5, 1_000)
    assert take(first, 50) == take(second, 50) == take(first, 50)


def test_another_seed_gives_other_prices() -> None:
    first, second = (take(RandomWalk(["A"], seed, 5, 0), 5) for seed in (1, 2))
    assert first != second


def test_the_same_numbers_on_every_python() -> None:
    quotes = [item.quote for item in take(RandomWalk(["A", "B"], 1, 5, 0), 4)]
    assert quotes == [
        Quote("A", 0, 2, 22_721, 22_727, 22_725),
        Quote("B", 0, 2, 81_485, 81_487, 81_485),
        Quote("A", 200, 2, 22_724, 22_732, 22_730),
        Quote("B", 400, 2, 81_469, 81_479, 81_470),
    ]


def test_every_symbol_opens_at_once() -> None:
    opening = take(RandomWalk(["A", "B", "C"], 1, 5, 9_000), 3)
    assert [(item.at, item.quote.symbol) for item in opening] == [
        (0, "A"),
        (0, "B"),
        (0, "C"),
    ]
    assert {item.quote.ts for item in opening} == {9_000}


@pytest.mark.parametrize("per_second", [0.1, 4, 1_000])
def test_pace(per_second: float) -> None:
    items = take(RandomWalk(["A"], 1, per_second, 1_000), 101)
    assert items[100].at == 100 / per_second
    assert items[100].quote.ts == 1_000 + int(100_000 / per_second)
    gaps = {round(after.at - item.at, 9) for item, after in pairwise(items)}
    assert gaps == {round(1 / per_second, 9)}


def test_a_symbol_wanders_alike_in_any_company() -> None:
    alone = [item.quote.last for item in take(RandomWalk(["A"], 3, 1, 0), 20)]
    company = take(RandomWalk(["B", "A", "C"], 3, 1, 0), 300)
    beside = [item.quote.last for item in company if item.quote.symbol == "A"]
    assert beside[:20] == alone


@given(seeds, st.sampled_from(["A", "BTC-USD"]))
def test_prices_are_prices(seed: int, symbol: str) -> None:
    for item in take(RandomWalk([symbol], seed, 5, 0), 200):
        quote = item.quote
        assert 0 < quote.bid <= quote.last <= quote.ask
        assert quote.bid < quote.ask
        assert quote.scale == 2


def test_a_price_never_falls_through_the_floor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(random_walk, "OPENING", range(100, 101))
    bids = [item.quote.bid for item in take(RandomWalk(["A"], 1, 5, 0), 200)]
    assert 95 <= min(bids) < 100


def test_every_symbol_gets_its_turn() -> None:
    items = take(RandomWalk(["A", "B", "C"], 1, 5, 0), 203)
    turns = [item.quote.symbol for item in items[3:]]
    assert all(turns.count(symbol) > 30 for symbol in "ABC")
