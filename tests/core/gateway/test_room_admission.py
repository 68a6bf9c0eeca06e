"""PROTOCOL section 2: how many rooms and users, who may join, whom services join."""

from __future__ import annotations

import pytest

from support.services import LAB, RELAY, Lab, Late
from wsprism_core import (
    Actions,
    ErrorCode,
    JoinRoom,
    LeaveRoom,
    ProtocolError,
    Session,
    hookimpl,
)
from wsprism_core.testing import GatewayHarness, config_with

# ---------------------------------------------------------------------------- limits


async def test_rooms_of_a_user_are_counted_once_over_his_sessions(
    gateway: type[GatewayHarness],
) -> None:
    config = config_with(limits={"max_rooms_per_user": 2})
    async with (
        gateway(config=config) as gw,
        gw.connect(user="ann") as ann,
        gw.connect(user="ann") as too,
        gw.connect(user="bob") as bob,
    ):
        await ann.join("r1")
        await ann.join("r2")
        await too.join("r1")
        await too.join("r2")
        await ann.join("r1")
        ref = await too.send("room", "join", room="r3")
        await too.expect_error("RESOURCE_EXHAUSTED", ref=ref)
        await bob.join("r3")
        await ann.leave("r1")
        ref = await ann.send("room", "join", room="r3")
        await ann.expect_error("RESOURCE_EXHAUSTED", ref=ref)
        await too.leave("r1")
        await ann.join("r3")


async def test_a_room_counts_its_users_and_not_their_connections(
    gateway: type[GatewayHarness],
) -> None:
    config = config_with(
        limits={"max_users_per_room": 1}, gateway={"resume_window_ms": 0}
    )
    async with (
        gateway(config=config) as gw,
        gw.connect(user="ann") as ann,
        gw.connect(user="ann") as too,
        gw.connect(user="bob") as bob,
    ):
        await ann.join("r1")
        await too.join("r1")
        ref = await bob.send("room", "join", room="r1")
        await bob.expect_error("RESOURCE_EXHAUSTED", ref=ref)
        await ann.leave("r1")
        await bob.expect_error(
            "RESOURCE_EXHAUSTED", ref=await bob.send("room", "join", room="r1")
        )
        too.drop_link()
        await bob.join("r1")


async def test_a_tenants_rooms_are_counted(gateway: type[GatewayHarness]) -> None:
    config = config_with(limits={"max_rooms_total": 1}, tenants=("acme", "globex"))
    async with (
        gateway(config=config) as gw,
        gw.connect(user="ann", tenant="acme") as ann,
        gw.connect(user="bob", tenant="acme") as bob,
        gw.connect(user="ann", tenant="globex") as other,
    ):
        await ann.join("r1")
        await bob.join("r1")
        ref = await bob.send("room", "join", room="r2")
        await bob.expect_error("RESOURCE_EXHAUSTED", ref=ref)
        await other.join("r2")
        await ann.leave("r1")
        await bob.leave("r1")
        await bob.join("r2")


# ----------------------------------------------------------------------- who may join


class Guard:
    """Decides by the room's name."""

    wsprism_api = 1

    @hookimpl
    def check_join(self, room: str) -> bool | None:
        if room == "full":
            raise ProtocolError(ErrorCode.RESOURCE_EXHAUSTED, "no seat left")
        if room == "crash":
            raise RuntimeError("a fault")
        return {"no": False, "yes": True}.get(room)


@pytest.mark.parametrize(
    ("room", "code"),
    [("no", "NOT_ALLOWED"), ("full", "RESOURCE_EXHAUSTED"), ("crash", "INTERNAL")],
)
async def test_a_plugin_refuses_a_join(
    gateway: type[GatewayHarness], room: str, code: str
) -> None:
    lab = Lab()
    async with gateway(Guard(), lab) as gw, gw.connect() as dev:
        await dev.join("yes")
        await dev.join("whatever")
        ref = await dev.send("room", "join", room=room, ack=True)
        await dev.expect_error(code, ref=ref)
        assert len(gw.gateway.rooms) == 2
        assert gw.metrics.plugin_failures["Guard", "check_join"] == (code == "INTERNAL")


async def test_a_service_that_ends_a_membership_as_it_begins(
    gateway: type[GatewayHarness],
) -> None:
    class Bouncer(Late):
        @hookimpl
        def on_join(self, session: Session, room: str) -> Actions:
            return LeaveRoom(session.id, room)

    async with gateway(Bouncer(), Lab()) as gw, gw.connect() as dev:
        ref = await dev.send("room", "join", room="r1", ack=True)
        await dev.expect_error("NOT_ALLOWED", ref=ref)
        await dev.expect_error("BAD_REQUEST", ref=await dev.send_frame(LAB, RELAY))
        assert len(gw.gateway.rooms) == 0


# ------------------------------------------------------- memberships that services make


async def test_a_service_joins_and_leaves_for_a_session(
    gateway: type[GatewayHarness],
) -> None:
    lab = Lab()
    async with gateway(lab) as gw, gw.connect() as dev:
        lab.todo = lambda session, _: JoinRoom(session.id, "r1")
        await dev.send("lab", "do")
        joined = await dev.expect_push("sys.joined")
        assert (joined["room"], joined["data"]["n"]) == ("r1", 1)
        await dev.send("lab", "say")
        await dev.expect_push("lab.said")
        lab.todo = lambda session, _: LeaveRoom(session.id, "r1")
        await dev.send("lab", "do")
        assert (await dev.expect_push("sys.left"))["room"] == "r1"


async def test_a_quiet_membership_is_an_audience(
    gateway: type[GatewayHarness],
) -> None:
    lab = Lab()
    lab.todo = lambda session, _: JoinRoom(session.id, "r1", quiet=True)
    async with (
        gateway(lab) as gw,
        gw.connect(user="ann") as ann,
        gw.connect(user="bob") as bob,
    ):
        await ann.join("r1")
        await bob.send("lab", "do")
        await gw.advance(1)
        ann.expect_nothing()
        bob.expect_nothing()
        await ann.send("lab", "say", room="r1")
        await bob.expect_push("lab.said")
        for type in ("leave", "members"):
            ref = await bob.send("room", type, room="r1")
            await bob.expect_error("NOT_ALLOWED", ref=ref)
        assert (await bob.join("r1"))["data"]["n"] == 2
        await ann.read_all()
        await ann.send("lab", "say", room="r1")
        await bob.expect_push("lab.said")
        bob.expect_nothing()
