"""Keys of `gateway` that change while it runs, one after the other."""

from __future__ import annotations

import pytest

from support.services import Lab
from wsprism_core.config import GatewayConfig
from wsprism_core.gateway.reload import ReloadReport
from wsprism_core.testing import GatewayHarness, ScriptedClient, config_with

LIVE = {
    "allowed_origins",
    "drain_grace_ms",
    "handshake_limit",
    "idle_timeout_ms",
    "max_async_queue",
    "max_recover_bytes",
    "max_recover_messages",
    "max_rooms_per_session",
    "max_strikes",
    "ping_interval_ms",
    "pong_timeout_ms",
    "presence_batch_ms",
    "presence_max_members",
}


def reload(gw: GatewayHarness, **keys: object) -> ReloadReport:
    return gw.gateway.reload(config_with(gateway=keys))


async def test_each_key_has_one_applier_or_needs_a_restart(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway() as gw:
        appliers = gw.gateway._reloader._appliers
    keys = [key for applier in appliers for key in applier.keys]
    assert sorted(keys) == sorted(LIVE)
    assert set(GatewayConfig.model_fields) >= LIVE


async def test_origins(gateway: type[GatewayHarness]) -> None:
    async with gateway() as gw:
        page = ["https://app.example.com"]
        assert gw.gateway.host.check_origin(page) is not None
        reload(gw, allowed_origins=page)
        assert gw.gateway.host.check_origin(page) is None
        reload(gw)
        assert gw.gateway.host.check_origin(page) is not None


async def tries(gw: GatewayHarness, address: str = "192.0.2.1") -> int:
    """Return how many handshakes from an address pass before one is refused."""
    for count in range(30):
        if gw.gateway.host.greet("memory", address) is not None:
            return count
    return 30


async def test_the_handshake_limit_keeps_its_level(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway() as gw:
        limit = {"enabled": True, "per_ip_rps": 1, "per_ip_burst": 5}
        assert await tries(gw) == 30
        reload(gw, handshake_limit=limit)
        assert await tries(gw) == 5
        reload(gw, handshake_limit={**limit, "per_ip_burst": 20})
        assert await tries(gw) == 0
        assert await tries(gw, "192.0.2.2") == 20
        await gw.advance(4)
        assert await tries(gw) == 4
        # One address is remembered, the one that was heard of last.
        reload(gw, handshake_limit={**limit, "max_ip_entries": 1})
        assert await tries(gw) == 0
        assert await tries(gw, "192.0.2.2") == 5
        reload(gw, handshake_limit={"enabled": False})
        assert await tries(gw) == 30


async def test_newcomers_get_the_new_heartbeat_and_others_keep_theirs(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway() as gw, gw.connect("ann") as ann:
        assert ann.authed["ping_ms"] == 20_000
        report = reload(gw, ping_interval_ms=0, idle_timeout_ms=2_000)
        assert len(report.applied) == 2
        async with gw.connect("bob") as bob:
            assert bob.authed["ping_ms"] == 0
            await gw.advance(3)
            await bob.expect_closed(4002)
        assert ann.closed is None
        ref = await ann.send("sys", "refresh", {"ticket": "dev:ann"})
        assert (await ann.expect_reply(ref))["data"]["ping_ms"] == 20_000


async def test_times_that_the_wheel_cannot_tell_need_a_restart(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway() as gw:
        report = reload(gw, pong_timeout_ms=100, max_strikes=3)
        assert [change.path for change in report.applied] == ["gateway.max_strikes"]
        assert [change.path for change in report.needs_restart] == [
            "gateway.pong_timeout_ms"
        ]
    short = config_with(gateway={"pong_timeout_ms": 100})
    async with gateway(config=short) as gw:
        assert reload(gw, pong_timeout_ms=200).needs_restart == ()


async def strikes(client: ScriptedClient) -> int:
    """Return how many messages that cannot be decoded close a connection."""
    for count in range(1, 20):
        await client.send_text(b"{")
        if client.closed is not None:
            return count
    raise AssertionError("it stays open")


async def test_strikes(gateway: type[GatewayHarness]) -> None:
    async with gateway() as gw, gw.connect("ann") as ann:
        reload(gw, max_strikes=2)
        assert await strikes(ann) == 3


async def test_presence(gateway: type[GatewayHarness]) -> None:
    async with (
        gateway() as gw,
        gw.connect("ann") as ann,
        gw.connect("bob") as bob,
        gw.connect("cat") as cat,
    ):
        reload(gw, presence_batch_ms=1_000, presence_max_members=2)
        await ann.join("r")
        await bob.join("r")
        await gw.advance(0.9)
        ann.expect_nothing()
        await gw.advance(0.2)
        told = await ann.expect_push("room.presence")
        assert "joined" in told["data"]
        await cat.join("r")
        await gw.advance(6)
        told = await ann.expect_push("room.presence")
        assert told["data"] == {"version": 3, "count": 3}


@pytest.mark.parametrize(
    ("bounds", "recovered"),
    [
        ({}, True),
        ({"max_recover_messages": 1}, False),
        ({"max_recover_bytes": 10}, False),
    ],
)
async def test_recovery(
    gateway: type[GatewayHarness], bounds: dict[str, int], recovered: bool
) -> None:
    async with gateway(Lab()) as gw, gw.connect("ann") as ann:
        joined = await ann.join("r")
        for n in range(2):
            await ann.request("lab", "post", n, room="r")
        reload(gw, **bounds)
        missed = {"epoch": joined["data"]["epoch"], "seq": 0}
        answer = await ann.request("room", "join", missed, room="r")
        assert answer["data"].get("recovered") is recovered


async def test_draining(gateway: type[GatewayHarness]) -> None:
    async with gateway() as gw, gw.connect("ann") as ann:
        reload(gw, drain_grace_ms=0)
        await gw.gateway.drain()
        await ann.expect_closed(1001)
