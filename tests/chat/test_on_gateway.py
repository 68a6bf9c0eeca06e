"""Chat on the real gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from support.entering import enter
from support.services import Bouncer
from support.waiting import until
from wsprism_chat.direct import direct_room
from wsprism_chat.plugin import ChatPlugin
from wsprism_core.testing import GatewayHarness, ScriptedClient, config_with


@asynccontextmanager
async def lobby(
    harness: type[GatewayHarness], *names: str, **section: Any
) -> AsyncIterator[tuple[Any, ...]]:
    """A gateway and its clients, who are in the lobby; the first one owns it."""
    config = config_with(plugins={"chat": section})
    async with AsyncExitStack() as stack:
        gw = await stack.enter_async_context(harness("chat", config=config))
        clients: list[ScriptedClient] = []
        for name in names:
            client = await stack.enter_async_context(gw.connect(name))
            await client.join("lobby")
            if not clients:
                await client.request("chat", "create", {}, room="lobby")
            clients.append(client)
        await gw.advance(1)
        for client in clients:
            await client.read_all()
        yield gw, *clients


async def say(client: ScriptedClient, msg: str, **more: Any) -> dict[str, Any]:
    """Say something in the lobby; return what the sender is told."""
    got = await client.request("chat", "send", {"msg": msg, **more}, room="lobby")
    data: dict[str, Any] = got["data"]
    return data


async def page(client: ScriptedClient, **query: Any) -> list[dict[str, Any]]:
    """Return a page of the lobby's history."""
    got = await client.request("chat", "history", query, room="lobby")
    messages: list[dict[str, Any]] = got["data"]["messages"]
    return messages


async def types(client: ScriptedClient) -> list[str]:
    """Return the types of what a client was sent and has not read."""
    return [got["type"] for got in await client.read_all() if isinstance(got, dict)]


async def test_a_message_reaches_everybody_in_the_room_and_then_its_ack(
    gateway: type[GatewayHarness],
) -> None:
    async with (
        gateway("chat") as gw,
        gw.connect("ann") as ann,
        gw.connect("bob", codec="msgpack") as bob,
    ):
        await ann.join("lobby")
        await bob.join("lobby")
        await gw.advance(1)
        await ann.read_all()
        ref = await ann.send("chat", "send", {"msg": "hello"}, room="lobby", ack=True)
        message, ack = await ann.read_all()
        assert isinstance(message, dict)
        assert isinstance(ack, dict)
        assert message["data"]["from"] == "user:ann"
        assert message["data"]["msg"] == "hello"
        assert message["seq"] == 1
        assert ack["ref"] == ref
        assert ack["data"] == {
            "id": message["data"]["id"],
            "seq": 1,
            "ts": message["ts"],
        }
        assert (await bob.expect_push("chat.msg")) == message


