"""What market declares about itself."""

from __future__ import annotations

from typing import Final

from wsprism_core import Delivery, Inbound, Outbound, RoomRule, Service
from wsprism_market.config import MarketConfig
from wsprism_market.messages import Live, Names, Snapshot, Subscribed, Ticker

__all__ = ("BAD_LINES", "MARKET", "QUOTES", "REFUSED_QUOTES")

QUOTES: Final = "market_quotes"
BAD_LINES: Final = "market_bad_lines"
REFUSED_QUOTES: Final = "market_refused_quotes"

MARKET: Final = Service(
    name="market",
    svc_id=4,
    summary="Market data: snapshots, then updates",
    lane="market",
    inbound=(
        Inbound(
            name="subscribe",
            summary="Follow symbols, by name and by pattern",
            schema=Names,
            room=RoomRule.NONE,
        ),
        Inbound(
            name="unsubscribe",
            summary="End subscriptions, named as they were begun",
            schema=Names,
            room=RoomRule.NONE,
        ),
    ),
    outbound=(
        Outbound(
            name="subscribed",
            summary="What was subscribed to; snapshots follow",
            schema=Subscribed,
        ),
        Outbound(
            name="unsubscribed",
            summary="What was ended",
            schema=Subscribed,
        ),
        Outbound(
            name="snapshot",
            summary="Where a symbol stands",
            schema=Snapshot,
        ),
        Outbound(
            name="live",
            summary="The snapshots are complete, updates follow",
            schema=Live,
        ),
        Outbound(
            name="ticker",
            summary="A newer quote of a symbol, whole",
            schema=Ticker,
            delivery=Delivery.LATEST,
        ),
    ),
    config=MarketConfig,
    counters={
        QUOTES: "Quotes taken from the source",
        BAD_LINES: "Lines of a recording that are no quote",
        REFUSED_QUOTES: "Quotes of one symbol more than max_symbols",
    },
)
