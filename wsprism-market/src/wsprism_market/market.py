"""The market of one gateway: one board, one feed, the subscriptions of every tenant."""

from __future__ import annotations

from wsprism_core import Gateway
from wsprism_market.board import Board
from wsprism_market.config import MarketConfig
from wsprism_market.feed import Feed
from wsprism_market.manifest import BAD_LINES, QUOTES, REFUSED_QUOTES
from wsprism_market.quotes import Quote
from wsprism_market.service import MarketService
from wsprism_market.sources import open_source
from wsprism_market.sources.port import BadLine

__all__ = ("Market",)


class Market:
    """Carries quotes from the source to the tenants.

    Args:
        gateway: The gateway that it runs on.
        config: What the operator set.
    """

    def __init__(self, gateway: Gateway, config: MarketConfig) -> None:
        self._gateway = gateway
        self._config = config
        start_ms = gateway.wall_ms()
        # No two runs start in the same millisecond.
        self._board = Board(epoch=f"{start_ms:x}", max_symbols=config.max_symbols)
        self._tenants: dict[str, MarketService] = {}
        self._has_refused = False
        self._feed = Feed(
            gateway,
            open_source(config.source, start_ms),
            quote=self._publish,
            bad_line=self._skip,
        )

    def start(self) -> None:
        """Begin to take quotes.

        Raises:
            OSError: The recording cannot be opened.
            ValueError: The recording is not what it should be.
        """
        self._feed.start()

    def stop(self) -> None:
        """Take no more quotes."""
        self._feed.stop()

    def tenant(self, tenant: str) -> MarketService:
        """Return the subscriptions of a tenant."""
        service = self._tenants.get(tenant)
        if service is None:
            service = MarketService(self._board, self._config.max_subscriptions)
            self._tenants[tenant] = service
        return service

    def _publish(self, quote: Quote) -> None:
        update = self._board.put(quote)
        if update is None:
            self._refuse(quote)
            return
        self._gateway.count(QUOTES)
        # A copy: performing may close sessions, and their hooks ask for tenants.
        for tenant, service in tuple(self._tenants.items()):
            actions = service.updated(update)
            if actions:
                self._gateway.perform(actions, tenant=tenant)

    def _refuse(self, quote: Quote) -> None:
        self._gateway.count(REFUSED_QUOTES)
        if not self._has_refused:
            # Once: there is one for every quote of every symbol too many.
            self._has_refused = True
            self._gateway.log.warning(
                "no_room_for_symbol",
                symbol=quote.symbol,
                max_symbols=self._config.max_symbols,
                further="counted",
            )

    def _skip(self, line: BadLine) -> None:
        self._gateway.count(BAD_LINES)
        self._gateway.log.warning(
            "bad_line_skipped", where=line.where, reason=line.reason
        )
