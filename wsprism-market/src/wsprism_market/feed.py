"""The feed: takes quotes from a source when they are due."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from wsprism_core import EventLog, Timer
from wsprism_market.quotes import Quote
from wsprism_market.sources.port import BadLine, Due, Item, Source

__all__ = ("QUOTES_PER_TURN", "Feed", "Timing")

#: Most items taken at once; the gateway's other work goes on between two turns.
QUOTES_PER_TURN: Final = 64
#: Seconds; a quote may be due further ahead than a timer reaches.
LONGEST_WAIT: Final = 3_600.0


class Timing(Protocol):
    """What the feed needs of a gateway."""

    @property
    def log(self) -> EventLog:
        """Where it says that the source has ended."""

    def now(self) -> float:
        """Return seconds on a clock that never goes back."""

    def after(self, seconds: float, work: Callable[[], None]) -> Timer:
        """Run `work` once, `seconds` from now or a little later."""


class Feed:
    """Plays one source against a clock.

    Quotes that are late, because the gateway was busy, are taken as soon as it is not:
    none is left out, and the source keeps its pace.

    Args:
        timing: The gateway.
        source: What is played.
        quote: Called with every quote.
        bad_line: Called with everything that should have been one.
    """

    def __init__(
        self,
        timing: Timing,
        source: Source,
        *,
        quote: Callable[[Quote], None],
        bad_line: Callable[[BadLine], None],
    ) -> None:
        self._timing = timing
        self._quote = quote
        self._bad_line = bad_line
        self._items = source.play()  # opens with its first item
        self._next: Item | None = None
        self._began = 0.0
        self._timer: Timer | None = None

    def start(self) -> None:
        """Open the source and take what is due at its very start.

        Raises:
            OSError: The source cannot be opened.
            ValueError: The source is not what it should be.
        """
        self._began = self._timing.now()
        self._next = next(self._items, None)
        self._run()

    def stop(self) -> None:
        """Take nothing more and close the source; harmless a second time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._next = None
        self._items.close()

    def _run(self) -> None:
        self._timer = None
        elapsed = self._timing.now() - self._began
        try:
            for _ in range(QUOTES_PER_TURN):
                if self._next is None or self._next.at > elapsed:
                    break
                self._take(self._next)
        finally:
            self._plan()

    def _take(self, item: Item) -> None:
        # Whatever becomes of this item, the next one is taken.
        self._next = None
        try:
            if isinstance(item, Due):
                self._quote(item.quote)
            else:
                self._bad_line(item)
        finally:
            self._next = next(self._items, None)

    def _plan(self) -> None:
        if self._next is None:
            self._timing.log.info("source_ended")
            return
        wait = self._began + self._next.at - self._timing.now()
        wait = min(max(0.0, wait), LONGEST_WAIT)
        self._timer = self._timing.after(wait, self._run)
