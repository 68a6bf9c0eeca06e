"""The port between the board and anything that knows prices.

A source tells what comes and when; it neither waits nor reads a clock. The feed does,
so that a virtual clock drives every source alike.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeAlias

from wsprism_market.quotes import Quote

__all__ = ("BadLine", "Due", "Item", "Source")


@dataclass(frozen=True, slots=True)
class Due:
    """A quote and its time.

    Args:
        at: Seconds after the source began; before the quote ahead of it means at once.
        quote: The quote.
    """

    at: float
    quote: Quote


@dataclass(frozen=True, slots=True)
class BadLine:
    """Something that should have been a quote; the source goes on behind it.

    Args:
        where: The file and the line.
        reason: What is wrong with it.
    """

    #: It is told as soon as the source comes to it.
    at: ClassVar[float] = 0.0

    where: str
    reason: str


Item: TypeAlias = Due | BadLine


class Source(Protocol):
    """Something that knows prices."""

    def play(self) -> Generator[Item, None, None]:
        """Yield what the source has, in order; it may never end.

        Closing the generator frees whatever it holds.

        Raises:
            OSError: It cannot be opened; before the first item.
            ValueError: It is not what it should be; before the first item.
        """
