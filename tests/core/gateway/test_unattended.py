"""Rooms that nobody is in when something is published to them."""

from __future__ import annotations

from typing import Any

import pytest

from support.services import Lab
from wsprism_core import Broadcast, Gateway
from wsprism_core.realtime.delivery import MessageTooLarge
from wsprism_core.testing import GatewayHarness, config_with


def broadcast(api: Gateway, data: Any, **fields: Any) -> None:
    action = Broadcast("posted", data, "lobby", **fields)
    api.perform(action, svc="lab", tenant="default")


async def test_what_is_kept_is_there_for_who_comes_back(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway(Lab()) as gw:
        broadcast(gw.api, 1)
        broadcast(gw.api, 2)
        assert len(gw.gateway.rooms) == 0
        async with gw.connect(user="ann") as ann:
            joined = await ann.join("lobby")
            assert joined["data"]["seq"] == 2
            kept = gw.api.history("default", "lobby")
            assert [(one["seq"], one["data"]) for one in kept] == [(1, 1), (2, 2)]


async def test_a_room_goes_on_where_its_last_member_left_it(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway(Lab()) as gw:
        async with gw.connect(user="ann") as ann:
            before = await ann.join("lobby")
            broadcast(gw.api, 1)
        broadcast(gw.api, 2)
        async with gw.connect(user="ann") as ann:
            after = await ann.join("lobby")
    assert after["data"]["epoch"] == before["data"]["epoch"]
    assert after["data"]["seq"] == 2


async def test_what_is_not_kept_leaves_no_room(gateway: type[GatewayHarness]) -> None:
    async with gateway(Lab()) as gw:
        gw.api.perform(Broadcast("said", 1, "lobby"), svc="lab", tenant="default")
        async with gw.connect(user="ann") as ann:
            assert (await ann.join("lobby"))["data"]["seq"] == 0
            ann.expect_nothing()


async def test_only_so_many_are_kept(gateway: type[GatewayHarness]) -> None:
    config = config_with(gateway={"max_idle_rooms": 1})
    async with gateway(Lab(), config=config) as gw:
        broadcast(gw.api, 1)
        gw.api.perform(Broadcast("posted", 1, "other"), svc="lab", tenant="default")
        async with gw.connect(user="ann") as ann:
            assert (await ann.join("lobby"))["data"]["seq"] == 0
            assert (await ann.join("other"))["data"]["seq"] == 1


@pytest.mark.parametrize("data", [b"bytes", float("nan"), {1: 2}, 2**65])
async def test_what_nobody_could_be_sent_is_not_kept(
    gateway: type[GatewayHarness], data: Any
) -> None:
    async with gateway(Lab()) as gw:
        with pytest.raises(ValueError, match=r"\w"):
            broadcast(gw.api, data)
        broadcast(gw.api, "good")
        async with gw.connect(user="ann") as ann:
            assert (await ann.join("lobby"))["data"]["seq"] == 1


async def test_what_is_too_large_for_its_lane_is_not_kept(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway(Lab()) as gw:
        with pytest.raises(MessageTooLarge, match="interactive"):
            broadcast(gw.api, "x" * 200_000)
        async with gw.connect(user="ann") as ann:
            assert (await ann.join("lobby"))["data"]["seq"] == 0


async def test_a_retry_outside_of_any_message_is_not_kept_twice(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway(Lab()) as gw:
        broadcast(gw.api, 1)
        for _ in range(2):
            broadcast(gw.api, 2, dedup="job-7")
        async with gw.connect(user="ann") as ann:
            assert (await ann.join("lobby"))["data"]["seq"] == 2
