"""PROTOCOL section 2: joining, leaving, members, limits, and the numbers of a room."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from support.services import LAB, RELAY, Lab
from wsprism_core import (
    Push,
)
from wsprism_core.protocol.layout import MAX_EPOCH_LENGTH
from wsprism_core.testing import GatewayHarness, config_with


async def fill(gw: GatewayHarness, room: str, count: int) -> AsyncExitStack:
    """Connect users u0, u1, ... and let them join a room."""
    stack = AsyncExitStack()
    for number in range(count):
        client = await stack.enter_async_context(gw.connect(user=f"u{number}"))
        await client.join(room)
    return stack


# -------------------------------------------------------------------------- joining


async def test_joined_says_all_that_a_member_must_know(
    gateway: type[GatewayHarness],
) -> None:
    async with (
        gateway(Lab()) as gw,
        gw.connect(user="ann") as ann,
        gw.connect(user="bob") as bob,
    ):
        joined = await ann.request("room", "join", room="r1")
        assert (joined["svc"], joined["type"], joined["room"]) == (
            "sys",
            "joined",
            "r1",
        )
        first = joined["data"]
        epoch = first.pop("epoch")
        assert 0 < len(epoch) <= MAX_EPOCH_LENGTH
        assert first == {
            "alias": 1,
            "seq": 0,
            "n": 1,
            "members": [{"n": 1, "user": "user:ann"}],
            "count": 1,
            "version": 1,
        }
        second = (await bob.join("r1"))["data"]
        assert second == {
            "alias": 1,
            "epoch": epoch,
            "seq": 0,
            "n": 2,
            "members": [{"n": 1, "user": "user:ann"}, {"n": 2, "user": "user:bob"}],
            "count": 2,
            "version": 2,
        }
        assert (await bob.join("r2"))["data"]["alias"] != 1


async def test_a_join_of_no_room_joins_default(gateway: type[GatewayHarness]) -> None:
    async with gateway() as gw, gw.connect() as dev:
        assert (await dev.request("room", "join"))["room"] == "default"


async def test_a_second_join_makes_the_room_active_again_and_nothing_else(
    gateway: type[GatewayHarness],
) -> None:
    lab = Lab()
    async with (
        gateway(lab) as gw,
        gw.connect(user="ann") as ann,
        gw.connect(user="bob") as bob,
    ):
        await bob.join("r1")
        first = (await ann.join("r1"))["data"]
        await ann.join("r2")
        await gw.advance(1)
        await bob.read_all()
        again = (await ann.join("r1"))["data"]
        assert (again["alias"], again["n"]) == (first["alias"], first["n"])
        await ann.send("lab", "say", "here")
        assert (await ann.expect_push("lab.said"))["room"] == "r1"
        await bob.expect_push("lab.said")
        await gw.advance(1)
        bob.expect_nothing()
        joins = [event for event in lab.events if event[:2] == ("join", "user:ann")]
        assert len(joins) == 2


async def test_joined_lists_the_first_hundred_and_members_pages_through_all(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway() as gw, await fill(gw, "r1", 105), gw.connect() as dev:
        joined = (await dev.join("r1"))["data"]
        assert joined["count"] == 106
        assert [one["n"] for one in joined["members"]] == [*range(1, 101)]

        page = await dev.request("room", "members", room="r1")
        assert (page["svc"], page["type"], page["room"]) == ("room", "members", "r1")
        assert page["data"]["members"] == joined["members"]
        assert page["data"]["version"] == 106
        assert (page["data"]["more"], page["data"]["count"]) == (True, 106)
        page = await dev.request("room", "members", {"after": 100}, room="r1")
        assert [one["n"] for one in page["data"]["members"]] == [*range(101, 107)]
        assert page["data"]["more"] is False
        page = await dev.request("room", "members", {"after": 3, "limit": 2})
        assert [one["n"] for one in page["data"]["members"]] == [4, 5]
        assert page["data"]["more"] is True
        page = await dev.request("room", "members", {"limit": 106})
        assert (len(page["data"]["members"]), page["data"]["more"]) == (106, False)


@pytest.mark.parametrize(
    "data",
    [
        [],
        {"after": -1},
        {"after": "1"},
        {"after": 2**32},
        {"limit": 0},
        {"limit": 1001},
        {"limit": True},
        {"limit": 1.0},
    ],
)
async def test_a_wrong_page(gateway: type[GatewayHarness], data: object) -> None:
    async with gateway() as gw, gw.connect() as dev:
        await dev.join("r1")
        ref = await dev.send("room", "members", data)
        await dev.expect_error("BAD_REQUEST", ref=ref)


async def test_only_members_page_through_members(
    gateway: type[GatewayHarness],
) -> None:
    async with (
        gateway() as gw,
        gw.connect(user="ann") as ann,
        gw.connect(user="bob") as bob,
    ):
        await ann.join("r1")
        for room in ("r1", "nowhere", None):
            ref = await bob.send("room", "members", room=room)
            await bob.expect_error("NOT_ALLOWED", ref=ref)


async def test_tenants_have_rooms_of_their_own(gateway: type[GatewayHarness]) -> None:
    config = config_with(tenants=("acme", "globex"))
    async with (
        gateway(Lab(), config=config) as gw,
        gw.connect(user="ann", tenant="acme") as ann,
        gw.connect(user="bob", tenant="globex") as bob,
    ):
        mine = (await ann.join("r1"))["data"]
        other = (await bob.join("r1"))["data"]
        assert other["members"] == [{"n": 1, "user": "user:bob"}]
        assert other["epoch"] != mine["epoch"]
        assert other["alias"] != mine["alias"]
        await ann.request("lab", "say")
        await gw.advance(1)
        bob.expect_nothing()
        # Neither by name nor by alias does one tenant reach into the other.
        await bob.send_frame(LAB, RELAY, alias=mine["alias"])
        await bob.expect_error("NOT_ALLOWED")


# -------------------------------------------------------------------------- leaving


async def test_left_names_the_room(gateway: type[GatewayHarness]) -> None:
    async with gateway() as gw, gw.connect() as dev:
        await dev.join("r1")
        left = await dev.request("room", "leave", room="r1")
        assert (left["svc"], left["type"], left["room"]) == ("sys", "left", "r1")


async def test_leaving_no_room_leaves_the_active_one_and_then_there_is_none(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway(Lab()) as gw, gw.connect() as dev:
        await dev.join("r1")
        await dev.join("r2")
        assert (await dev.request("room", "leave"))["room"] == "r2"
        await dev.expect_error("NOT_ALLOWED", ref=await dev.send("room", "leave"))
        await dev.expect_error("BAD_REQUEST", ref=await dev.send("lab", "say"))
        await dev.expect_error("BAD_REQUEST", ref=await dev.send_frame(LAB, RELAY))
        await dev.request("lab", "say", room="r1")


async def test_leaving_another_room_keeps_the_active_one(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway(Lab()) as gw, gw.connect() as dev:
        await dev.join("r1")
        await dev.join("r2")
        await dev.leave("r1")
        await dev.send("lab", "say")
        assert (await dev.expect_push("lab.said"))["room"] == "r2"


async def test_a_room_that_one_is_not_in_cannot_be_left(
    gateway: type[GatewayHarness],
) -> None:
    async with (
        gateway() as gw,
        gw.connect(user="ann") as ann,
        gw.connect(user="bob") as bob,
    ):
        await ann.join("r1")
        for room in ("r1", "nowhere", None):
            ref = await bob.send("room", "leave", room=room)
            await bob.expect_error("NOT_ALLOWED", ref=ref)
        await ann.leave("r1")
        await ann.expect_error(
            "NOT_ALLOWED", ref=await ann.send("room", "leave", room="r1")
        )


async def test_after_left_nothing_of_that_room_comes(
    gateway: type[GatewayHarness],
) -> None:
    async with (
        gateway(Lab()) as gw,
        gw.connect(user="ann") as ann,
        gw.connect(user="bob") as bob,
    ):
        await ann.join("r1")
        alias = (await bob.join("r1"))["data"]["alias"]
        await ann.leave("r1")
        await bob.send("lab", "say", room="r1")
        await bob.send("lab", "post", room="r1")
        await bob.send_frame(LAB, RELAY, alias=alias)
        await bob.leave("r1")
        await gw.advance(1)
        ann.expect_nothing()


async def test_not_even_what_waited_while_the_socket_was_full(
    gateway: type[GatewayHarness],
) -> None:
    lab = Lab()
    lab.todo = lambda session, _: Push("said", "mine", session=session.id)
    async with (
        gateway(lab) as gw,
        gw.connect(user="ann") as ann,
        gw.connect(user="bob") as bob,
    ):
        await ann.join("r1")
        await bob.join("r1")
        ann.slow(0, buffer=0)
        for number in range(3):
            await bob.send("lab", "say", number, room="r1")
        await bob.send_frame(LAB, RELAY)
        await gw.advance(1)
        await ann.send("lab", "do")
        await ann.send("room", "leave", seq=99)
        ann.slow(None)
        await gw.settle()
        # The first was in the socket already.
        got = [one for one in await ann.read_all() if isinstance(one, dict)]
        assert [(one["type"], one.get("data")) for one in got] == [
            ("said", 0),
            ("left", None),
            ("said", "mine"),
        ]


# -------------------------------------------------------------------- member numbers


async def test_a_member_number_is_not_given_again(
    gateway: type[GatewayHarness],
) -> None:
    async with (
        gateway(config=config_with(gateway={"resume_window_ms": 0})) as gw,
        gw.connect(user="ann") as ann,
        gw.connect(user="ann") as too,
        gw.connect(user="bob") as bob,
    ):
        assert (await ann.join("r1"))["data"]["n"] == 1
        assert (await too.join("r1"))["data"]["n"] == 2
        await too.leave("r1")
        assert (await too.join("r1"))["data"]["n"] == 3
        too.drop_link()
        joined = (await bob.join("r1"))["data"]
        assert joined["n"] == 4
        assert [one["n"] for one in joined["members"]] == [1, 4]


async def test_numbers_start_anew_only_with_a_new_epoch(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway(Lab()) as gw, gw.connect() as dev:
        first = (await dev.join("plain"))["data"]
        await dev.leave("plain")
        second = (await dev.join("plain"))["data"]
        assert second["epoch"] != first["epoch"] or second["n"] > first["n"]

        first = (await dev.join("kept"))["data"]
        await dev.send("lab", "post", room="kept")
        await dev.leave("kept")
        second = (await dev.join("kept"))["data"]
        assert (second["epoch"], second["n"], second["seq"]) == (first["epoch"], 2, 1)


async def test_a_recoverable_type_takes_the_rooms_next_number(
    gateway: type[GatewayHarness],
) -> None:
    async with (
        gateway(Lab()) as gw,
        gw.connect(user="ann") as ann,
        gw.connect(user="bob") as bob,
    ):
        await ann.join("r1")
        await ann.send("lab", "post", "one", room="r1")
        await gw.advance(1.5)
        await ann.send("lab", "say", "not numbered", room="r1")
        await ann.send("lab", "post", "two", room="r1")
        assert (await bob.join("r1"))["data"]["seq"] == 2
        await ann.send("lab", "post", "three", room="r1")
        posts = [await ann.expect_push("lab.posted") for _ in range(3)]
        assert [post["seq"] for post in posts] == [1, 2, 3]
        assert posts[1]["ts"] - posts[0]["ts"] == 1500
        assert (await bob.expect_push("lab.posted"))["seq"] == 3
        said = await ann.expect_push("lab.said")
        assert "seq" not in said
        assert "ts" not in said
