"""The plugin: hooks that hand over to the rules."""

from __future__ import annotations

from functools import partial
from random import Random

from wsprism_chat.ids import MessageIds
from wsprism_chat.manifest import CHAT
from wsprism_chat.service import ChatService
from wsprism_core import Actions, Envelope, Gateway, Service, Session, hookimpl

__all__ = ("ChatPlugin",)


class ChatPlugin:
    """Chat on a gateway: one `ChatService` for each tenant that talks.

    Args:
        random: Where message ids get their random bits; None takes the gateway's. A
            seeded one, with a virtual clock, issues the same ids again.
    """

    name = "chat"
    wsprism_api = 1

    def __init__(self, random: Random | None = None) -> None:
        self._random = random
        self._tenants: dict[str, ChatService] = {}

    @hookimpl
    def register_services(self) -> Service:
        """Declare chat."""
        return CHAT

    @hookimpl
    def on_start(self, gateway: Gateway) -> None:
        """Keep the gateway at hand."""
        self._gateway = gateway
        random = self._random or gateway.random
        self._ids = MessageIds(gateway.wall_ms, random)

    @hookimpl
    def on_message(self, session: Session, message: Envelope) -> Actions:
        """Hand a message to the rules of its tenant."""
        service = self._tenants.get(session.tenant)
        if service is None:
            service = self._tenants[session.tenant] = self._open(session.tenant)
        return service.handle(session.user, message)

    def _open(self, tenant: str) -> ChatService:
        return ChatService(
            self._gateway.config,
            partial(self._gateway.history, tenant),
            self._ids.next,
        )
