"""PROTOCOL section 1: tickets that plugins know, new ones, and where none may show."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from support.services import ANYWHERE, LAB, Lab
from wsprism_core import (
    ConnectRequest,
    ErrorCode,
    HotFrame,
    HttpRequest,
    Identity,
    ProtocolError,
    hookimpl,
)
from wsprism_core.protocol.codecs import JSON
from wsprism_core.protocol.framing import encode_frame
from wsprism_core.protocol.layout import FrameKind
from wsprism_core.testing import GatewayHarness


def auth(**data: Any) -> dict[str, Any]:
    return {"svc": "sys", "type": "auth", "data": data}


class Door:
    """Knows tickets `key:<user>@<tenant>`; thinks about them until it is told to go on.

    `key:boom` makes it fail, `key:no` makes it refuse at once.
    """

    wsprism_api = 1

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.asked: list[tuple[str, ConnectRequest]] = []

    @hookimpl
    async def authenticate(
        self, ticket: str, tenant: str, request: ConnectRequest
    ) -> Identity | None:
        self.asked.append((tenant, request))
        await self.go_on.wait()
        if not ticket.startswith("key:"):
            return None
        if ticket == "key:boom":
            raise RuntimeError("the directory is down")
        if ticket == "key:no":
            raise ProtocolError(ErrorCode.AUTH_FAILED, "revoked")
        user, _, home = ticket[4:].partition("@")
        return Identity(user, home or tenant)


class LastDoor:
    """Lets everybody in that nobody before has decided about."""

    wsprism_api = 1

    @hookimpl
    def authenticate(self, ticket: str, tenant: str) -> Identity | None:
        return Identity("anybody", tenant)


# ----------------------------------------------------------- plugins that know tickets


async def test_what_comes_while_a_ticket_is_judged_waits_in_order(
    gateway: type[GatewayHarness],
) -> None:
    door, lab = Door(), Lab()
    async with gateway(door, lab) as gw:
        client = await gw.dial()
        await client.send_fields(auth(ticket="key:ann"))
        await client.send("lab", "echo", 1)
        await client.send_frame(LAB, ANYWHERE, seq=2, ack=True)
        await client.send_fields({**auth(ticket="key:ann"), "seq": 3})
        await client.send("lab", "echo", 4, seq=4)
        client.expect_nothing()
        door.go_on.set()
        await gw.settle()
        authed, error, first, frame, last = await client.read_all()
        assert isinstance(authed, dict)
        assert authed["type"] == "authed"
        # It rides the lane that goes first; the others keep their order.
        assert isinstance(error, dict)
        assert (error["ref"], error["data"]["code"]) == (3, "CONFLICT")
        assert isinstance(first, dict)
        assert first["data"] == 1
        assert isinstance(frame, HotFrame)
        assert frame.seq == 2
        assert isinstance(last, dict)
        assert last["data"] == 4


async def test_so_does_what_came_in_the_same_packet(
    gateway: type[GatewayHarness],
) -> None:
    door = Door()
    async with gateway(door, Lab()) as gw:
        client = await gw.dial()
        client.link.send_bytes(
            encode_frame(FrameKind.TEXT, JSON.encode(auth(ticket="key:ann")))
            + encode_frame(FrameKind.TEXT, b'{"svc":"lab","type":"echo","seq":1}')
            + encode_frame(FrameKind.BINARY, b"\x01")
            + encode_frame(FrameKind.TEXT, b'{"svc":"lab","type":"echo","seq":2}')
        )
        await gw.settle()
        client.expect_nothing()
        door.go_on.set()
        await client.expect_push("sys.authed")
        await client.expect_reply(1)
        await client.expect_reply(2)
        await client.expect_error("BAD_REQUEST")


async def test_a_ticket_that_is_judged_too_long(gateway: type[GatewayHarness]) -> None:
    door = Door()
    async with gateway(door) as gw:
        client = await gw.dial()
        await client.send_fields(auth(ticket="key:ann"))
        await gw.advance(5)
        await client.expect_error("AUTH_FAILED")
        await client.expect_closed(4503)
        door.go_on.set()
        await gw.settle()
        assert len(gw.gateway.sessions) == 0


async def test_a_client_that_went_away_while_its_ticket_was_judged(
    gateway: type[GatewayHarness],
) -> None:
    door = Door()
    async with gateway(door) as gw:
        client, other = await gw.dial(), await gw.dial(ticket="key:bob")
        await client.send_fields(auth(ticket="key:ann"))
        client.drop_link()
        other.drop_link()
        door.go_on.set()
        await gw.settle()
        assert len(gw.gateway.sessions) == 0


@pytest.mark.parametrize("ticket", ["key:boom", "key:no", "key:ann@globex"])
async def test_a_ticket_that_is_refused_is_not_offered_to_the_next(
    gateway: type[GatewayHarness], ticket: str
) -> None:
    door = Door()
    door.go_on.set()
    async with gateway(door, LastDoor()) as gw:
        client = await gw.dial()
        await client.send_fields(auth(ticket=ticket))
        await client.expect_closed(4503)
        failed = gw.metrics.plugin_failures["Door", "authenticate"]
        assert failed == (ticket == "key:boom")


async def test_plugins_are_asked_until_one_knows_the_ticket(
    gateway: type[GatewayHarness],
) -> None:
    door = Door()
    door.go_on.set()
    async with gateway(door, LastDoor()) as gw:
        client = await gw.dial(ticket="something", address="10.1.2.3")
        authed = await client.expect_push("sys.authed")
        assert authed["data"]["user"] == "anybody"
        ((tenant, request),) = door.asked
        assert (tenant, request.transport, request.address) == (
            "default",
            "memory",
            "10.1.2.3",
        )


# ---------------------------------------------------------------------- other rules


async def test_a_new_ticket_on_a_live_connection(gateway: type[GatewayHarness]) -> None:
    async with gateway() as gw, gw.connect(user="ann") as ann:
        ref = await ann.send("sys", "refresh", {"ticket": "dev:ann"}, ack=True)
        answer = await ann.expect_reply(ref)
        assert (answer["type"], answer["data"]["sid"]) == ("authed", "default-1")
        for data, code in (
            ({"ticket": "dev:bob"}, "AUTH_FAILED"),
            ({"ticket": "bad"}, "AUTH_FAILED"),
            ({"ticket": 1}, "BAD_REQUEST"),
            ("dev:ann", "BAD_REQUEST"),
        ):
            ref = await ann.send("sys", "refresh", data, ack=True)
            await ann.expect_error(code, ref=ref)
        ann.expect_nothing()
        await ann.request("sys", "ping")


async def test_a_resume_that_is_not_offered_is_refused_with_a_reason(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway() as gw:
        client = await gw.dial(ticket="dev", resume="r")
        data = (await client.expect_push("sys.authed"))["data"]
        assert data["resumed"] is False
        assert data["reason"]


async def test_a_ticket_reaches_no_log_error_metric_or_reason(
    gateway: type[GatewayHarness], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    tickets = ["sesame-1", "sesame-2", "sesame-3"]
    async with gateway(LastDoor()) as gw, gw.connect(user="ann") as ann:
        told: list[Any] = []
        await gw.dial(ticket=tickets[0])
        for fields in (
            auth(ticket=tickets[1], tenant="nobody"),
            auth(ticket=tickets[1], codec="none"),
            {"svc": "sys", "type": "auth", "data": [tickets[1]]},
        ):
            client = await gw.dial()
            await client.send_fields(fields)
            told += [*await client.read_all(), client.closed]
        await ann.send("sys", "refresh", {"ticket": tickets[2]})
        await ann.send("sys", "auth", {"ticket": tickets[2]})
        told += await ann.read_all()
        metrics = gw.gateway.host.http(HttpRequest("GET", "/metrics", {}, {}, ""))
        said = f"{told} {metrics.body!r} {ConnectRequest('a', 'b', ticket=tickets[0])}"
        logged = " ".join(f"{record.__dict__}" for record in caplog.records)
        assert "session_opened" in logged
        for ticket in tickets:
            assert ticket not in said
            assert ticket not in logged
