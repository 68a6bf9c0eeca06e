from __future__ import annotations

import gc
import weakref
from typing import Any

import orjson
import pytest

from support.services import Lab
from wsprism_core import Broadcast, Inbound, Outbound, RoomRule, Service, hookimpl
from wsprism_core.gateway.inspector import (
    MAX_PAGE,
    BadCursor,
    LaneDepth,
    Overview,
    SessionReading,
)
from wsprism_core.realtime.lanes import DEFAULT_LANES, Delivery
from wsprism_core.testing import GatewayHarness, config_with
from wsprism_core.testing.client import ScriptedClient

NAMES = [lane.name for lane in DEFAULT_LANES]


class Board:
    """Broadcasts what is said, in the delivery class that it is said for."""

    wsprism_api = 1

    @hookimpl
    def register_services(self) -> Service:
        return Service(
            name="board",
            inbound=(Inbound(name="say", room=RoomRule.MEMBER),),
            outbound=(
                Outbound(name="latest", delivery=Delivery.LATEST, lane="market"),
                Outbound(name="volatile", delivery=Delivery.VOLATILE, lane="realtime"),
            ),
        )

    @hookimpl
    def on_message(self, message: Any) -> Broadcast:
        data = message.data
        return Broadcast(data["as"], {"x": "x" * 100}, key=data.get("key"))


def lanes(depths: tuple[LaneDepth, ...]) -> dict[str, LaneDepth]:
    assert [depth.lane for depth in depths] == NAMES
    return {depth.lane: depth for depth in depths}


async def say(client: ScriptedClient, kind: str, times: int, **data: Any) -> None:
    for _ in range(times):
        await client.send("board", "say", {"as": kind, **data}, room="lobby")


#: Who reads nothing is not cut.
PATIENT = {"writer_send_timeout_ms": 0, "min_write_bytes_per_s": 0}


async def test_what_waits_for_a_slow_reader_is_told_lane_by_lane(
    gateway: type[GatewayHarness],
) -> None:
    async with (
        gateway("chat", Board, config=config_with(gateway=PATIENT)) as gw,
        gw.connect("ann") as ann,
        gw.connect("bob", codec="msgpack") as bob,
    ):
        await ann.join("lobby")
        await bob.join("lobby")
        await gw.advance(1)
        await bob.read_all()
        bob.slow(0, buffer=1_024)
        while gw.gateway.inspector.sessions().items[0].stalled_s is None:
            await say(ann, "volatile", 1)
        await gw.advance(2)
        await say(ann, "latest", 3, key="a")
        await say(ann, "latest", 1, key="b")
        await say(ann, "volatile", 1_100)
        await gw.advance(3)
        for n in range(1_030):
            await ann.send("chat", "send", {"msg": f"{n}"}, room="lobby")
        await gw.advance(0.5)

        read = gw.gateway.inspector.session(bob.authed["sid"])
        assert read is not None
        assert (read.user, read.tenant) == ("user:bob", "default")
        assert (read.transport, read.codec) == ("tcp", "msgpack")
        assert read.age_s == pytest.approx(6.5)
        assert (read.rooms, read.room_count) == (("lobby",), 1)
        assert read.stalled_s == read.silent_s == pytest.approx(5.5)
        told = lanes(read.lanes)
        assert (told["market"].messages, told["market"].conflated) == (2, 2)
        assert told["market"].oldest_s == pytest.approx(3.5)
        realtime = told["realtime"]
        # The `sys.lost` in the place of the oldest is one of them.
        assert realtime.messages == 1_024
        assert realtime.dropped > 76
        assert realtime.oldest_s == pytest.approx(5.5)
        interactive = told["interactive"]
        assert interactive.lost == 1_025
        assert interactive.oldest_s == pytest.approx(0.5)
        assert told["bulk"] == LaneDepth("bulk", 0, 0, None, 0, 0, 0)
        assert read.messages == sum(one.messages for one in read.lanes)
        assert read.bytes == sum(one.bytes for one in read.lanes) > 100_000
        other = gw.gateway.inspector.session(ann.authed["sid"])
        assert other is not None
        assert (other.codec, other.messages, other.bytes) == ("json", 0, 0)
        assert other.stalled_s is None
        assert all(one.oldest_s is None for one in other.lanes)

        # All of it reads well, and what it has lost stays with the session.
        bob.slow(None)
        await gw.advance(0.1)
        after = gw.gateway.inspector.session(bob.authed["sid"])
        assert after is not None
        assert (after.messages, after.bytes, after.stalled_s) == (0, 0, None)
        assert lanes(after.lanes)["interactive"].lost == 1_025


