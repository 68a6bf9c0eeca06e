"""Each plugin has a gateway of its own: its config, its services, its counters."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from support.services import Lab
from wsprism_core import (
    Gateway,
    Inbound,
    JoinRoom,
    Kick,
    Outbound,
    Push,
    Reply,
    Service,
    hookimpl,
)
from wsprism_core.testing import GatewayHarness, config_with


class PairConfig(BaseModel):
    size: int = 2


class Pair:
    """Owns two services and a counter."""

    wsprism_api = 1
    name = "pair"

    def __init__(self) -> None:
        self.gateway: Gateway

    @hookimpl
    def register_services(self) -> list[Service]:
        left = Service(
            name="left",
            inbound=(Inbound(name="ask"),),
            outbound=(Outbound(name="told"),),
            config=PairConfig,
            counters={"pair_asked": "Questions"},
        )
        return [left, Service(name="right", outbound=(Outbound(name="told"),))]

    @hookimpl
    def on_start(self, gateway: Gateway) -> None:
        self.gateway = gateway

    @hookimpl
    def on_message(self) -> Reply:
        return Reply("told")


async def test_the_section_is_the_plugins_own(gateway: type[GatewayHarness]) -> None:
    pair, lab = Pair(), Lab()
    config = config_with(plugins={"pair": {"size": 7}})
    async with gateway(pair, lab, config=config):
        assert pair.gateway.config == PairConfig(size=7)
        assert lab.gateway.config is None


async def test_a_plugin_acts_for_its_own_services_only(
    gateway: type[GatewayHarness],
) -> None:
    pair, lab = Pair(), Lab()
    async with gateway(pair, lab) as gw, gw.connect(user="ann") as ann:
        user: dict[str, Any] = {"user": "user:ann"}
        pair.gateway.perform(Push("told", 1, **user), tenant="default", svc="right")
        assert (await ann.expect_push("right.told"))["data"] == 1
        lab.gateway.perform(Push("said", 2, **user), tenant="default")
        assert (await ann.expect_push("lab.said"))["data"] == 2
        with pytest.raises(ValueError, match="owns 2 services"):
            pair.gateway.perform(Push("told", **user), tenant="default")
        with pytest.raises(ValueError, match="'lab' is none of plugin 'pair'"):
            pair.gateway.perform(Push("said", **user), tenant="default", svc="lab")
        nobody = gw.gateway.api_of("nobody")
        with pytest.raises(ValueError, match="owns 0 services"):
            nobody.perform(Kick("out", **user), tenant="default")
        ann.expect_nothing()


async def test_members_are_counted_without_an_audience(
    gateway: type[GatewayHarness],
) -> None:
    lab = Lab()
    async with gateway(lab) as gw, gw.connect("ann") as ann, gw.connect("bob") as bob:
        assert lab.gateway.member_count("default", "r1") == 0
        await ann.join("r1")
        await bob.join("r1")
        (_, one) = lab.gateway.members("default", "r1")
        assert lab.gateway.member_count("default", "r1") == 2
        assert lab.gateway.member_count("other", "r1") == 0
        quiet = JoinRoom(one.session, "r2", quiet=True)
        lab.gateway.perform(quiet, tenant="default")
        assert lab.gateway.member_count("default", "r2") == 0


async def test_what_a_room_had_is_forgotten_on_demand(
    gateway: type[GatewayHarness],
) -> None:
    lab = Lab()
    async with gateway(lab) as gw, gw.connect("ann") as ann:
        epoch = (await ann.join("r1"))["data"]["epoch"]
        await ann.request("lab", "post", room="r1")
        lab.gateway.forget_history("other", "r1")
        lab.gateway.forget_history("default", "r2")
        assert len(lab.gateway.history("default", "r1")) == 1
        lab.gateway.forget_history("default", "r1")
        assert lab.gateway.history("default", "r1") == []
        await ann.request("lab", "post", room="r1")
        (kept,) = lab.gateway.history("default", "r1")
        assert kept["seq"] == 2
        ref = await ann.send("room", "join", {"epoch": epoch, "seq": 0}, room="r1")
        joined = (await ann.expect_reply(ref))["data"]
        assert (joined["recovered"], joined["reason"]) == (False, "too_old")


async def test_a_plugin_adds_to_its_own_counters_only(
    gateway: type[GatewayHarness],
) -> None:
    pair, lab = Pair(), Lab()
    async with gateway(pair, lab) as gw:
        pair.gateway.count("pair_asked", 2)
        with pytest.raises(ValueError, match="no manifest of plugin 'lab'"):
            lab.gateway.count("pair_asked")
        assert gw.metrics.plugin_counts == {"pair_asked": 2}


async def test_a_plugins_log_is_the_gateways(
    gateway: type[GatewayHarness], caplog: pytest.LogCaptureFixture
) -> None:
    lab = Lab()
    async with gateway(lab):
        lab.gateway.log.warning("it_rains")
    assert [(one.name, one.msg) for one in caplog.records] == [
        ("wsprism.plugins.lab", "it_rains")
    ]
