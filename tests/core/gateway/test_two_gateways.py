"""Two gateways in one process share a backplane, and with it their rooms."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from wsprism_core.backplane.memory import MemoryBackplane
from wsprism_core.history.memory import MemoryStore
from wsprism_core.history.port import Retention
from wsprism_core.testing import GatewayHarness, VirtualClock


@pytest.fixture
async def pair() -> AsyncIterator[tuple[GatewayHarness, GatewayHarness]]:
    clock = VirtualClock()
    backplane = MemoryBackplane(
        clock, MemoryStore(lambda: "an-epoch", lambda tenant, room: Retention())
    )
    async with AsyncExitStack() as stack:
        yield (
            await stack.enter_async_context(
                GatewayHarness("chat", "game", backplane=backplane, clock=clock)
            ),
            await stack.enter_async_context(
                GatewayHarness("chat", "game", backplane=backplane, clock=clock)
            ),
        )


async def test_a_message_reaches_members_of_both_with_one_number(
    pair: tuple[GatewayHarness, GatewayHarness],
) -> None:
    one, two = pair
    async with one.connect("ann") as ann, two.connect("bob") as bob:
        await ann.join("lobby")
        await bob.join("lobby")
        await ann.send("chat", "send", {"msg": "hello"}, room="lobby")
        await two.settle()
        heard = await ann.expect_push("chat.msg")
        assert (await bob.expect_push("chat.msg"))["data"] == heard["data"]
        assert heard["seq"] == 1
        await bob.send("chat", "send", {"msg": "hi"}, room="lobby")
        await one.settle()
        assert (await ann.expect_push("chat.msg"))["seq"] == 2


async def test_a_frame_carries_the_alias_of_the_gateway_that_delivers_it(
    pair: tuple[GatewayHarness, GatewayHarness],
) -> None:
    one, two = pair
    async with one.connect("ann") as ann, two.connect("bob") as bob:
        await ann.join("elsewhere")
        alias = (await ann.join("arena"))["data"]["alias"]
        joined = await bob.join("arena")
        assert joined["data"]["alias"] != alias
        await ann.send_frame(1, 2, b"jump", alias=alias)
        await two.settle()
        frame = await bob.expect_frame(1, 2)
        assert frame.alias == joined["data"]["alias"]
        assert frame.sender == 1


async def test_members_of_both_are_company(
    pair: tuple[GatewayHarness, GatewayHarness],
) -> None:
    one, two = pair
    async with one.connect("ann") as ann:
        await ann.join("lobby")
        async with two.connect("bob") as bob:
            joined = await bob.join("lobby")
            assert [row["user"] for row in joined["data"]["members"]] == [
                "user:ann",
                "user:bob",
            ]
            await one.advance(0.2)
            news = await ann.expect_push("room.presence")
            assert news["data"] == {
                "version": 2,
                "joined": [{"n": 2, "user": "user:bob"}],
                "left": [],
            }
        await two.settle()
        await one.advance(0.2)
        gone = await ann.expect_push("room.presence")
        assert gone["data"] == {"version": 3, "joined": [], "left": [{"n": 2}]}
