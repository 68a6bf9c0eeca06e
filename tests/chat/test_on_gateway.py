"""Chat on the real gateway."""

from __future__ import annotations

from wsprism_chat.plugin import ChatPlugin
from wsprism_core.testing import GatewayHarness, config_with


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
