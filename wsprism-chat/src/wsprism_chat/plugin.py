"""The plugin: hooks that hand over to the rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from random import Random
from typing import Final

from wsprism_chat.config import ChatConfig
from wsprism_chat.conversation import erased
from wsprism_chat.filters import FilterChain, load_filters
from wsprism_chat.ids import MessageIds
from wsprism_chat.log import Recall
from wsprism_chat.manifest import REFUSED_AT_BOUND, manifest
from wsprism_chat.service import ChatService
from wsprism_core import (
    Actions,
    Envelope,
    ErrorCode,
    Gateway,
    Member,
    ProtocolError,
    Service,
    Session,
    Timer,
    hookimpl,
)

__all__ = ("ChatPlugin",)

#: How often it is looked after what is due, in seconds.
TICK: Final = 0.1
#: Who erases where another service or an operator wants it.
OPERATOR: Final = "operator"


class ChatPlugin:
    """Chat on a gateway: one `ChatService` for each tenant that talks.

    Args:
        random: Where message ids get their random bits; None takes the gateway's. A
            seeded one, with a virtual clock, issues the same ids again.
    """

    name = "chat"
    wsprism_api = 1

    def __init__(self, random: Random | None = None) -> None:
        self._gateway: Gateway
        self._ticks: Timer
        self._random = random
        self._tenants: dict[str, ChatService] = {}

    @hookimpl
    def register_services(self) -> Service:
        """Declare chat."""
        return manifest(self._erase)

    @hookimpl
    def on_start(self, gateway: Gateway) -> None:
        """Load the filters, and look after what is due."""
        self._gateway = gateway
        self._ids = MessageIds(gateway.wall_ms, self._random or gateway.random)
        config: ChatConfig = gateway.config
        self._filters = FilterChain(
            load_filters(config.filters, config.filter_options),
            failure=config.filter_failure,
            max_length=config.max_length,
            count=gateway.count,
            log=gateway.log,
        )
        self._ticks = gateway.every(TICK, self._tick)

    @hookimpl
    def on_stop(self) -> None:
        """Look after nothing any more."""
        self._ticks.cancel()

    @hookimpl
    def check_join(self, session: Session, room: str) -> bool | None:
        """Keep out who is banned, not invited, or not one of the two."""
        return self._service(session.tenant).may_join(session.user, room)

    @hookimpl
    def on_join(self, session: Session, room: str) -> Actions:
        """Show a newcomer the last messages, where that is wanted."""
        return self._service(session.tenant).joined(session, room)

    @hookimpl
    def on_leave(self, session: Session, room: str) -> Actions:
        """Forget what ends with a membership."""
        return self._service(session.tenant).left(session, room)

    @hookimpl
    def on_open(self, session: Session) -> None:
        """Note who has come."""
        self._service(session.tenant).opened(session)

    @hookimpl
    def on_detach(self, session: Session) -> None:
        """Note who may come back."""
        self._service(session.tenant).detached(session)

    @hookimpl
    def on_close(self, session: Session) -> None:
        """Note who is gone."""
        self._service(session.tenant).closed(session)

    @hookimpl
    def on_resume(self, session: Session) -> Actions:
        """Look whether it may still be where it was."""
        return self._service(session.tenant).resumed(session)

    @hookimpl
    def on_message(self, session: Session, message: Envelope) -> Actions:
        """Hand a message to the rules of its tenant."""
        service = self._tenants.get(session.tenant)
        try:
            return (service or self._service(session.tenant)).handle(session, message)
        except ProtocolError as error:
            if error.code is ErrorCode.RESOURCE_EXHAUSTED:
                self._gateway.count(REFUSED_AT_BOUND)
            raise

    def _service(self, tenant: str) -> ChatService:
        service = self._tenants.get(tenant)
        if service is None:
            service = self._tenants[tenant] = ChatService(
                self._gateway.config,
                _Surroundings(self._gateway, tenant),
                self._ids.next,
                self._gateway.state,
                self._filters,
            )
        return service

    def _tick(self) -> None:
        for tenant, service in list(self._tenants.items()):
            if actions := service.tick():
                self._gateway.perform(actions, tenant=tenant)

    def _erase(self, tenant: str, room: str, user: str) -> None:
        self._gateway.perform(erased(room, user, by=OPERATOR), tenant=tenant)


class _Surroundings:
    """The gateway, as the rules of one tenant see it.

    Args:
        gateway: The gateway.
        tenant: The tenant's id.
    """

    def __init__(self, gateway: Gateway, tenant: str) -> None:
        self._gateway = gateway
        self.tenant = tenant
        self.history: Recall = partial(gateway.history, tenant)
        self.count: Callable[[str], None] = gateway.count
        self.now = gateway.now
        self.wall_ms = gateway.wall_ms

    def members(self, room: str) -> Iterable[Member]:
        """Return the members of a room."""
        return self._gateway.members(self.tenant, room)

    def member_count(self, room: str) -> int:
        """Return how many members a room has."""
        return self._gateway.member_count(self.tenant, room)

    def sessions_of(self, user: str) -> Iterable[Session]:
        """Return the open sessions of a user."""
        return self._gateway.sessions_of(self.tenant, user)
