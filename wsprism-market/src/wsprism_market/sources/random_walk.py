"""A source that makes prices up: a random walk, the same for the same seed."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from random import Random
from typing import Final

from wsprism_market.quotes import Quote
from wsprism_market.sources.port import Due, Item

__all__ = ("RandomWalk",)

SCALE: Final = 2
#: What a symbol may cost at first, and the least that it ever costs.
OPENING: Final = range(1_000, 100_000)
FLOOR: Final = 100
#: The largest step, and the largest distance of bid and ask from the middle.
MAX_STEP: Final = 25
MAX_HALF_SPREAD: Final = 5


class RandomWalk:
    """Prices that wander, one symbol at a time; each has a quote at the very start.

    A symbol's prices depend on the seed and on its name, not on the other symbols.

    Args:
        symbols: Their names, each once.
        seed: Decides every price.
        per_second: Quotes a second, over all symbols.
        start_ms: When it begins, in milliseconds since 1970.
    """

    def __init__(
        self, symbols: Sequence[str], seed: int, per_second: float, start_ms: int
    ) -> None:
        self._symbols = tuple(symbols)
        self._seed = seed
        self._per_second = per_second
        self._start_ms = start_ms

    def play(self) -> Generator[Item, None, None]:
        """Yield quotes without end."""
        walkers = [_Walker(symbol, self._seed) for symbol in self._symbols]
        for walker in walkers:
            yield Due(0.0, walker.quote(self._start_ms))
        turn = Random(self._seed)
        steps = 0
        while True:
            steps += 1
            at = steps / self._per_second
            walker = walkers[_pick(turn, range(len(walkers)))]
            walker.step()
            yield Due(at, walker.quote(self._start_ms + int(at * 1_000)))


class _Walker:
    """One symbol's price."""

    def __init__(self, symbol: str, seed: int) -> None:
        self._symbol = symbol
        self._random = Random(f"{seed}/{symbol}")
        self._middle = _pick(self._random, OPENING)

    def step(self) -> None:
        step = _pick(self._random, range(-MAX_STEP, MAX_STEP + 1))
        self._middle = max(FLOOR, self._middle + step)

    def quote(self, ts: int) -> Quote:
        half = _pick(self._random, range(1, MAX_HALF_SPREAD + 1))
        bid, ask = self._middle - half, self._middle + half
        last = _pick(self._random, range(bid, ask + 1))
        return Quote(self._symbol, ts, SCALE, bid, ask, last)


def _pick(random: Random, choices: range) -> int:
    # Of all the methods, `random` alone promises the same numbers on every Python.
    return choices[int(random.random() * len(choices))]
