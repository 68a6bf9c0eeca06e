"""A message that was said is acknowledged again, whatever would be said of it now."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from support.late_store import LateStore
from wsprism_core import (
    Actions,
    Broadcast,
    Envelope,
    ErrorCode,
    Inbound,
    Outbound,
    ProtocolError,
    RoomRule,
    Service,
    Session,
    hookimpl,
)
from wsprism_core.backplane.memory import MemoryBackplane
from wsprism_core.testing import GatewayHarness, ScriptedClient
from wsprism_core.testing.clock import VirtualClock


@dataclass
class Said:
    id: Any = None


class Once:
    """Takes one message, and refuses what comes after it.

    Attributes:
        asked: How often it was asked.
    """

    wsprism_api = 1
    name = "once"

    def __init__(self, schema: Any = None) -> None:
        self.asked = 0
        self._schema = schema

    @hookimpl
    def register_services(self) -> Service:
        return Service(
            name="once",
            inbound=(
                Inbound(
                    name="say", room=RoomRule.MEMBER, dedup="id", schema=self._schema
                ),
            ),
            outbound=(Outbound(name="said", recoverable=True),),
        )

    @hookimpl
    def on_message(self, session: Session, message: Envelope) -> Actions:
        self.asked += 1
        if self.asked > 1:
            raise ProtocolError(ErrorCode.NOT_ALLOWED, "you had your say")
        data = message.data
        id = data["id"] if isinstance(data, dict) else data.id
        return Broadcast("said", None, ack={"n": self.asked}, dedup=id)


class Gate:
    """Holds up every message until it is opened."""

    wsprism_api = 1
    name = "gate"

    def __init__(self) -> None:
        self.opened = asyncio.Event()

    @hookimpl
    async def check_message(self, session: Session, message: Envelope) -> None:
        await self.opened.wait()


async def say(client: ScriptedClient, id: Any, ack: bool = True) -> int:
    return await client.send("once", "say", {"id": id}, room="lobby", ack=ack)


@pytest.mark.parametrize("schema", [None, Said])
async def test_it_is_answered_as_the_first_was(
    gateway: type[GatewayHarness], schema: Any
) -> None:
    once = Once(schema)
    async with gateway(once) as gw, gw.connect("ann") as ann, gw.connect("bob") as bob:
        for client in (ann, bob):
            await client.join("lobby")
        first = (await ann.expect_reply(await say(ann, "a")))["data"]
        assert (first["n"], first["seq"]) == (1, 1)
        again = await ann.expect_reply(await say(ann, "a"))
        assert (again["type"], again["data"]) == ("ack", first)
        assert once.asked == 1
        # Another's id is another id, and so is one of another kind.
        await bob.expect_error("NOT_ALLOWED", ref=await say(bob, "a"))
        await ann.expect_error("NOT_ALLOWED", ref=await say(ann, 7))
        said = [one for one in await bob.read_all() if isinstance(one, dict)]
        assert [one["type"] for one in said].count("said") == 1


async def test_who_wants_no_answer_gets_none(gateway: type[GatewayHarness]) -> None:
    async with gateway(Once()) as gw, gw.connect("ann") as ann:
        await ann.join("lobby")
        await ann.expect_reply(await say(ann, "a"))
        await gw.advance(1)
        await ann.read_all()
        await say(ann, "a", ack=False)
        assert await ann.read_all() == []


async def test_only_members_are_told(gateway: type[GatewayHarness]) -> None:
    async with gateway(Once()) as gw, gw.connect("ann") as ann:
        await ann.join("lobby")
        await ann.expect_reply(await say(ann, "a"))
        await ann.leave("lobby")
        await ann.expect_error("NOT_ALLOWED", ref=await say(ann, "a"))


async def test_one_that_waited_for_a_check_with_the_first(
    gateway: type[GatewayHarness],
) -> None:
    once, gate = Once(), Gate()
    async with gateway(once, gate) as gw, gw.connect("ann") as ann:
        await ann.join("lobby")
        refs = [await say(ann, "a") for _ in range(2)]
        gate.opened.set()
        answers = [(await ann.expect_reply(ref))["data"]["n"] for ref in refs]
        assert (answers, once.asked) == ([1, 1], 1)
        # What is known waits for no check.
        gate.opened.clear()
        assert (await ann.expect_reply(await say(ann, "a")))["data"]["n"] == 1


@asynccontextmanager
async def late(
    harness: type[GatewayHarness], once: Once
) -> AsyncIterator[tuple[GatewayHarness, LateStore]]:
    clock, store = VirtualClock(), LateStore()
    backplane = MemoryBackplane(clock, store)
    async with harness(once, clock=clock, backplane=backplane) as gw:
        yield gw, store


@pytest.mark.parametrize("is_kept", [True, False])
async def test_one_whose_first_is_on_its_way_to_the_store(
    gateway: type[GatewayHarness], is_kept: bool
) -> None:
    once = Once()
    async with late(gateway, once) as (gw, store), gw.connect("ann") as ann:
        await ann.join("lobby")
        refs = [await say(ann, "a") for _ in range(2)]
        await gw.settle()
        assert (once.asked, len(store.pending)) == (1, 1)
        if is_kept:
            store.commit()
            for ref in refs:
                assert (await ann.expect_reply(ref))["data"]["seq"] == 1
        else:
            store.fail()
            for ref in refs:
                await ann.expect_error("RESOURCE_EXHAUSTED", ref=ref)
