"""Gameplay on the real gateway."""

from __future__ import annotations

import pytest

from wsprism_core import HotFrame
from wsprism_core.testing import GatewayHarness
from wsprism_game.gameplay.plugin import GamePlugin

INPUT, EVENT = 1, 2


async def test_input_and_events_reach_everybody_the_sender_too(
    gateway: type[GatewayHarness],
) -> None:
    async with (
        gateway("game") as gw,
        gw.connect("ann") as ann,
        gw.connect("bob") as bob,
    ):
        alias = (await ann.join("arena"))["data"]["alias"]
        n = (await bob.join("arena"))["data"]["n"]
        await bob.send_frame(1, INPUT, b"left", seq=7, ack=True)
        await bob.send_frame(1, EVENT, b"hit", alias=alias, seq=8)
        for client in (ann, bob):
            moved = await client.expect_frame(1, INPUT)
            assert (moved.seq, moved.alias, moved.sender) == (7, alias, n)
            assert moved.payload == b"left"
            assert not moved.ack_requested
            assert (await client.expect_frame(1, EVENT)).payload == b"hit"
        assert (await bob.expect_frame(1, 0)).seq == 7


async def test_a_slow_reader_gets_the_newest_input_and_every_event(
    gateway: type[GatewayHarness],
) -> None:
    async with (
        gateway("game") as gw,
        gw.connect("ann") as ann,
        gw.connect("bob") as bob,
    ):
        await ann.join("arena")
        await bob.join("arena")
        await gw.advance(1)
        await bob.read_all()
        bob.slow(200, buffer=64)
        for n in range(50):
            await ann.send_frame(1, INPUT, bytes([n]), seq=n)
        await ann.send_frame(1, EVENT, b"hit")
        bob.slow(None)
        await gw.advance(1)
        got = [
            (one.opcode, one.payload)
            for one in await bob.read_all()
            if not isinstance(one, dict)
        ]
        inputs = [payload for opcode, payload in got if opcode == INPUT]
        assert inputs[-1] == bytes([49])
        assert len(inputs) < 10
        assert got.count((EVENT, b"hit")) == 1


async def test_a_frame_without_a_room_is_refused(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway("game") as gw, gw.connect("ann") as ann:
        ref = await ann.send_frame(1, INPUT)
        await ann.expect_error("BAD_REQUEST", ref=ref)


async def test_handed_over_as_a_class_it_is_the_same(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway(GamePlugin) as gw, gw.connect() as dev:
        assert [info.name for info in gw.gateway.plugins.loaded] == ["game"]
        await dev.join("arena")
        await dev.send_frame(1, 1, b"fire", seq=5)
        await dev.expect_frame(1, 1)
        await dev.send_frame(1, 1, b"fire", seq=5)
        dev.expect_nothing()


async def test_input_that_is_old_or_came_before_is_dropped_across_the_wrap(
    gateway: type[GatewayHarness],
) -> None:
    top = 2**32 - 1
    async with gateway("game") as gw, gw.connect() as dev:
        await dev.join("arena")
        for seq in (top - 1, top, top, 0, top, 1, 0):
            await dev.send_frame(1, INPUT, seq=seq)
        await dev.send_binary(bytes([1, 1, INPUT, 0]))
        frames = [one for one in await dev.read_all() if isinstance(one, HotFrame)]
        assert [one.seq for one in frames] == [top - 1, top, 0, 1, None]
        outdated = gw.metrics.outdated
        assert outdated["default", "game", "stale"] == 2
        assert outdated["default", "game", "duplicate"] == 1


@pytest.mark.parametrize("opcode", [EVENT, 16])
async def test_events_are_never_dropped_nor_count_against_input(
    gateway: type[GatewayHarness], opcode: int
) -> None:
    async with gateway("game") as gw, gw.connect() as dev:
        await dev.join("arena")
        await dev.send_frame(1, INPUT, seq=5)
        for seq in (5, 4, 9, 9):
            await dev.send_frame(1, opcode, seq=seq)
        await dev.send_frame(1, INPUT, seq=6)
        frames = [one for one in await dev.read_all() if isinstance(one, HotFrame)]
        assert [one.seq for one in frames] == [5, 5, 4, 9, 9, 6]
        assert not gw.metrics.outdated


async def test_who_left_the_arena_counts_anew_in_it(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway("game") as gw, gw.connect() as dev:
        for seq in (900, 1):
            await dev.join("arena")
            await dev.send_frame(1, INPUT, seq=seq)
            assert (await dev.expect_frame(1, INPUT)).seq == seq
            await dev.leave("arena")
