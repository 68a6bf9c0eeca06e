"""The board: the newest quote of every symbol, numbered so that a gap is seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from wsprism_market.quotes import Quote

__all__ = ("Board", "Update")


@dataclass(frozen=True, slots=True)
class Update:
    """A quote with its place among those of its symbol.

    Args:
        quote: The whole quote.
        seq: Its number, from 1, one more for each quote of the symbol.
        epoch: New whenever the numbers start anew.
    """

    quote: Quote
    seq: int
    epoch: str

    @property
    def symbol(self) -> str:
        """The quote's symbol."""
        return self.quote.symbol

    @property
    def prev_seq(self) -> int:
        """The number of the symbol's quote before this one; 0 where there is none."""
        return self.seq - 1

    @property
    def is_first(self) -> bool:
        """Whether the symbol was unknown before."""
        return self.seq == 1


class Board:
    """What every symbol costs now.

    Args:
        epoch: Tells this run's numbers from those of any other; at most 32 characters.
        max_symbols: How many symbols it has room for.
    """

    def __init__(self, epoch: str, max_symbols: int) -> None:
        self._epoch = epoch
        self._max_symbols = max_symbols
        self._newest: dict[str, Update] = {}

    def __iter__(self) -> Iterator[str]:
        """Yield the symbols, in the order of their first quotes."""
        return iter(self._newest)

    def get(self, symbol: str) -> Update | None:
        """Return the symbol's newest quote; None before its first."""
        return self._newest.get(symbol)

    def put(self, quote: Quote) -> Update | None:
        """Number a quote and keep it as its symbol's newest.

        Returns:
            What subscribers are told; None where it is one symbol too many.
        """
        elder = self._newest.get(quote.symbol)
        if elder is None and len(self._newest) >= self._max_symbols:
            return None
        seq = 1 if elder is None else elder.seq + 1
        update = self._newest[quote.symbol] = Update(quote, seq, self._epoch)
        return update
