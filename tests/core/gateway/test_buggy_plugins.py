"""A plugin that breaks its word fails alone, and is counted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel

from wsprism_core import (
    Actions,
    Envelope,
    ErrorCode,
    Gateway,
    HttpRequest,
    HttpResponse,
    Identity,
    Inbound,
    Kick,
    Outbound,
    ProtocolError,
    Reply,
    Route,
    Service,
    Session,
    hookimpl,
)
from wsprism_core.testing import GatewayHarness


def _boom(value: str) -> str:
    raise KeyError(value)


class Bad(BaseModel):
    """A schema that fails in an unexpected way."""

    x: Annotated[str, AfterValidator(_boom)]


class Buggy:
    """Does what a test wants, whatever that is."""

    wsprism_api = 1
    name = "buggy"

    def __init__(self) -> None:
        self.gateway: Gateway
        self.on_join_check: Callable[[Session], None] = lambda session: None
        self.answer: Any = HttpResponse()

    @hookimpl
    def register_services(self) -> Service:
        return Service(
            name="buggy",
            inbound=(Inbound(name="say"), Inbound(name="bad", schema=Bad)),
            outbound=(Outbound(name="said"),),
        )

    @hookimpl
    def register_routes(self) -> list[Route]:
        return [Route("/buggy", lambda request: self.answer)]

    @hookimpl
    def on_start(self, gateway: Gateway) -> None:
        self.gateway = gateway

    @hookimpl
    def on_message(self, session: Session, message: Envelope) -> Actions:
        if message.data is not None:
            raise ProtocolError(ErrorCode.BAD_REQUEST, message.data)
        return Reply("said")

    @hookimpl
    def check_join(self, session: Session, room: str) -> bool | None:
        self.on_join_check(session)
        return None


@pytest.mark.parametrize("msg", [{"a": 1}, 7, ["x"], "y" * 10_000])
async def test_a_refusal_always_gets_through(
    gateway: type[GatewayHarness], msg: object
) -> None:
    async with gateway(Buggy()) as gw, gw.connect("ann") as ann:
        ref = await ann.send("buggy", "say", msg)
        error = await ann.expect_error("BAD_REQUEST", ref=ref)
        assert len(error["msg"]) <= 500
        await ann.request("buggy", "say")


async def test_a_schema_that_fails_is_its_plugins_failure(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway(Buggy()) as gw, gw.connect("ann") as ann:
        ref = await ann.send("buggy", "bad", {"x": "y"})
        await ann.expect_error("INTERNAL", ref=ref)
        assert gw.metrics.plugin_failures["buggy", "schema"] == 1
        await ann.request("buggy", "say")


@pytest.mark.parametrize(
    "answer",
    [
        "text",
        HttpResponse(body="text"),  # type: ignore[arg-type]
        HttpResponse(content_type="text/ü"),
        HttpResponse(headers={"X-Y": None}),  # type: ignore[dict-item]
        HttpResponse(headers={"X-Y": "a\r\nb"}),
        HttpResponse(99),
    ],
    ids=["no response", "no bytes", "no ASCII", "no text", "two lines", "no status"],
)
async def test_a_route_that_answers_nonsense_is_a_500(
    gateway: type[GatewayHarness], answer: object
) -> None:
    buggy = Buggy()
    buggy.answer = answer
    async with gateway(buggy) as gw:
        request = HttpRequest("GET", "/buggy", {}, {}, "127.0.0.1")
        assert gw.gateway.host.http(request).status == 500
        assert gw.metrics.plugin_failures["buggy", "route"] == 1


async def test_a_check_that_ends_the_session_leaves_no_ghost(
    gateway: type[GatewayHarness],
) -> None:
    buggy = Buggy()

    def kick(session: Session) -> None:
        buggy.gateway.perform(Kick("no", session=session.id), tenant=session.tenant)

    buggy.on_join_check = kick
    async with gateway(buggy) as gw, gw.connect("ann") as ann:
        await ann.send("room", "join", room="lobby")
        await ann.expect_closed(4005)
        assert len(gw.gateway.rooms) == 0
        assert len(gw.gateway.sessions) == 0


class Leaky:
    """An authenticator whose exceptions hold the ticket."""

    wsprism_api = 1

    def __init__(self) -> None:
        self.hang = False

    @hookimpl
    async def authenticate(self, ticket: str, tenant: str) -> Identity | None:
        if self.hang:
            await asyncio.Event().wait()
        return Identity({"known": "user:x"}[ticket], tenant)


async def test_a_ticket_does_not_leak_by_an_exception(
    gateway: type[GatewayHarness], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "wsprism")
    async with gateway(Leaky()) as gw:
        client = await gw.dial()
        auth = {"svc": "sys", "type": "auth", "data": {"ticket": "my-secret-ticket"}}
        await client.send_fields(auth)
        await client.expect_closed(4503)
        assert gw.metrics.plugin_failures["Leaky", "authenticate"] == 1
    shown = [vars(record) for record in caplog.records]
    assert shown
    assert "my-secret-ticket" not in repr(shown)
