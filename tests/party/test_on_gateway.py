"""Parties on the real gateway, with chat beside them."""

from __future__ import annotations

from wsprism_core.testing import GatewayHarness, config_with
from wsprism_game.party.plugin import PartyPlugin


async def test_a_party_from_the_first_invite_to_the_last_word(
    gateway: type[GatewayHarness],
) -> None:
    async with (
        gateway("party", "chat") as gw,
        gw.connect("ann") as ann,
        gw.connect("bob") as bob,
    ):
        created = await ann.request("party", "create")
        party = created["data"]["party"]
        await ann.request("party", "invite", {"user": "user:bob"})
        invited = await bob.expect_push("party.invited")
        assert invited["data"]["party"] == party
        await bob.request("party", "accept", {"party": party})
        state = (await ann.expect_push("party.state"))["data"]
        while len(state["members"]) < 2:
            state = (await ann.expect_push("party.state"))["data"]
        assert [row["user"] for row in state["members"]] == ["user:ann", "user:bob"]
        assert state["leader"] == "user:ann"
        await bob.request("chat", "send", {"msg": "ready?"}, room=f"party:{party}")
        said = await ann.expect_push("chat.msg")
        assert said["data"]["msg"] == "ready?"
        await ann.request("party", "promote", {"user": "user:bob"})
        await ann.request("party", "leave")
        ref = await ann.send(
            "chat", "send", {"msg": "hello?"}, room=f"party:{party}", ack=True
        )
        await ann.expect_error("NOT_ALLOWED", ref=ref)
        assert list(gw.complaints()) == []


async def test_the_match_stays_the_active_room(gateway: type[GatewayHarness]) -> None:
    async with gateway("party", "game") as gw, gw.connect("ann") as ann:
        alias = (await ann.join("match"))["data"]["alias"]
        await ann.request("party", "create")
        await ann.send_frame(1, 2, b"hit")
        assert (await ann.expect_frame(1, 2)).alias == alias


async def test_a_stranger_does_not_get_into_the_room(
    gateway: type[GatewayHarness],
) -> None:
    async with (
        gateway("party") as gw,
        gw.connect("ann") as ann,
        gw.connect("eve") as eve,
    ):
        party = (await ann.request("party", "create"))["data"]["party"]
        ref = await eve.send("room", "join", room=f"party:{party}")
        await eve.expect_error("NOT_ALLOWED", ref=ref)


async def test_who_does_not_come_back_in_time_is_out(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway("party") as gw, gw.connect("ann") as ann:
        party = (await ann.request("party", "create"))["data"]["party"]
        await ann.request("party", "invite", {"user": "user:bob"})
        async with gw.connect("bob") as bob:
            await bob.request("party", "accept", {"party": party})
            bob.drop_link()
        await gw.advance(5)
        await ann.read_all()
        async with gw.connect("bob") as bob:
            back = (await bob.expect_push("party.state"))["data"]
            assert len(back["members"]) == 2
        await gw.advance(40)
        states = [
            got["data"]
            for got in await ann.read_all()
            if isinstance(got, dict) and got["type"] == "state"
        ]
        assert [row["user"] for row in states[-1]["members"]] == ["user:ann"]


async def test_handed_over_as_a_class_it_is_the_same(
    gateway: type[GatewayHarness],
) -> None:
    config = config_with(plugins={"party": {"max_size": 3}})
    async with gateway(PartyPlugin, config=config) as gw, gw.connect() as dev:
        ref = await dev.send("party", "create", {"max_size": 4})
        await dev.expect_error("BAD_REQUEST", ref=ref)
