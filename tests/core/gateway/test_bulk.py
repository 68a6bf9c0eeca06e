"""Requests of the bulk lane: one in a turn of the event loop."""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import pairwise
from typing import Any

from wsprism_core import (
    Actions,
    Envelope,
    Inbound,
    Outbound,
    Reply,
    Service,
    Session,
    hookimpl,
)
from wsprism_core.gateway.bulk import BulkTurns
from wsprism_core.testing import GatewayHarness, config_with


async def tick(turns: list[Any], count: int) -> None:
    """Note each turn of the event loop."""
    for number in range(count):
        turns.append(number)
        await asyncio.sleep(0)


async def test_each_has_a_turn_to_itself_in_the_order_of_asking() -> None:
    bulk, turns = BulkTurns(), list[Any]()
    asked = [
        asyncio.ensure_future(bulk.run(partial(turns.append, name))) for name in "abc"
    ]
    await tick(turns, 8)
    await asyncio.gather(*asked)
    places = [turns.index(name) for name in "abc"]
    # Between two of them there is a turn in which everything else goes on.
    assert [later - place for place, later in pairwise(places)] == [2, 2]


async def test_one_who_is_gone_costs_no_turn() -> None:
    bulk, turns = BulkTurns(), list[Any]()
    asked = [
        asyncio.ensure_future(bulk.run(partial(turns.append, name))) for name in "abc"
    ]
    await asyncio.sleep(0)
    asked[0].cancel()
    asked[1].cancel()
    await tick(turns, 4)
    assert [one for one in turns if isinstance(one, str)] == ["c"]
    # And who asks after a time in which nobody did is not forgotten.
    assert await bulk.run(lambda: "d") == "d"


async def test_what_a_handler_returns_may_have_to_be_awaited() -> None:
    async def later() -> str:
        await asyncio.sleep(0)
        return "late"

    bulk = BulkTurns()
    slow = asyncio.ensure_future(bulk.run(later))
    assert await bulk.run(lambda: "at once") == "at once"
    assert await slow == "late"


class Archive:
    """A service with a request of bulk, and notes of what it was asked in order."""

    wsprism_api = 1
    name = "archive"

    def __init__(self) -> None:
        self.asked: list[str] = []

    @hookimpl
    def register_services(self) -> Service:
        return Service(
            name="archive",
            inbound=(Inbound(name="page", lane="bulk"), Inbound(name="say")),
            outbound=(Outbound(name="answer"),),
        )

    @hookimpl
    def on_message(self, session: Session, message: Envelope) -> Actions:
        self.asked.append(message.data)
        return Reply("answer", message.data)


async def test_what_is_live_overtakes_what_is_asked_of_bulk(
    gateway: type[GatewayHarness],
) -> None:
    archive = Archive()
    async with (
        gateway(archive) as gw,
        gw.connect(user="ann") as ann,
        gw.connect(user="bob") as bob,
    ):
        # All of it comes in one turn.
        await asyncio.gather(
            *(ann.send("archive", "page", f"page {number}") for number in range(3)),
            ann.send("archive", "say", "ann"),
            bob.send("archive", "say", "bob"),
        )
        await gw.settle()
        assert archive.asked == ["ann", "bob", "page 0", "page 1", "page 2"]
        answers = [one.get("data") for one in ann.unread if isinstance(one, dict)]
        assert answers == ["ann", "page 0", "page 1", "page 2"]


async def test_so_many_requests_of_a_session_may_wait(
    gateway: type[GatewayHarness],
) -> None:
    config = config_with(gateway={"max_async_queue": 2})
    async with gateway(Archive(), config=config) as gw, gw.connect() as dev:
        await asyncio.gather(*(dev.send("archive", "page", n) for n in range(4)))
        await dev.expect_error("RESOURCE_EXHAUSTED")
        await gw.settle()
        answers = [one.get("data") for one in dev.unread if isinstance(one, dict)]
        assert answers == [0, 1, 2]