async def test_what_is_read_last_is_when_the_socket_took_bytes(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway(Board) as gw, gw.connect("ann") as ann:
        await ann.join("lobby")
        ann.slow(5_000, buffer=1_024)
        await say(ann, "volatile", 400)
        await gw.advance(5)
        read = gw.gateway.inspector.session(ann.authed["sid"])
        assert read is not None
        assert read.stalled_s == pytest.approx(5)
        assert read.silent_s is not None
        assert read.silent_s < 4


async def test_the_overview_sums_up(gateway: type[GatewayHarness]) -> None:
    async with (
        gateway("chat", Board) as gw,
        gw.connect("ann") as ann,
        gw.connect("bob") as bob,
    ):
        await ann.join("lobby")
        await bob.join("lobby")
        bob.slow(0, buffer=1_024)
        await gw.advance(1)
        for _ in range(50):
            await ann.send("chat", "send", {"msg": "x" * 100}, room="lobby")
        read = gw.gateway.inspector.overview()
        bobs = gw.gateway.inspector.session(bob.authed["sid"])
        assert bobs is not None
        assert (read.sessions, read.stalled, read.rooms) == (2, 1, 1)
        # The two joins, and what was said.
        assert read.messages_in == 52
        assert read.messages_out == sum(one.messages_out for one in read.lanes) > 50
        assert read.waiting_bytes == bobs.bytes > 0
        waiting = {one.lane: one.waiting_messages for one in read.lanes}
        assert waiting == {one.lane: one.messages for one in bobs.lanes}
        assert read.uptime_s == pytest.approx(1)
        # Nothing is measured where no event loop is watched.
        assert (read.in_per_s, read.out_per_s, read.cpu) == (0, 0, 0)
        assert isinstance(orjson.loads(orjson.dumps(read)), dict)


async def test_sessions_come_by_what_waits_page_by_page(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway(Board) as gw:
        clients = [await gw.dial(ticket=f"dev:u{n}") for n in range(7)]
        for n, client in enumerate(clients):
            await client.join("lobby")
            if n < 4:
                client.slow(0, buffer=100 + 400 * n)
        await say(clients[-1], "volatile", 20)
        inspector = gw.gateway.inspector
        everybody = inspector.sessions()
        assert (len(everybody.items), everybody.total) == (7, 7)
        assert everybody.next is None
        waiting = [one.bytes for one in everybody.items]
        assert waiting == sorted(waiting, reverse=True)
        assert len({*waiting[:4]}) == 4
        assert waiting[4:] == [0, 0, 0]
        cursor: str | None = None
        found: list[SessionReading] = []
        for size in (2, 2, 2, 1):
            page = inspector.sessions(limit=2, cursor=cursor)
            assert (len(page.items), page.total) == (size, 7)
            found += page.items
            cursor = page.next
        assert cursor is None
        assert found == list(everybody.items)


@pytest.mark.parametrize("cursor", ["", "x", "-", "-1", "1", "x-1", "²-1", "9" * 99])
async def test_a_cursor_that_no_page_gave_is_refused(
    gateway: type[GatewayHarness], cursor: str
) -> None:
    async with gateway() as gw:
        for read in (gw.gateway.inspector.sessions, gw.gateway.inspector.rooms):
            with pytest.raises(BadCursor, match="none that a page gave"):
                read(cursor=cursor)


async def test_a_page_has_bounds(gateway: type[GatewayHarness]) -> None:
    async with gateway() as gw:
        for _ in range(MAX_PAGE + 5):
            await gw.dial(ticket="dev:ann")
        inspector = gw.gateway.inspector
        assert len(inspector.sessions(limit=10**9).items) == MAX_PAGE
        assert len(inspector.sessions(limit=-1).items) == 1


async def test_rooms_come_by_rate(gateway: type[GatewayHarness]) -> None:
    async with gateway("chat", Board) as gw, gw.connect("ann") as ann:
        for room in ("quiet", "busy", "lobby"):
            await ann.join(room)
        inspector = gw.gateway.inspector
        await gw.advance(10)
        inspector.rooms()
        for _ in range(30):
            await ann.send("chat", "send", {"msg": "hi"}, room="busy")
        await say(ann, "volatile", 10)
        await gw.advance(2)
        busy, lobby, quiet = inspector.rooms().items
        assert (busy.name, busy.tenant, busy.seq) == ("busy", "default", 30)
        assert (busy.published, busy.published_per_s) == (30, 15)
        assert (busy.members, busy.users, busy.audience) == (1, 1, 1)
        assert busy.alias != quiet.alias
        assert (lobby.name, lobby.seq, lobby.published_per_s) == ("lobby", 0, 5)
        assert (quiet.published, quiet.published_per_s) == (0, 0)
        # Asked again at once, it is the same rate; and it ends with what is said.
        assert inspector.rooms().items[0].published_per_s == 15
        first = inspector.rooms(limit=1)
        assert (first.items, first.total) == ((busy,), 3)
        assert inspector.rooms(cursor=first.next).items == (lobby, quiet)
        await gw.advance(1)
        assert {one.published_per_s for one in inspector.rooms().items} == {0}


async def test_a_session_that_is_being_closed_can_be_read(
    gateway: type[GatewayHarness],
) -> None:
    lab = Lab()
    read: list[Any] = []
    async with gateway(lab) as gw, gw.connect("ann") as ann:
        session = gw.gateway.sessions.get(ann.authed["sid"])
        assert session is not None
        session.outbox.close()
        read.append(gw.gateway.inspector.session(session.id))
        assert read[0].messages == 0
        assert gw.gateway.inspector.overview().sessions == 1


async def test_a_reading_holds_nothing_of_the_gateway(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway(Board) as gw:
        async with gw.connect("ann") as ann:
            await ann.join("lobby")
            inspector = gw.gateway.inspector
            kept = inspector.sessions(), inspector.rooms(), inspector.overview()
            session = weakref.ref(next(iter(gw.gateway.sessions)))
        await gw.settle()
        gc.collect()
        assert session() is None
        assert isinstance(kept[2], Overview)
    assert gw.gateway.inspector.session("none such") is None
