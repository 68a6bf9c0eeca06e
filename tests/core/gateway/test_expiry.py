"""Tickets that expire while their session is open, and new ones."""

from __future__ import annotations

from typing import Any

import pytest

from support.services import Lab
from support.tokens import NOW, SECRET_KEY, letting_in, token
from wsprism_core.testing import GatewayHarness, ScriptedClient, VirtualClock

KEYS = {"algorithms": ["HS256"], "keys": [{"secret": SECRET_KEY}], "leeway_s": 0}
CONFIG = letting_in({"default": {"jwt": [KEYS]}}, gateway={"idle_timeout_ms": 0})


async def let_in(gw: GatewayHarness, **claims: Any) -> ScriptedClient:
    client = await gw.dial(ticket=token(**claims))
    await client.expect_push("sys.authed")
    return client


@pytest.mark.parametrize("lifetime", [0.5, 1, 7, 30, 300])
async def test_a_session_ends_within_a_second_of_its_ticket(
    gateway: type[GatewayHarness], lifetime: float
) -> None:
    async with gateway(config=CONFIG) as gw:
        client = await let_in(gw, exp=NOW + lifetime)
        await gw.advance(lifetime - 0.05)
        assert client.closed is None
        await gw.advance(0.25)
        await client.expect_closed(4500)
        assert len(gw.gateway.sessions) == 0
        assert gw.metrics.closes == {4500: 1}


async def test_the_leeway_counts_too(gateway: type[GatewayHarness]) -> None:
    config = letting_in({"default": {"jwt": [{**KEYS, "leeway_s": 5}]}})
    async with gateway(config=config) as gw:
        client = await let_in(gw, exp=NOW + 10)
        await gw.advance(14.9)
        assert client.closed is None
        await gw.advance(1)
        await client.expect_closed(4500)


async def test_what_waits_for_it_is_not_sent(gateway: type[GatewayHarness]) -> None:
    async with gateway(Lab(), config=CONFIG) as gw:
        client = await let_in(gw, exp=NOW + 1)
        client.slow(1)
        for _ in range(100):
            await client.send("lab", "echo", "x" * 2_000)
        await gw.advance(1.2)
        client.slow(None)
        await gw.settle()
        assert len(gw.gateway.sessions) == 0
        assert 0 < len(await client.read_all()) < 50
        await client.expect_closed(4500)


async def test_a_new_ticket_puts_it_off(gateway: type[GatewayHarness]) -> None:
    async with gateway(config=CONFIG) as gw:
        client = await let_in(gw, exp=NOW + 10)
        await gw.advance(9)
        ref = await client.send(
            "sys", "refresh", {"ticket": token(exp=NOW + 20)}, ack=True
        )
        assert (await client.expect_reply(ref))["type"] == "authed"
        await gw.advance(10.9)
        assert client.closed is None
        await gw.advance(0.4)
        await client.expect_closed(4500)


async def test_or_brings_it_nearer(gateway: type[GatewayHarness]) -> None:
    async with gateway(config=CONFIG) as gw:
        client = await let_in(gw, exp=NOW + 1000)
        sooner = {"ticket": token(exp=NOW + 2)}
        ref = await client.send("sys", "refresh", sooner, ack=True)
        await client.expect_reply(ref)
        await gw.advance(2.2)
        await client.expect_closed(4500)


@pytest.mark.parametrize(
    "claims", [{"sub": "bob"}, {"exp": NOW - 1}, {"tenant": "other"}, {"nbf": NOW + 99}]
)
async def test_one_that_is_not_good_for_it_changes_nothing(
    gateway: type[GatewayHarness], claims: dict[str, Any]
) -> None:
    async with gateway(config=CONFIG) as gw:
        client = await let_in(gw, exp=NOW + 10)
        await client.send("sys", "refresh", {"ticket": token(**claims)})
        await client.expect_error("AUTH_FAILED")
        await gw.advance(9.9)
        assert client.closed is None
        await gw.advance(0.4)
        await client.expect_closed(4500)


async def test_a_clock_that_is_set_is_noticed(gateway: type[GatewayHarness]) -> None:
    class SteppedClock(VirtualClock):
        step_ms = 0

        def wall_ms(self) -> int:
            return super().wall_ms() + self.step_ms

    clock = SteppedClock()
    async with gateway(config=CONFIG, clock=clock) as gw:
        client = await let_in(gw, exp=NOW + 3600)
        await gw.advance(1)
        clock.step_ms = 3_600_000
        await gw.advance(5.2)
        await client.expect_closed(4500)
        clock.step_ms = -60_000
        other = await let_in(gw, exp=NOW + 10)
        await gw.advance(50)
        assert other.closed is None, "by the clock its ticket is good"


async def test_a_session_that_has_ended_is_looked_after_no_more(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway(config=CONFIG) as gw:
        before = len(gw.gateway._wheel)
        client = await let_in(gw)
        assert len(gw.gateway._wheel) > before
        await client.close()
        await gw.settle()
        assert len(gw.gateway._wheel) == before
