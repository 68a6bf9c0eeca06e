"""Quotes, and the exact decimals that they are made of."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

__all__ = ("MAX_MANTISSA", "MAX_SCALE", "Quote", "parse_quote")

#: The largest integer that JavaScript holds exactly.
MAX_MANTISSA: Final = 2**53 - 1
#: Digits behind the decimal point.
MAX_SCALE: Final = 15

# The exponent is kept short, so that no number is too big to be written out.
_NUMBER: Final = re.compile(r"-?[0-9]{1,32}(\.[0-9]{1,32})?([eE][+-]?[0-9]{1,2})?\Z")


@dataclass(frozen=True, slots=True)
class Quote:
    """What one symbol costs at one time.

    A price is an integer: it stands for `price / 10**scale`, exactly.

    Args:
        symbol: The symbol.
        ts: When, in milliseconds since 1970.
        scale: Digits behind the decimal point, for all prices of this quote.
        bid: The best price at which somebody buys.
        ask: The best price at which somebody sells.
        last: The price of the last trade.
    """

    symbol: str
    ts: int
    scale: int
    bid: int
    ask: int
    last: int


def parse_quote(symbol: str, ts: int, *, bid: str, ask: str, last: str) -> Quote:
    """Make a quote of prices in decimal notation, without rounding.

    The scale is that of the price with the most digits behind the point; zeros at the
    end count, since `100.50` says how fine the symbol's prices are.

    Raises:
        ValueError: A price is no decimal number, has more than 15 digits behind the
            point, or is above 2^53-1 as an integer.
    """
    prices = {"bid": bid, "ask": ask, "last": last}
    decimals = {name: _decimal(name, text) for name, text in prices.items()}
    scale = max(map(_digits_behind_point, decimals.values()))
    if scale > MAX_SCALE:
        raise ValueError(f"more than {MAX_SCALE} digits behind the decimal point")
    scaled = {}
    for name, decimal in decimals.items():
        # A ratio of integers is exact at any length, decimal arithmetic is not.
        above, below = decimal.as_integer_ratio()
        scaled[name] = above * 10**scale // below
        if abs(scaled[name]) > MAX_MANTISSA:
            raise ValueError(f"{name} has too many digits: {prices[name]}")
    return Quote(symbol, ts, scale, **scaled)


def _decimal(name: str, text: str) -> Decimal:
    if _NUMBER.match(text) is None:
        raise ValueError(f"{name} is no decimal number: {text!r:.40}")
    return Decimal(text)


def _digits_behind_point(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)  # it is finite
    return max(0, -exponent)
