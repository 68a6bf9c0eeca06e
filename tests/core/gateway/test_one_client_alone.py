"""What one client does to excess harms nobody else, and is counted."""

from __future__ import annotations

import asyncio

from wsprism_core import (
    Actions,
    Envelope,
    Identity,
    Inbound,
    Kick,
    Outbound,
    Reply,
    Service,
    Session,
    hookimpl,
)
from wsprism_core.testing import GatewayHarness, config_with


class Slow:
    """A service and a ticket check that wait until a test lets them go on."""

    wsprism_api = 1
    name = "slow"

    def __init__(self, answer: object = None) -> None:
        self.go_on = asyncio.Event()
        self.asked = 0
        self.handled: list[object] = []
        self.answer = answer

    @hookimpl
    def register_services(self) -> Service:
        return Service(
            name="slow",
            inbound=(Inbound(name="work"), Inbound(name="leave")),
            outbound=(Outbound(name="done"),),
        )

    @hookimpl
    async def authenticate(self, ticket: str) -> Identity | None:
        self.asked += 1
        await self.go_on.wait()
        return self.answer  # type: ignore[return-value]

    @hookimpl
    async def on_message(self, session: Session, message: Envelope) -> Actions:
        self.handled.append(message.data)
        await self.go_on.wait()
        if message.type == "leave":
            return Kick("you wanted to", session=session.id)
        return Reply("done")


async def test_refreshes_do_not_pile_up(gateway: type[GatewayHarness]) -> None:
    slow = Slow()
    async with gateway(slow) as gw, gw.connect("ann") as ann:
        first = await ann.send("sys", "refresh", {"ticket": "a key"})
        for _ in range(5):
            ref = await ann.send("sys", "refresh", {"ticket": "a key"})
            await ann.expect_error("CONFLICT", ref=ref)
        assert slow.asked == 1
        slow.go_on.set()
        await ann.expect_error("AUTH_FAILED", ref=first)
        await ann.send("sys", "refresh", {"ticket": "a key"})
        assert slow.asked == 2


async def test_a_ticket_check_that_answers_nonsense_lets_nobody_in(
    gateway: type[GatewayHarness],
) -> None:
    slow = Slow(answer="user:ann")
    slow.go_on.set()
    async with gateway(slow) as gw:
        client = await gw.dial()
        auth = {"svc": "sys", "type": "auth", "data": {"ticket": "secret-key"}}
        await client.send_fields(auth)
        await client.expect_error("AUTH_FAILED")
        await client.expect_closed(4503)
        assert gw.metrics.plugin_failures["slow", "authenticate"] == 1


async def test_what_waits_for_a_handler_ends_with_the_session(
    gateway: type[GatewayHarness],
) -> None:
    slow = Slow()
    async with gateway(slow) as gw, gw.connect("ann") as ann:
        await ann.send("slow", "leave", 0)
        for n in range(1, 4):
            await ann.send("slow", "work", n)
        slow.go_on.set()
        await ann.expect_closed(4005)
        await gw.settle()
        assert slow.handled == [0]


async def test_a_client_that_we_do_not_listen_to_is_not_called_silent(
    gateway: type[GatewayHarness],
) -> None:
    slow = Slow()
    config = config_with(gateway={"ping_interval_ms": 1_000, "pong_timeout_ms": 500})
    async with gateway(slow, config=config) as gw, gw.connect("ann") as ann:
        for _ in range(30):
            await ann.send("slow", "work", "x" * 60_000)
        await gw.advance(60)
        assert ann.closed is None
        slow.go_on.set()
        await gw.settle()
        await gw.advance(60)
        assert ann.closed is None
        assert len(slow.handled) == 30


async def test_a_refusal_in_band_says_when_to_try_again(
    gateway: type[GatewayHarness],
) -> None:
    config = config_with(policy={"sessions": {"max_sessions_per_user": 1}})
    async with gateway("chat", config=config) as gw, gw.connect("ann"):
        second = await gw.dial()
        auth = {"svc": "sys", "type": "auth", "data": {"ticket": "dev:ann"}}
        await second.send_fields(auth)
        error = await second.expect_error("TOO_MANY_SESSIONS")
        assert error["retry_after_ms"] > 0
        await second.expect_closed(4504)


async def test_handshakes_and_closes_are_counted_by_closed_sets(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway("chat") as gw:
        for code in (1000, 3000, 3001, 4999):
            client = await gw.dial(ticket="dev:ann")
            await client.close(code)
        await gw.settle()
        assert gw.metrics.handshakes == {("memory", "accepted"): 4}
        assert gw.metrics.closes == {1000: 1, "other": 3}
