"""The plugin: hooks that hand over to the rules."""

from __future__ import annotations

from wsprism_core import Actions, Envelope, Gateway, Service, Session, hookimpl
from wsprism_market.manifest import MARKET
from wsprism_market.market import Market
from wsprism_market.service import ROOM_PREFIX

__all__ = ("MarketPlugin",)


class MarketPlugin:
    """Market data on a gateway."""

    name = "market"
    wsprism_api = 1

    @hookimpl
    def register_services(self) -> Service:
        """Declare market."""
        return MARKET

    @hookimpl
    def on_start(self, gateway: Gateway) -> None:
        """Begin to take quotes."""
        self._market = Market(gateway, gateway.config)
        self._market.start()

    @hookimpl
    def on_stop(self) -> None:
        """Take no more quotes."""
        self._market.stop()

    @hookimpl
    def check_join(self, room: str) -> bool | None:
        """Keep clients out of the rooms that subscriptions make."""
        return False if room.startswith(ROOM_PREFIX) else None

    @hookimpl
    def on_message(self, session: Session, message: Envelope) -> Actions:
        """Hand a message to the rules of its tenant."""
        return self._market.tenant(session.tenant).handle(session.id, message)

    @hookimpl
    def on_close(self, session: Session) -> Actions:
        """Forget the session."""
        self._market.tenant(session.tenant).closed(session.id)
        return None
