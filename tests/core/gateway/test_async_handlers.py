"""Async handlers: in order per session and service, bounded, in nobody's way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from functools import partial
from typing import Any

import pytest

from support.services import ANYWHERE, LAB, Lab, Late
from wsprism_core import (
    Actions,
    Broadcast,
    Envelope,
    ErrorCode,
    Inbound,
    Kick,
    Outbound,
    ProtocolError,
    Push,
    Reply,
    RoomRule,
    Service,
    Session,
    hookimpl,
)
from wsprism_core.testing import GatewayHarness, ScriptedClient, config_with


def answers(client: ScriptedClient) -> list[Any]:
    return [one.get("data") for one in client.unread if isinstance(one, dict)]


async def test_messages_of_a_session_wait_for_one_another(
    gateway: type[GatewayHarness],
) -> None:
    late = Late()
    async with gateway(late) as gw, gw.connect() as dev:
        for number in range(3):
            await dev.send("late", "work", number, ack=True)
        assert late.started == [0]
        dev.expect_nothing()
        late.gate.set()
        await gw.settle()
        assert late.started == [0, 1, 2]
        assert answers(dev) == [0, 1, 2]


async def test_nobody_and_nothing_else_waits_for_them(
    gateway: type[GatewayHarness],
) -> None:
    late = Late()
    async with (
        gateway(late, Lab()) as gw,
        gw.connect(user="ann") as ann,
        gw.connect(user="bob") as bob,
    ):
        for _ in range(5):
            await ann.send("late", "work", "ann")
        await ann.request("sys", "ping")
        await ann.join("r1")
        await ann.request("lab", "echo")
        await ann.send_frame(LAB, ANYWHERE, ack=True)
        await ann.expect_frame(opcode=0)
        await bob.send("late", "work", "bob")
        assert late.started == ["ann", "bob"]
        await gw.advance(60)
        assert ann.closed is None


@pytest.mark.parametrize("bound", [64, 2])
async def test_so_many_may_wait(gateway: type[GatewayHarness], bound: int) -> None:
    late = Late()
    config = config_with(gateway={"max_async_queue": bound})
    async with (
        gateway(late, config=config) as gw,
        gw.connect(user="ann") as ann,
        gw.connect(user="bob") as bob,
    ):
        for number in range(bound + 1):
            await ann.send("late", "work", number)
        ann.expect_nothing()
        ref = await ann.send("late", "work", "one too many", ack=True)
        await ann.expect_error("RESOURCE_EXHAUSTED", ref=ref)
        await bob.send("late", "work")
        bob.expect_nothing()
        late.gate.set()
        await gw.settle()
        assert answers(ann) == [*range(bound + 1)]
        await ann.request("late", "work")


async def test_what_waits_for_a_session_that_ends_is_dropped(
    gateway: type[GatewayHarness],
) -> None:
    late = Late()
    async with gateway(late) as gw, gw.connect(user="ann") as ann:
        await ann.send("late", "work", 1)
        await ann.send("late", "work", 2)
        ann.drop_link()
        late.gate.set()
        await gw.settle()
        assert late.started == [1]
        assert not gw.metrics.plugin_failures


async def test_a_gateway_that_stops_waits_for_nobody(
    gateway: type[GatewayHarness],
) -> None:
    late = Late()
    async with gateway(late) as gw:
        client = await gw.dial(ticket="dev")
        await client.send("late", "work")
        await gw.gateway.stop()
        handlers = [task for task in asyncio.all_tasks() if task.cancelling()]
        await asyncio.wait(handlers)
        assert [task.cancelled() for task in handlers] == [True]


class Script:
    """Does what a test says, asynchronously; `plain` does it by a plain function."""

    wsprism_api = 1

    def __init__(self) -> None:
        self.seen: list[Any] = []

    @hookimpl
    def register_services(self) -> Service:
        return Service(
            name="script",
            inbound=(Inbound(name="do"), Inbound(name="say", room=RoomRule.MEMBER)),
            outbound=(Outbound(name="done"), Outbound(name="said")),
        )

    async def do(self, session: Session, message: Envelope) -> Actions:
        await asyncio.sleep(0)
        self.seen.append(message.data)
        match message.data:
            case "refuse":
                raise ProtocolError(ErrorCode.NOT_FOUND, "no", retry_after_ms=5)
            case "crash":
                raise RuntimeError
            case "cancelled":
                raise asyncio.CancelledError
            case "kick":
                return [
                    Push("done", session=session.id),
                    Kick("out", session=session.id),
                ]
            case "say":
                return Broadcast("said", message.data)
            case "nothing":
                return None
        return Reply("done", message.data)


class AsyncScript(Script):
    @hookimpl
    async def on_message(self, session: Session, message: Envelope) -> Actions:
        return await self.do(session, message)


class PlainScript(Script):
    """Its hook is no coroutine function but returns awaitables, now and then."""

    @hookimpl
    def on_message(
        self, session: Session, message: Envelope
    ) -> Awaitable[Actions] | Actions:
        if message.data == "at once":
            self.seen.append(message.data)
            return Reply("done", message.data)
        return partial(self.do, session)(message)


@pytest.fixture(params=[AsyncScript, PlainScript])
def script(request: pytest.FixtureRequest) -> Script:
    made: Script = request.param()
    return made


@pytest.mark.parametrize(
    ("data", "code"),
    [("refuse", "NOT_FOUND"), ("crash", "INTERNAL"), ("cancelled", "INTERNAL")],
)
async def test_one_that_fails_fails_its_own_message_only(
    gateway: type[GatewayHarness], script: Script, data: str, code: str
) -> None:
    async with gateway(script) as gw, gw.connect() as dev:
        for order in (data, "fine", data):
            await dev.send("script", "do", order, ack=True)
        await dev.expect_error(code, ref=1)
        await dev.expect_reply(2)
        await dev.expect_error(code, ref=3)
        dev.expect_nothing()
        failed = gw.metrics.plugin_failures[type(script).__name__, "on_message"]
        assert failed == (0 if data == "refuse" else 2)


async def test_effects_come_before_the_acknowledgement(
    gateway: type[GatewayHarness], script: Script
) -> None:
    async with gateway(script) as gw, gw.connect() as dev:
        await dev.join("r1")
        await dev.send("script", "say", "say", ack=True)
        await dev.send("script", "do", "nothing", ack=True)
        got = [one["type"] for one in await dev.read_all() if isinstance(one, dict)]
        assert got == ["said", "ack", "ack"]


async def test_one_that_kicks_its_own_session(
    gateway: type[GatewayHarness], script: Script
) -> None:
    async with gateway(script) as gw, gw.connect() as dev:
        await dev.send("script", "do", "kick")
        await dev.send("script", "do", "behind")
        await dev.expect_closed(4005)
        assert script.seen == ["kick"]


async def test_a_plain_answer_waits_for_those_before_it(
    gateway: type[GatewayHarness],
) -> None:
    script = PlainScript()
    async with gateway(script) as gw, gw.connect() as dev:
        dev.link.send_text(b'{"svc":"script","type":"do","data":"later"}')
        dev.link.send_text(b'{"svc":"script","type":"do","data":"at once"}')
        await gw.settle()
        assert script.seen == ["later", "at once"]
        assert answers(dev) == ["later", "at once"]


async def test_too_many_awaitables(gateway: type[GatewayHarness]) -> None:
    script = PlainScript()
    config = config_with(gateway={"max_async_queue": 1})
    async with gateway(script, config=config) as gw, gw.connect() as dev:
        for number in range(3):
            dev.link.send_text(
                b'{"svc":"script","type":"do","data":%d,"seq":%d}' % (number, number)
            )
        await dev.expect_error("RESOURCE_EXHAUSTED", ref=2)
        await dev.expect_reply(0)
        await dev.expect_reply(1)
