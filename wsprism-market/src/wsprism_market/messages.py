"""The `data` of every market message."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from wsprism_market.board import Update

__all__ = (
    "Live",
    "Names",
    "Snapshot",
    "Subscribed",
    "Ticker",
    "snapshot",
    "ticker",
)


class Names(TypedDict):
    """`market.subscribe` and `market.unsubscribe`.

    Attributes:
        symbols: Symbols such as `BTC-USD`, and patterns such as `ETH-*`.
    """

    symbols: Annotated[list[str], Field(min_length=1)]


class Subscribed(TypedDict):
    """`market.subscribed` and `market.unsubscribed`: what began or ended.

    Attributes:
        symbols: The symbols among the names, each once.
        patterns: The patterns among them, each once.
    """

    symbols: list[str]
    patterns: list[str]


class Live(TypedDict):
    """`market.live`: the snapshots are complete, from here on there are updates.

    Attributes:
        symbols: Those that a snapshot was sent of since the last mark.
    """

    symbols: list[str]


class Snapshot(TypedDict):
    """`market.snapshot`: where a symbol stands.

    Attributes:
        symbol: The symbol.
        seq: The number of its newest quote.
        epoch: New whenever `seq` starts anew; an opaque string.
        scale: Digits behind the decimal point of the prices in this message.
        bid: The best price at which somebody buys, times 10 to the power of `scale`.
        ask: The best price at which somebody sells, likewise.
        last: The price of the last trade, likewise.
        ts: When, in milliseconds since 1970.
    """

    symbol: str
    seq: int
    epoch: str
    scale: int
    bid: int
    ask: int
    last: int
    ts: int


class Ticker(Snapshot):
    """`market.ticker`: the same of a newer quote, whole.

    Attributes:
        prev_seq: The number of the symbol's quote before this one. A client that holds
            another has missed some; it needs none of them.
    """

    prev_seq: int


def snapshot(update: Update) -> Snapshot:
    """Return what `market.snapshot` says."""
    quote = update.quote
    return {
        "symbol": quote.symbol,
        "seq": update.seq,
        "epoch": update.epoch,
        "scale": quote.scale,
        "bid": quote.bid,
        "ask": quote.ask,
        "last": quote.last,
        "ts": quote.ts,
    }


def ticker(update: Update) -> Ticker:
    """Return what `market.ticker` says."""
    return {**snapshot(update), "prev_seq": update.prev_seq}
