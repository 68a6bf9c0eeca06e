"""The plugin `party`."""

from __future__ import annotations

from random import Random
from typing import Any, Final

from wsprism_core import (
    Actions,
    Envelope,
    Gateway,
    Service,
    Session,
    Timer,
    hookimpl,
)
from wsprism_game.party.config import PartyConfig
from wsprism_game.party.manifest import manifest
from wsprism_game.party.service import PartyService

__all__ = ("PartyPlugin",)

#: How often invites and graces are looked after, in seconds.
EXPIRY_INTERVAL: Final = 1.0
#: How much chance is in a party's id.
ID_BITS: Final = 80


class PartyPlugin:
    """Parties, one service per tenant.

    Args:
        random: Where parties' ids come from; None takes the gateway's. A seeded one
            issues the same ids again.
    """

    name = "party"
    wsprism_api = 1

    def __init__(self, random: Random | None = None) -> None:
        self._gateway: Gateway
        self._config: PartyConfig
        self._expiry: Timer
        self._services: dict[str, PartyService] = {}
        self._random = random

    @hookimpl
    def register_services(self) -> Service:
        """Declare `party`."""
        return manifest(self._of)

    @hookimpl
    def on_start(self, gateway: Gateway) -> None:
        """Read the configuration and look after what expires."""
        self._gateway = gateway
        self._config = gateway.config
        self._expiry = gateway.every(EXPIRY_INTERVAL, self._expire)

    @hookimpl
    def on_stop(self) -> None:
        """Look after nothing any more."""
        self._expiry.cancel()

    @hookimpl
    def on_open(self, session: Session) -> Actions:
        """Bring a user back to his party, and tell him of his invites."""
        return self._connected(session)

    @hookimpl
    def on_resume(self, session: Session) -> Actions:
        """Do the same as for a new connection."""
        return self._connected(session)

    @hookimpl
    def on_detach(self, session: Session) -> Actions:
        """Note that a connection is down."""
        service = self._service(session.tenant)
        return service.detached(session.user, session.id, self._gateway.now())

    @hookimpl
    def on_close(self, session: Session) -> Actions:
        """Note that a session is over."""
        service = self._service(session.tenant)
        return service.closed(session.user, session.id, self._gateway.now())

    @hookimpl
    def check_join(self, session: Session, room: str) -> bool | None:
        """Keep strangers out of a party's room."""
        return self._service(session.tenant).may_join(session.user, room)

    @hookimpl
    def on_message(self, session: Session, message: Envelope) -> Actions:
        """Do what a member or a guest asks for."""
        service = self._service(session.tenant)
        return service.handle(session.user, message, self._gateway.now())

    def _connected(self, session: Session) -> Actions:
        service, now = self._service(session.tenant), self._gateway.now()
        return service.connected(session.user, session.id, tuple(session.rooms), now)

    def _of(self, tenant: str, user: str) -> dict[str, Any] | None:
        return self._service(tenant).of(user, self._gateway.now())

    def _expire(self) -> None:
        now = self._gateway.now()
        for tenant, service in list(self._services.items()):
            self._gateway.perform(service.expire(now), tenant=tenant)

    def _service(self, tenant: str) -> PartyService:
        service = self._services.get(tenant)
        if service is None:
            service = PartyService(self._config, self._new_id)
            self._services[tenant] = service
        return service

    def _new_id(self) -> str:
        # A party's room may outlive the party in a stored history, and no other party,
        # of another gateway or after a restart, may come to it.
        random = self._random or self._gateway.random
        return f"{random.getrandbits(ID_BITS):0{ID_BITS // 4}x}"
