"""PROTOCOL section 2: `room.presence`, batched and never about oneself."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from support.entering import enter
from wsprism_core.gateway import presence
from wsprism_core.protocol.codecs import JSON, load_json
from wsprism_core.protocol.layout import FrameKind
from wsprism_core.realtime import outbox
from wsprism_core.testing import GatewayHarness, ScriptedClient, config_with

TEXT = FrameKind.TEXT


async def news(gw: GatewayHarness, client: ScriptedClient) -> list[dict[str, Any]]:
    """Return the data of the presence that a client is told in the next moments.

    All but its version, which is the same or larger each time.
    """
    await gw.advance(0.5)
    told = []
    version = 0
    for message in await client.read_all():
        assert isinstance(message, dict)
        assert (message["svc"], message["type"]) == ("room", "presence")
        assert message["room"] == "r1"
        assert message["data"]["version"] >= version
        version = message["data"].pop("version")
        told.append(message["data"])
    return told


def joined(n: int, user: str) -> dict[str, Any]:
    return {"n": n, "user": f"user:{user}"}


async def test_a_join_and_a_leave_are_told_to_the_others(
    gateway: type[GatewayHarness],
) -> None:
    async with (
        gateway() as gw,
        gw.connect(user="ann") as ann,
        gw.connect(user="bob") as bob,
    ):
        await ann.join("r1")
        await gw.advance(1)
        await bob.join("r1")
        assert await news(gw, ann) == [{"joined": [joined(2, "bob")], "left": []}]
        bob.expect_nothing()
        await bob.leave("r1")
        assert await news(gw, ann) == [{"joined": [], "left": [{"n": 2}]}]
        bob.expect_nothing()


async def test_changes_are_batched(gateway: type[GatewayHarness]) -> None:
    config = config_with(gateway={"resume_window_ms": 0})
    async with (
        gateway(config=config) as gw,
        gw.connect(user="ann") as ann,
        gw.connect(user="bob") as bob,
        gw.connect(user="cat") as cat,
        gw.connect(user="dan") as dan,
    ):
        await ann.join("r1")
        await dan.join("r1")
        await gw.advance(1)
        await ann.read_all()
        await bob.join("r1")
        await gw.advance(0.05)
        await cat.join("r1")
        dan.drop_link()
        await gw.advance(0.049)
        ann.expect_nothing()
        await gw.advance(0.001)
        (batch,) = await news(gw, ann)
        assert batch == {
            "joined": [joined(3, "bob"), joined(4, "cat")],
            "left": [{"n": 2}],
        }


async def test_how_long_changes_are_collected_is_configured(
    gateway: type[GatewayHarness],
) -> None:
    config = config_with(gateway={"presence_batch_ms": 0})
    async with (
        gateway(config=config) as gw,
        gw.connect(user="ann") as ann,
        gw.connect(user="bob") as bob,
    ):
        await ann.join("r1")
        await bob.join("r1")
        await ann.expect_push("room.presence")


async def test_nobody_is_told_of_whom_his_own_joined_has_listed(
    gateway: type[GatewayHarness],
) -> None:
    async with (
        gateway() as gw,
        gw.connect(user="ann") as ann,
        gw.connect(user="bob") as bob,
        gw.connect(user="cat") as cat,
    ):
        await ann.join("r1")
        await bob.join("r1")
        await cat.join("r1")
        assert await news(gw, ann) == [
            {"joined": [joined(2, "bob"), joined(3, "cat")], "left": []}
        ]
        assert await news(gw, bob) == [{"joined": [joined(3, "cat")], "left": []}]
        assert await news(gw, cat) == []


async def test_who_comes_and_goes_within_a_batch_was_never_there(
    gateway: type[GatewayHarness],
) -> None:
    async with (
        gateway() as gw,
        gw.connect(user="ann") as ann,
        gw.connect(user="bob") as bob,
        gw.connect(user="cat") as cat,
    ):
        await ann.join("r1")
        await gw.advance(1)
        await bob.join("r1")
        await cat.join("r1")
        await bob.leave("r1")
        # Cat has seen bob in her list; ann has never heard of him.
        assert await news(gw, ann) == [{"joined": [joined(3, "cat")], "left": []}]
        assert await news(gw, cat) == [{"joined": [], "left": [{"n": 2}]}]


async def test_another_connection_of_ones_own_is_another_member(
    gateway: type[GatewayHarness],
) -> None:
    async with (
        gateway() as gw,
        gw.connect(user="ann") as ann,
        gw.connect(user="ann") as too,
    ):
        await ann.join("r1")
        await gw.advance(1)
        await too.join("r1")
        assert await news(gw, ann) == [{"joined": [joined(2, "ann")], "left": []}]
        too.expect_nothing()
        await too.leave("r1")
        await too.join("r1")
        assert await news(gw, ann) == [
            {"joined": [joined(3, "ann")], "left": [{"n": 2}]}
        ]
        too.expect_nothing()


async def test_members_of_a_large_room_are_told_how_many_they_are(
    gateway: type[GatewayHarness],
) -> None:
    config = config_with(gateway={"presence_max_members": 2})
    async with (
        gateway(config=config) as gw,
        gw.connect(user="ann") as ann,
        gw.connect(user="bob") as bob,
        gw.connect(user="cat") as cat,
        gw.connect(user="dan") as dan,
    ):
        await ann.join("r1")
        await bob.join("r1")
        assert await news(gw, ann) == [{"joined": [joined(2, "bob")], "left": []}]
        await cat.join("r1")
        await dan.join("r1")
        assert await news(gw, ann) == [{"count": 4}]
        assert await news(gw, dan) == [{"count": 4}]
        # One goes and another comes: there are as many as before.
        await dan.leave("r1")
        await dan.join("r1")
        assert await news(gw, ann) == []
        await dan.leave("r1")
        assert await news(gw, ann) == [{"count": 3}]
        await bob.read_all()
        await bob.leave("r1")
        # Who missed the changes gets the whole list, and then changes again.
        everybody = [joined(1, "ann"), joined(3, "cat")]
        assert await news(gw, ann) == [{"count": 2, "members": everybody}]
        await cat.leave("r1")
        assert await news(gw, ann) == [{"joined": [], "left": [{"n": 3}]}]


async def test_a_thousand_joins_in_a_second_are_told_in_ten_messages_at_most(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway() as gw, contextlib.AsyncExitStack() as crowd:
        members = []
        for n in range(1_000):
            client = await crowd.enter_async_context(gw.connect(user=f"u{n}"))
            await client.join("r1")
            members.append(client)
            await gw.advance(0.001)
        await gw.advance(1)
        for member in members[::100]:
            told = await news(gw, member)
            assert told[-1] == {"count": 1_000}
            assert len(told) <= 10


@pytest.mark.parametrize("count", [1, 3])
async def test_an_empty_room_that_fills_again_starts_afresh(
    gateway: type[GatewayHarness], count: int
) -> None:
    async with (
        gateway() as gw,
        gw.connect(user="ann") as ann,
        gw.connect(user="bob") as bob,
    ):
        for _ in range(count):
            await ann.join("r1")
            await ann.leave("r1")
        await bob.join("r1")
        assert await news(gw, bob) == []
        ann.expect_nothing()


async def test_each_list_and_each_change_says_up_to_where_it_goes(
    gateway: type[GatewayHarness],
) -> None:
    async with (
        gateway() as gw,
        gw.connect(user="ann") as ann,
        gw.connect(user="bob") as bob,
    ):
        assert (await ann.join("r1"))["data"]["version"] == 1
        assert (await bob.join("r1"))["data"]["version"] == 2
        await bob.leave("r1")
        await bob.join("r1")
        page = await ann.request("room", "members", room="r1")
        assert page["data"]["version"] == 4
        await gw.advance(0.5)
        assert (await ann.expect_push("room.presence"))["data"]["version"] == 4


async def back(gw: GatewayHarness, client: ScriptedClient, token: str) -> Any:
    """Resume; return the client, and what it is told of who is in its room."""
    client = await gw.dial(ticket="dev:ann", resume=token)
    await client.expect_push("sys.authed")
    return await news(gw, client)


@pytest.mark.parametrize("crowded", [False, True])
async def test_who_was_away_is_told_again_who_is_there(
    gateway: type[GatewayHarness], crowded: bool
) -> None:
    gateway_section = {"presence_max_members": 1 if crowded else 9}
    async with (
        gateway(config=config_with(gateway=gateway_section)) as gw,
        gw.connect(user="bob") as bob,
        gw.connect(user="cat") as cat,
    ):
        ann, authed = await enter(gw)
        token = authed["resume"]
        for client in ann, bob:
            await client.join("r1")
        await gw.advance(1)
        ann.drop_link()
        await bob.leave("r1")
        await cat.join("r1")
        await gw.advance(5)
        everybody = [joined(1, "ann"), joined(3, "cat")]
        listed = {} if crowded else {"members": everybody}
        assert await back(gw, ann, token) == [{"count": 2, **listed}]


async def test_who_certainly_knows_is_told_nothing_again(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway() as gw:
        ann, authed = await enter(gw)
        token = authed["resume"]
        await ann.join("r1")
        # A ping goes and is answered: what was told before it has arrived.
        await gw.advance(25)
        ann.drop_link()
        await gw.settle()
        assert await back(gw, ann, token) == []


@pytest.mark.interpreted
async def test_lists_of_many_rooms_end_nobody_who_reads_slowly(
    gateway: type[GatewayHarness], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first write fills the socket, and the lists are not in it.
    monkeypatch.setattr(outbox, "WRITE_CHUNK", 100)
    lanes = {"interactive": {"max_messages": 3}}
    async with gateway(config=config_with(gateway={"lanes": lanes})) as gw:
        ann, authed = await enter(gw)
        token = authed["resume"]
        rooms = [f"r{number}" for number in range(8)]
        for room in rooms:
            await ann.join(room)
        ann.drop_link()
        await gw.settle()
        link = gw._transport.connect(ticket="dev:ann", resume=token)
        link.capacity = 0
        await gw.settle()
        # Of a room that it leaves meanwhile it is told nothing more.
        leave = {"svc": "room", "type": "leave", "room": "r5"}
        link.send_text(JSON.encode(leave))
        await gw.settle()
        link.capacity = None
        await gw.settle()
        told = [load_json(data) for kind, data in link.received() if kind is TEXT]
        assert link.ended is None
        lists = [one["room"] for one in told if one["type"] == "presence"]
        assert lists == [room for room in rooms if room != "r5"]


@pytest.mark.interpreted
async def test_a_list_is_made_once_for_all_who_come_back(
    gateway: type[GatewayHarness], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    envelope = presence._envelope

    def noted(room: Any, data: dict[str, Any]) -> dict[str, Any]:
        made.append(room.name)
        return envelope(room, data)

    async with gateway() as gw:
        clients, tokens = [], []
        for number in range(5):
            client = await gw.dial(ticket=f"dev:u{number}")
            tokens.append((await client.expect_push("sys.authed"))["data"]["resume"])
            await client.join("r1")
            clients.append(client)
        await gw.advance(1)
        for client in clients:
            client.drop_link()
        monkeypatch.setattr(presence, "_envelope", noted)
        everybody = [joined(number + 1, f"u{number}") for number in range(5)]
        for number, token in enumerate(tokens):
            again = await gw.dial(ticket=f"dev:u{number}", resume=token)
            await again.expect_push("sys.authed")
            assert await news(gw, again) == [{"count": 5, "members": everybody}]
        assert made == ["r1"]
