"""Requests of the bulk lane: one in a turn."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

from support.entering import enter
from wsprism_core import (
    Actions,
    Envelope,
    ErrorCode,
    Inbound,
    Outbound,
    ProtocolError,
    Reply,
    RoomRule,
    Service,
    Session,
    hookimpl,
)
from wsprism_core.gateway.bulk import MAX_BYTES, BulkQueue
from wsprism_core.testing import GatewayHarness, VirtualClock, config_with

if TYPE_CHECKING:
    from wsprism_core.gateway.connection import Connection


class Asker:
    """Stands for a connection."""

    def __init__(self, max_waiting: int = 64) -> None:
        self.session: object | None = object()
        self.max_waiting = max_waiting


class Place:
    """A queue, and what was done in each turn."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.queue = BulkQueue(self.clock)
        self.done: list[Any] = []
        self.dropped: list[str] = []

    def ask(self, asker: Asker, name: str, size: int = 10) -> None:
        self.queue.put(
            cast("Connection", asker),
            size,
            lambda: self.done.append(name),
            refuse=self.refused,
            drop=lambda: self.dropped.append(name),
        )

    def refused(self, error: ProtocolError) -> None:
        self.done.append(error.msg)

    def turns(self, count: int) -> list[list[Any]]:
        turns = []
        for _ in range(count):
            self.done = []
            self.clock.run_turn()
            turns.append(self.done)
        return turns


def test_each_has_a_turn_to_itself_in_the_order_of_asking() -> None:
    place, ann, bob = Place(), Asker(), Asker()
    for asker, name in ((ann, "a"), (bob, "b"), (ann, "c")):
        place.ask(asker, name)
    assert place.turns(4) == [["a"], ["b"], ["c"], []]
    # Who asks for much is served in turns with who asks for little.
    for asker, name in ((ann, "a"), (ann, "b"), (ann, "c"), (bob, "d")):
        place.ask(asker, name)
    assert place.turns(5) == [["a"], ["d"], ["b"], ["c"], []]
    # And who asks after a time in which nobody did is not forgotten.
    place.ask(bob, "d")
    assert place.turns(2) == [["d"], []]


def test_one_who_is_gone_costs_no_turn() -> None:
    place, ann, bob = Place(), Asker(), Asker()
    for asker, name in ((ann, "a"), (ann, "b"), (bob, "c")):
        place.ask(asker, name)
    ann.session = None
    assert place.turns(2) == [["c"], []]
    assert place.dropped == ["a", "b"]
    assert not place.queue._asking


def test_one_that_is_refused_holds_up_no_other() -> None:
    place, ann = Place(), Asker()

    def fail() -> None:
        raise ProtocolError(ErrorCode.BAD_REQUEST, "no")

    place.queue.put(
        cast("Connection", ann), 10, fail, refuse=place.refused, drop=lambda: None
    )
    place.ask(ann, "b")
    assert place.turns(2) == [["no"], ["b"]]


def test_so_many_bytes_of_a_session_may_wait() -> None:
    place, ann, bob = Place(), Asker(), Asker()
    place.ask(ann, "as large as it is", MAX_BYTES + 1)
    with pytest.raises(ProtocolError, match="too many requests"):
        place.ask(ann, "one more", 1)
    place.ask(bob, "of another", MAX_BYTES)
    place.turns(1)
    place.ask(ann, "and now", MAX_BYTES)
    assert place.turns(2) == [["of another"], ["and now"]]


class Archive:
    """A service with a request of bulk, and notes of what it was asked in order."""

    wsprism_api = 1
    name = "archive"

    def __init__(self) -> None:
        self.asked: list[Any] = []

    @hookimpl
    def register_services(self) -> Service:
        return Service(
            name="archive",
            inbound=(
                Inbound(name="page", lane="bulk"),
                Inbound(name="look", lane="bulk", room=RoomRule.MEMBER),
                Inbound(name="once", lane="bulk", drop_stale=True),
                Inbound(name="say"),
            ),
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


@pytest.mark.parametrize("back", [False, True], ids=["gone", "and back"])
async def test_who_has_left_meanwhile_hears_of_the_room_no_more(
    gateway: type[GatewayHarness], back: bool
) -> None:
    archive = Archive()
    async with gateway(archive) as gw, gw.connect() as dev:
        await dev.join("lobby")
        again = [dev.send("room", "join", room="lobby")] if back else []
        await asyncio.gather(
            *(dev.send("archive", "look", n, room="lobby") for n in range(2)),
            dev.send("room", "leave", room="lobby"),
            *again,
        )
        for _ in range(2):
            await dev.expect_error("NOT_ALLOWED")
        assert archive.asked == []


async def test_a_number_that_was_dropped_may_be_sent_again(
    gateway: type[GatewayHarness],
) -> None:
    archive = Archive()
    async with gateway(archive) as gw:
        dev, told = await enter(gw)
        sent = asyncio.ensure_future(dev.send("archive", "once", 1, seq=7))
        await asyncio.sleep(0)
        dev.drop_link()
        await sent
        await gw.settle()
        assert archive.asked == []
        again, back = await enter(gw, resume=told["resume"])
        assert back["resumed"]
        await again.send("archive", "once", 1, seq=7)
        await gw.settle()
        assert archive.asked == [1]


async def test_so_many_requests_of_a_session_may_wait(
    gateway: type[GatewayHarness],
) -> None:
    config = config_with(gateway={"max_async_queue": 2})
    async with gateway(Archive(), config=config) as gw, gw.connect() as dev:
        await asyncio.gather(*(dev.send("archive", "page", n) for n in range(3)))
        await dev.expect_error("RESOURCE_EXHAUSTED")
        await gw.settle()
        answers = [one.get("data") for one in dev.unread if isinstance(one, dict)]
        assert answers == [0, 1]