async def test_a_retry_is_acknowledged_as_the_first_and_said_once(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway("chat") as gw, gw.connect("ann") as ann:
        await ann.join("lobby")
        data = {"msg": "hello", "id": "mine-1"}
        first = await ann.request("chat", "send", data, room="lobby")
        async with gw.connect("ann") as again:
            await again.join("lobby")
            second = await again.request("chat", "send", data, room="lobby")
            assert second["data"] == first["data"]
        pushes = [
            got
            for got in await ann.read_all()
            if isinstance(got, dict) and got["type"] == "msg"
        ]
        assert len(pushes) == 1


async def test_only_members_speak(gateway: type[GatewayHarness]) -> None:
    async with gateway("chat") as gw, gw.connect("ann") as ann:
        ref = await ann.send("chat", "send", {"msg": "hello"}, room="lobby")
        await ann.expect_error("NOT_ALLOWED", ref=ref)


async def test_without_a_room_the_active_one_is_meant(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway("chat") as gw, gw.connect("ann") as ann:
        ref = await ann.send("chat", "send", {"msg": "hello"})
        await ann.expect_error("BAD_REQUEST", ref=ref)
        await ann.join("lobby")
        await ann.send("chat", "send", {"msg": "hello"})
        assert (await ann.expect_push("chat.msg"))["room"] == "lobby"


async def test_history_is_what_was_said(gateway: type[GatewayHarness]) -> None:
    config = config_with(gateway={"history": {"messages": 3}})
    async with gateway("chat", config=config) as gw, gw.connect("ann") as ann:
        await ann.join("lobby")
        for n in range(5):
            await ann.request("chat", "send", {"msg": f"m{n}"}, room="lobby")
        page = await ann.request("chat", "history", {"limit": 2}, room="lobby")
        assert [row["msg"] for row in page["data"]["messages"]] == ["m3", "m4"]
        assert page["data"]["more"] is True
        older = await ann.request("chat", "history", {"before": 4}, room="lobby")
        assert [row["seq"] for row in older["data"]["messages"]] == [3]
        assert older["data"]["more"] is False


async def test_data_that_does_not_fit_is_told_and_harms_nobody(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway("chat") as gw, gw.connect("ann") as ann:
        await ann.join("lobby")
        wrong: tuple[object, ...] = (
            None,
            [],
            {},
            {"msg": 1},
            {"msg": "x", "extra": 1},
            {"msg": ""},
        )
        for data in wrong:
            ref = await ann.send("chat", "send", data, room="lobby")
            await ann.expect_error("BAD_REQUEST", ref=ref)
        await ann.send("chat", "send", {"msg": "still here"}, room="lobby")
        assert (await ann.expect_push("chat.msg"))["seq"] == 1
        assert list(gw.complaints()) == []


async def test_handed_over_as_a_class_it_is_the_same(
    gateway: type[GatewayHarness],
) -> None:
    config = config_with(plugins={"chat": {"max_length": 3}})
    async with gateway(ChatPlugin, config=config) as gw, gw.connect() as dev:
        await dev.join("lobby")
        await dev.request("chat", "send", {"msg": "hey"})
        await dev.send("chat", "send", {"msg": "hello"})
        await dev.expect_push("chat.msg")
        await dev.expect_error("PAYLOAD_TOO_LARGE")


# ------------------------------------------------------------- messages that change


async def test_an_edit_and_a_delete_reach_everybody_and_history(
    gateway: type[GatewayHarness],
) -> None:
    async with lobby(gateway, "ann", "bob") as (_, ann, bob):
        first, second = await say(bob, "helo"), await say(bob, "oops")
        edit = {"id": first["id"], "msg": "hello"}
        ack = await bob.request("chat", "edit", edit, room="lobby")
        edited = await ann.expect_push("chat.edited")
        assert edited["data"] == {**edit, "from": "user:bob", "version": 2}
        assert ack["data"] == {
            "id": first["id"],
            "version": 2,
            "seq": edited["seq"],
            "ts": edited["ts"],
        }
        await ann.request("chat", "delete", {"id": second["id"]}, room="lobby")
        deleted = await bob.expect_push("chat.deleted")
        assert deleted["seq"] == 4
        told = {"id": second["id"], "by": "user:ann", "version": 2}
        assert deleted["data"] == told
        one, other = await page(ann)
        assert (one["msg"], one["version"], one["seq"]) == ("hello", 2, 1)
        assert other["deleted"] is True
        assert "msg" not in other


async def test_who_catches_up_gets_edits_in_their_place(
    gateway: type[GatewayHarness],
) -> None:
    async with lobby(gateway, "ann", "bob") as (_, ann, bob):
        await bob.leave("lobby")
        said = await say(ann, "one")
        await ann.request(
            "chat", "edit", {"id": said["id"], "msg": "two"}, room="lobby"
        )
        await ann.request("chat", "delete", {"id": said["id"]}, room="lobby")
        joined = await bob.join("lobby")
        missed = {"epoch": joined["data"]["epoch"], "seq": 0}
        await bob.read_all()
        await bob.request("room", "join", missed, room="lobby")
        got = [one for one in await bob.read_all() if isinstance(one, dict)]
        assert [(one["type"], one["seq"]) for one in got] == [
            ("msg", 1),
            ("edited", 2),
            ("deleted", 3),
        ]


async def test_erasing_takes_back_what_a_user_said(
    gateway: type[GatewayHarness],
) -> None:
    async with lobby(gateway, "ann", "bob") as (gw, ann, bob):
        await say(bob, "one")
        await say(ann, "mine")
        await ann.request("chat", "erase", {"user": "user:bob"}, room="lobby")
        erased = await bob.expect_push("chat.erased")
        assert erased["data"] == {"user": "user:bob", "by": "user:ann"}
        assert erased["seq"] == 3
        await say(bob, "again")
        assert [one.get("msg") for one in await page(ann)] == [None, "mine", "again"]
        gw.api.call("chat", "erase", "default", "lobby", "user:ann")
        by_operator = await bob.expect_push("chat.erased")
        assert by_operator["data"] == {"user": "user:ann", "by": "operator"}
        assert [one.get("msg") for one in await page(ann)] == [None, None, "again"]


async def test_history_on_join_shows_the_last_messages(
    gateway: type[GatewayHarness],
) -> None:
    async with lobby(gateway, "ann", history_on_join=2) as (gw, ann):
        for n in range(3):
            await say(ann, f"m{n}")
        async with gw.connect("bob") as bob:
            await bob.join("lobby")
            shown = await bob.expect_push("chat.history")
            assert [one["msg"] for one in shown["data"]["messages"]] == ["m1", "m2"]
            assert shown["data"]["more"] is True
            assert "ref" not in shown


# --------------------------------------------------- typing, reactions, read receipts


async def test_typing_is_told_to_the_others_and_ends_by_itself(
    gateway: type[GatewayHarness],
) -> None:
    async with lobby(gateway, "ann", "bob") as (gw, ann, bob):
        await bob.request("chat", "typing", None, room="lobby")
        told = await ann.expect_push("chat.typing")
        assert told["data"] == {"user": "user:bob", "on": True}
        assert "seq" not in told
        assert await types(bob) == []
        await gw.advance(9)
        ann.expect_nothing()
        await gw.advance(1.2)
        told = await ann.expect_push("chat.typing")
        assert told["data"] == {"user": "user:bob", "on": False}
        assert await types(bob) == []
        assert await page(ann) == []


async def test_who_says_it_types_no_more(gateway: type[GatewayHarness]) -> None:
    async with lobby(gateway, "ann", "bob") as (gw, ann, bob):
        await bob.request("chat", "typing", {"on": True}, room="lobby")
        await gw.advance(2)
        await say(bob, "hello")
        assert await types(ann) == ["typing", "msg", "typing"]
        await bob.request("chat", "typing", {"on": True}, room="lobby")
        await gw.advance(2)
        await bob.leave("lobby")
        await gw.advance(2)
        assert (await types(ann)).count("typing") == 2


async def test_reactions_are_told_as_counts_once_a_batch(
    gateway: type[GatewayHarness],
) -> None:
    async with lobby(gateway, "ann", "bob") as (gw, ann, bob):
        id = (await say(ann, "hello"))["id"]
        await bob.read_all()
        for client in (ann, bob):
            for _ in range(2):
                data = {"id": id, "emoji": "👍"}
                await client.request("chat", "react", data, room="lobby")
        await bob.request("chat", "react", {"id": id, "emoji": "🎉"}, room="lobby")
        await gw.advance(1)
        told = await bob.expect_push("chat.reactions")
        assert told["data"] == {"id": id, "counts": {"👍": 2, "🎉": 1}}
        bob.expect_nothing()
        assert (await page(bob))[0]["reactions"] == {"👍": 2, "🎉": 1}
        back = {"id": id, "emoji": "🎉", "on": False}
        await bob.request("chat", "react", back, room="lobby")
        await gw.advance(1)
        told = await bob.expect_push("chat.reactions")
        assert told["data"]["counts"] == {"👍": 2}
        ref = await ann.send(
            "chat", "react", {"id": "none", "emoji": "x"}, room="lobby"
        )
        await ann.expect_error("NOT_FOUND", ref=ref)


async def test_what_is_refused_at_a_bound_is_counted(
    gateway: type[GatewayHarness],
) -> None:
    async with lobby(gateway, "ann", "bob", typing_max_users=1) as (gw, ann, bob):
        await ann.request("chat", "typing", None, room="lobby")
        ref = await bob.send("chat", "typing", None, room="lobby")
        await bob.expect_error("RESOURCE_EXHAUSTED", ref=ref)
        assert gw.metrics.plugin_counts["chat_refused_at_bound"] == 1


async def test_a_slow_reader_gets_the_newest_typing_and_reactions(
    gateway: type[GatewayHarness],
) -> None:
    section = {"typing_every_ms": 0, "reactions_batch_ms": 0}
    async with lobby(gateway, "ann", "bob", **section) as (gw, ann, bob):
        id = (await say(ann, "hello"))["id"]
        await bob.read_all()
        bob.slow(100, buffer=64)
        for n in range(30):
            await ann.request("chat", "typing", {"on": n % 2 == 0}, room="lobby")
            react = {"id": id, "emoji": f"e{n % 10}", "on": n < 25}
            await ann.request("chat", "react", react, room="lobby")
            await gw.advance(0.1)
        bob.slow(None)
        await gw.advance(1)
        got = [one for one in await bob.read_all() if isinstance(one, dict)]
        assert len(got) < 30
        last = {one["type"]: one["data"] for one in got}
        assert last["typing"] == {"user": "user:ann", "on": False}
        assert sorted(last["reactions"]["counts"]) == [f"e{n}" for n in range(5)]


async def test_reading_moves_a_mark_and_leaves_what_is_unread(
    gateway: type[GatewayHarness],
) -> None:
    async with lobby(gateway, "ann", "bob") as (_, ann, bob):
        for n in range(3):
            await say(ann, f"m{n}")
        await say(bob, "mine")
        got = await bob.request("chat", "read", None, room="lobby")
        assert got["data"] == {"seq": 0, "unread": 3}
        got = await bob.request("chat", "read", {"seq": 2}, room="lobby")
        assert got["data"] == {"seq": 2, "unread": 1}
        told = await ann.expect_push("chat.read")
        assert told["data"] == {"user": "user:bob", "seq": 2}
        got = await bob.request("chat", "read", {"seq": 1}, room="lobby")
        assert got["data"] == {"seq": 2, "unread": 1}
        got = await bob.request("chat", "read", {"seq": 999}, room="lobby")
        assert got["data"] == {"seq": 4, "unread": 0}


# ------------------------------------------------------------- who rules, who is out


async def test_a_muted_user_is_not_heard(gateway: type[GatewayHarness]) -> None:
    async with lobby(gateway, "ann", "bob") as (gw, ann, bob):
        mute = {"user": "user:bob", "for_s": 60}
        await ann.request("chat", "mute", mute, room="lobby")
        told = (await bob.expect_push("chat.muted"))["data"]
        assert (told["user"], told["by"]) == ("user:bob", "user:ann")
        for type, data in (("send", {"msg": "hi"}), ("typing", None)):
            ref = await bob.send("chat", type, data, room="lobby")
            await bob.expect_error("NOT_ALLOWED", ref=ref)
        await gw.advance(60)
        await say(bob, "hi")


async def test_a_kick_ends_the_membership_and_not_the_session(
    gateway: type[GatewayHarness],
) -> None:
    async with lobby(gateway, "ann", "bob") as (_, ann, bob):
        await ann.request("chat", "kick", {"user": "user:bob"}, room="lobby")
        assert await types(bob) == ["left", "kicked"]
        assert "kicked" in await types(ann)
        ref = await bob.send("chat", "send", {"msg": "hi"}, room="lobby")
        await bob.expect_error("NOT_ALLOWED", ref=ref)
        await bob.join("lobby")
        await say(bob, "hi")


async def test_who_is_banned_is_out_until_it_ends(
    gateway: type[GatewayHarness],
) -> None:
    async with lobby(gateway, "ann", "bob") as (gw, ann, bob):
        ban = {"user": "user:bob", "for_s": 60}
        await ann.request("chat", "ban", ban, room="lobby")
        assert await types(bob) == ["left", "kicked"]
        assert "banned" in await types(ann)
        ref = await bob.send("room", "join", room="lobby")
        await bob.expect_error("NOT_ALLOWED", ref=ref)
        async with gw.connect("bob") as again:
            ref = await again.send("room", "join", room="lobby")
            await again.expect_error("NOT_ALLOWED", ref=ref)
        await gw.advance(60)
        await bob.join("lobby")


async def test_who_was_banned_while_away_does_not_come_back(
    gateway: type[GatewayHarness],
) -> None:
    async with lobby(gateway, "ann") as (gw, ann):
        bob, told = await enter(gw, "bob")
        token = told["resume"]
        await bob.join("lobby")
        bob.drop_link()
        await gw.settle()
        await ann.request("chat", "ban", {"user": "user:bob"}, room="lobby")
        members = await ann.request("room", "members", None, room="lobby")
        assert [one["user"] for one in members["data"]["members"]] == ["user:ann"]
        for n in range(3):
            await say(ann, f"about bob {n}")
        back = await gw.dial(ticket="dev:bob", name="bob", resume=token)
        authed = await back.expect_push("sys.authed")
        assert authed["data"]["resumed"] is True
        assert authed["data"]["rooms"] == []
        assert await types(back) == ["left"]
        ref = await back.send("chat", "send", {"msg": "hi"}, room="lobby")
        await back.expect_error("NOT_ALLOWED", ref=ref)
        ref = await back.send("room", "join", room="lobby")
        await back.expect_error("NOT_ALLOWED", ref=ref)


async def test_who_is_kicked_while_one_of_his_connections_is_away_is_out_with_all(
    gateway: type[GatewayHarness],
) -> None:
    async with lobby(gateway, "ann", "bob") as (gw, ann, bob):
        phone, told = await enter(gw, "bob")
        token = told["resume"]
        await phone.join("lobby")
        phone.drop_link()
        await gw.settle()
        await ann.request("chat", "kick", {"user": "user:bob"}, room="lobby")
        assert "kicked" in await types(bob)
        back = await gw.dial(ticket="dev:bob", name="phone", resume=token)
        assert (await back.expect_push("sys.authed"))["data"]["rooms"] == []
        ref = await back.send("chat", "send", {"msg": "hi"}, room="lobby")
        await back.expect_push("sys.left")
        await back.expect_error("NOT_ALLOWED", ref=ref)
        await back.join("lobby")


async def test_only_who_is_invited_comes_in(gateway: type[GatewayHarness]) -> None:
    async with (
        gateway("chat") as gw,
        gw.connect("ann") as ann,
        gw.connect("bob") as bob,
    ):
        await ann.join("den")
        await ann.request("chat", "create", {"invite_only": True}, room="den")
        ref = await bob.send("room", "join", room="den")
        await bob.expect_error("NOT_ALLOWED", ref=ref)
        await ann.request("chat", "invite", {"user": "user:bob"}, room="den")
        told = await bob.expect_push("chat.invited")
        assert told["data"] == {"room": "den", "by": "user:ann"}
        await bob.join("den")
        rules = await bob.request("chat", "rules", None, room="den")
        assert rules["data"] == {
            "owner": "user:ann",
            "moderators": [],
            "role": "member",
            "invite_only": True,
            "slow_ms": 0,
            "muted": False,
        }


@pytest.mark.parametrize("invite_only", [True, False])
async def test_what_the_invited_said_is_gone_with_the_rules(
    gateway: type[GatewayHarness], invite_only: bool
) -> None:
    async with (
        gateway("chat") as gw,
        gw.connect("ann") as ann,
        gw.connect("eve") as eve,
    ):
        epoch = (await ann.join("den"))["data"]["epoch"]
        rules = {"invite_only": invite_only}
        await ann.request("chat", "create", rules, room="den")
        await ann.request("chat", "send", {"msg": "secret"}, room="den")
        await ann.request("chat", "history", None, room="den")
        await ann.request("chat", "close", None, room="den")
        missed = {"epoch": epoch, "seq": 0}
        ref = await eve.send("room", "join", missed, room="den")
        joined = await eve.expect_reply(ref)
        assert (joined["data"]["seq"], joined["data"]["recovered"]) == (
            1,
            not invite_only,
        )
        await ann.request("chat", "send", {"msg": "open"}, room="den")
        for client in (ann, eve):
            got = await client.request("chat", "history", None, room="den")
            said = [one["msg"] for one in got["data"]["messages"]]
            assert said == (["open"] if invite_only else ["secret", "open"])


async def test_roles_are_told_and_hold(gateway: type[GatewayHarness]) -> None:
    async with lobby(gateway, "ann", "bob", "cat") as (_, ann, bob, cat):
        ref = await bob.send("chat", "kick", {"user": "user:cat"}, room="lobby")
        await bob.expect_error("NOT_ALLOWED", ref=ref)
        await ann.request("chat", "promote", {"user": "user:bob"}, room="lobby")
        told = await cat.expect_push("chat.role")
        assert told["data"] == {"user": "user:bob", "role": "moderator"}
        await bob.request("chat", "kick", {"user": "user:cat"}, room="lobby")
        ref = await bob.send("chat", "mute", {"user": "user:ann"}, room="lobby")
        await bob.expect_error("NOT_ALLOWED", ref=ref)
        await ann.request("chat", "hand_over", {"user": "user:bob"}, room="lobby")
        await bob.request("chat", "demote", {"user": "user:ann"}, room="lobby")
        await bob.request("chat", "close", None, room="lobby")
        ref = await bob.send("chat", "mute", {"user": "user:ann"}, room="lobby")
        await bob.expect_error("NOT_ALLOWED", ref=ref)


async def test_nobody_takes_a_room_from_those_who_are_in_it(
    gateway: type[GatewayHarness],
) -> None:
    async with (
        gateway("chat") as gw,
        gw.connect("ann") as ann,
        gw.connect("bob") as bob,
    ):
        await ann.join("lobby")
        await bob.join("lobby")
        ref = await bob.send("chat", "create", {}, room="lobby")
        await bob.expect_error("NOT_ALLOWED", ref=ref)
        ref = await bob.send("chat", "create", {}, room="attic")
        await bob.expect_error("NOT_ALLOWED", ref=ref)


async def test_slow_mode_says_how_long_to_wait(gateway: type[GatewayHarness]) -> None:
    async with lobby(gateway, "ann", "bob") as (gw, ann, bob):
        await ann.request("chat", "slow", {"ms": 2_000}, room="lobby")
        assert (await bob.expect_push("chat.slowed"))["data"] == {"ms": 2_000}
        await say(bob, "one")
        await gw.advance(0.5)
        ref = await bob.send("chat", "send", {"msg": "two"}, room="lobby")
        await bob.expect_push("chat.msg")
        error = await bob.expect_error("RATE_LIMITED", ref=ref)
        assert error["retry_after_ms"] == 1_500
        for n in range(3):
            await say(ann, f"the owner may {n}")
        await gw.advance(1.5)
        await say(bob, "two")


async def test_a_retry_of_what_was_said_is_acknowledged_whatever_holds_now(
    gateway: type[GatewayHarness],
) -> None:
    async with lobby(gateway, "ann", "bob") as (_, ann, bob):
        await ann.request("chat", "slow", {"ms": 60_000}, room="lobby")
        said = {"msg": "one", "id": "1"}
        first = await bob.request("chat", "send", said, room="lobby")
        again = await bob.request("chat", "send", said, room="lobby")
        assert (again["type"], again["data"]) == ("ack", first["data"])
        await ann.request("chat", "mute", {"user": "user:bob"}, room="lobby")
        again = await bob.request("chat", "send", said, room="lobby")
        assert (again["type"], again["data"]) == ("ack", first["data"])
        ref = await bob.send("chat", "send", {"msg": "two", "id": "2"}, room="lobby")
        await bob.expect_error("NOT_ALLOWED", ref=ref)
        page = await ann.request("chat", "history", {}, room="lobby")
        assert [one["msg"] for one in page["data"]["messages"]] == ["one"]


# --------------------------------------------------------- direct rooms and mentions


async def test_a_direct_room_is_for_the_two_alone(
    gateway: type[GatewayHarness],
) -> None:
    async with lobby(gateway, "ann", "bob", "eve") as (_, ann, bob, eve):
        got = await ann.request("chat", "open", {"user": "user:bob"})
        room = got["data"]["room"]
        assert room == direct_room("user:bob", "user:ann")
        assert (got["type"], got["data"]["user"]) == ("opened", "user:bob")
        opened = await bob.expect_push("chat.opened")
        assert opened["data"] == {"room": room, "user": "user:ann"}
        await ann.request("chat", "send", {"msg": "psst"}, room=room)
        assert (await bob.expect_push("chat.msg"))["room"] == room
        ref = await eve.send("room", "join", room=room)
        await eve.expect_error("NOT_ALLOWED", ref=ref)
        ref = await ann.send("chat", "create", {}, room=room)
        await ann.expect_error("NOT_ALLOWED", ref=ref)
        again = await bob.request("chat", "open", {"user": "user:ann"})
        assert again["data"]["room"] == room
        # Without a room named, the lobby is still meant.
        await ann.send("chat", "send", {"msg": "hello all"})
        assert (await eve.expect_push("chat.msg"))["room"] == "lobby"


async def test_who_is_mentioned_is_told_where_he_is(
    gateway: type[GatewayHarness],
) -> None:
    async with lobby(gateway, "ann", "bob") as (gw, ann, bob), gw.connect("cat") as cat:
        said = await say(ann, "@bob and @cat, @nobody", id="once")
        msg = await bob.expect_push("chat.msg")
        assert msg["data"]["mentions"] == ["user:bob"]
        told = await cat.expect_push("chat.mentioned")
        assert told["data"] == {"room": "lobby", "id": said["id"], "from": "user:ann"}
        await say(ann, "@bob and @cat, @nobody", id="once")
        cat.expect_nothing()
        await say(ann, "you there", mentions=["user:cat"])
        await cat.expect_push("chat.mentioned")


# ---------------------------------------------------------------------------- filters


async def test_filters_change_refuse_and_shadow(gateway: type[GatewayHarness]) -> None:
    section = {
        "filters": ["words", "urls"],
        "filter_options": {
            "words": {"words": ["darn"]},
            "urls": {"hosts": ["example.com"]},
        },
    }
    async with lobby(gateway, "ann", "bob", **section) as (gw, ann, bob):
        await say(ann, "Darn it, see https://www.example.com/x")
        msg = await bob.expect_push("chat.msg")
        assert msg["data"]["msg"] == "**** it, see https://www.example.com/x"
        ref = await ann.send("chat", "send", {"msg": "http://evil.com"}, room="lobby")
        await ann.expect_push("chat.msg")
        await ann.expect_error("NOT_ALLOWED", ref=ref)
        assert gw.metrics.plugin_counts["chat_filtered"] == 2


async def test_a_shadowed_message_is_seen_by_its_sender_alone(
    gateway: type[GatewayHarness],
) -> None:
    section = {
        "filters": ["words"],
        "filter_options": {"words": {"words": ["spam"], "action": "shadow"}},
    }
    async with lobby(gateway, "ann", "bob", **section) as (_, ann, bob):
        ack = await say(ann, "buy spam")
        msg = await ann.expect_push("chat.msg")
        assert msg["data"] == {"id": ack["id"], "from": "user:ann", "msg": "buy spam"}
        assert await types(bob) == []
        assert await page(bob) == []


async def test_a_filter_that_is_not_there_refuses_to_start(
    gateway: type[GatewayHarness],
) -> None:
    config = config_with(plugins={"chat": {"filters": ["none"]}})
    with pytest.raises(ValueError, match="no filter 'none'; installed are urls, words"):
        async with gateway("chat", config=config):
            pass


# -------------------------------------------------------------------------- presence


async def who(client: ScriptedClient, user: str) -> dict[str, Any]:
    """Return what a client is told of a user whom it asks for."""
    got = await client.request("chat", "presence", {"users": [user]})
    (told,) = got["data"]["users"]
    found: dict[str, Any] = told
    return found


async def statuses(gw: GatewayHarness, client: ScriptedClient) -> list[dict[str, Any]]:
    """Return what a client is told of others' statuses in the next moments."""
    await gw.advance(2)
    got = [one for one in await client.read_all() if isinstance(one, dict)]
    return [one["data"] for one in got if one["type"] == "status"]


async def test_a_user_with_two_connections_is_one_and_gone_with_the_last(
    gateway: type[GatewayHarness],
) -> None:
    async with lobby(gateway, "ann", "bob") as (gw, ann, bob):
        phone = await gw.dial(ticket="dev:bob", name="phone")
        await phone.expect_push("sys.authed")
        await phone.join("lobby")
        ack = await phone.request("chat", "status", {"status": "busy", "text": "zzz"})
        busy = {
            "user": "user:bob",
            "status": "busy",
            "text": "zzz",
            "since_ms": ack["data"]["since_ms"],
        }
        assert await statuses(gw, ann) == [busy]
        assert await statuses(gw, bob) == [busy]
        await phone.close()
        assert await statuses(gw, ann) == []
        assert await who(ann, "user:bob") == busy
        await bob.close()
        (gone,) = await statuses(gw, ann)
        assert (gone["status"], gone["text"]) == ("offline", "zzz")
        assert gone["since_ms"] > busy["since_ms"]
        assert await who(ann, "user:bob") == gone


async def test_who_drops_and_comes_back_was_never_offline(
    gateway: type[GatewayHarness],
) -> None:
    async with lobby(gateway, "ann") as (gw, ann):
        bob, told = await enter(gw, "bob")
        token = told["resume"]
        await bob.join("lobby")
        bob.drop_link()
        assert await statuses(gw, ann) == []
        assert (await who(ann, "user:bob"))["status"] == "online"
        back = await gw.dial(ticket="dev:bob", name="bob", resume=token)
        await back.expect_push("sys.authed")
        assert await statuses(gw, ann) == []
        dropped_ms = gw.clock.wall_ms()
        back.drop_link()
        await gw.advance(31)
        (gone,) = await statuses(gw, ann)
        assert gone["status"] == "offline"
        assert gone["since_ms"] == dropped_ms


async def test_who_is_kicked_as_he_comes_is_not_here(
    gateway: type[GatewayHarness],
) -> None:
    async with (
        gateway(Bouncer("open", user="user:bob"), ChatPlugin) as gw,
        gw.connect("ann") as ann,
    ):
        bob = await gw.dial()
        await bob.send_fields(
            {"svc": "sys", "type": "auth", "data": {"ticket": "dev:bob"}}
        )
        await bob.expect_closed(4005)
        assert (await who(ann, "user:bob"))["status"] == "offline"
        assert gw.metrics.plugin_failures == {}


async def test_a_crowd_is_told_of_no_status(gateway: type[GatewayHarness]) -> None:
    section = {"status_max_members": 2}
    async with lobby(gateway, "ann", "bob", "cat", **section) as (gw, ann, bob, _):
        await bob.request("chat", "status", {"status": "away"})
        assert await statuses(gw, ann) == []
        assert (await who(ann, "user:bob"))["status"] == "away"


async def test_a_status_that_is_none_is_refused(
    gateway: type[GatewayHarness],
) -> None:
    async with lobby(gateway, "ann") as (_, ann):
        for type, data in (
            ("status", {"status": "offline"}),
            ("status", {"status": "busy", "text": "x" * 101}),
            ("presence", {"users": []}),
            ("presence", {"users": ["user:bob"] * 51}),
        ):
            ref = await ann.send("chat", type, data, ack=True)
            await ann.expect_error("BAD_REQUEST", ref=ref)


async def test_last_seen_outlives_a_restart(
    gateway: type[GatewayHarness], tmp_path: Path
) -> None:
    config = config_with(gateway={"history": {"file": str(tmp_path / "h.db")}})
    async with gateway("chat", config=config) as gw, gw.connect("bob") as bob:
        await bob.request("chat", "status", {"status": "busy", "text": "zzz"})
        await gw.advance(60)
        seen_ms = gw.clock.wall_ms()
    async with gateway("chat", config=config) as gw, gw.connect("ann") as ann:
        assert await who(ann, "user:bob") == {
            "user": "user:bob",
            "status": "offline",
            "text": "zzz",
            "since_ms": seen_ms,
        }


# -------------------------------------------------------------------- over a restart


async def stored(
    gw: GatewayHarness, count: int, client: ScriptedClient, type: str, data: object
) -> dict[str, Any]:
    """Have the lobby's next message stored by a real thread; return its ack."""
    ref = await client.send("chat", type, data, room="lobby", ack=True)
    assert await until(lambda: gw.metrics.history["stored"] == count)
    got = await client.expect_reply(ref)
    acknowledged: dict[str, Any] = got["data"]
    return acknowledged


async def test_rules_marks_and_reactions_outlive_a_restart(
    gateway: type[GatewayHarness], tmp_path: Path
) -> None:
    config = config_with(gateway={"history": {"file": str(tmp_path / "h.db")}})
    async with (
        gateway("chat", config=config) as gw,
        gw.connect("ann") as ann,
    ):
        await ann.join("lobby")
        await ann.request("chat", "create", {}, room="lobby")
        said = await stored(gw, 1, ann, "send", {"msg": "one"})
        edit = {"id": said["id"], "msg": "uno"}
        await stored(gw, 2, ann, "edit", edit)
        await ann.request("chat", "ban", {"user": "user:bob"}, room="lobby")
        await ann.request("chat", "read", {"seq": 2}, room="lobby")
        reaction = {"id": said["id"], "emoji": "+"}
        await ann.request("chat", "react", reaction, room="lobby")
    async with (
        gateway("chat", config=config) as gw,
        gw.connect("ann") as ann,
        gw.connect("bob") as bob,
    ):
        ref = await bob.send("room", "join", room="lobby")
        await bob.expect_error("NOT_ALLOWED", ref=ref)
        await ann.join("lobby")
        rules = await ann.request("chat", "rules", None, room="lobby")
        assert rules["data"]["role"] == "owner"
        got = await ann.request("chat", "read", None, room="lobby")
        assert got["data"]["seq"] == 2
        (row,) = await page(ann)
        assert (row["msg"], row["version"]) == ("uno", 2)
        assert row["reactions"] == {"+": 1}
