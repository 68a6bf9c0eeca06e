"""What a manifest says about the room of a message holds."""

from __future__ import annotations

import pytest

from wsprism_core import (
    Actions,
    Broadcast,
    BroadcastFrame,
    Envelope,
    HotFrame,
    Inbound,
    Opcode,
    Outbound,
    Reply,
    RoomRule,
    Service,
    Session,
    hookimpl,
)
from wsprism_core.testing import GatewayHarness


class Loud:
    """Says everything to the room at hand, whatever that is."""

    wsprism_api = 1

    def __init__(self) -> None:
        self.rooms: list[str | None] = []

    @hookimpl
    def register_services(self) -> Service:
        return Service(
            name="loud",
            svc_id=200,
            inbound=(
                Inbound(name="plain"),
                Inbound(name="member", room=RoomRule.MEMBER),
                Inbound(name="optional", room=RoomRule.OPTIONAL),
                Inbound(name="both", room=RoomRule.MEMBER),
            ),
            outbound=(Outbound(name="said", recoverable=True), Outbound(name="told")),
            opcodes=(
                Opcode(number=1, name="MEMBER"),
                Opcode(number=2, name="NONE", room=RoomRule.NONE),
            ),
        )

    @hookimpl
    def on_message(self, session: Session, message: Envelope) -> Actions:
        self.rooms.append(message.room)
        said = Broadcast("said", message.data, ack={"id": "1"})
        return [said, Reply("told")] if message.type == "both" else said

    @hookimpl
    def on_binary(self, session: Session, frame: HotFrame) -> Actions:
        self.rooms.append(frame.room)
        return BroadcastFrame(1, frame.payload)


@pytest.mark.parametrize("type", ["plain", "optional"])
async def test_nothing_reaches_the_room_of_strangers_by_being_named(
    gateway: type[GatewayHarness], type: str
) -> None:
    async with (
        gateway(Loud()) as gw,
        gw.connect("ann") as ann,
        gw.connect("eve") as eve,
    ):
        await ann.join("secret")
        ref = await eve.send("loud", type, {"x": 1}, room="secret")
        await eve.expect_error("INTERNAL", ref=ref)
        ann.expect_nothing()


async def test_a_type_for_members_refuses_strangers(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway(Loud()) as gw, gw.connect("eve") as eve:
        ref = await eve.send("loud", "member", {"x": 1}, room="secret")
        await eve.expect_error("NOT_ALLOWED", ref=ref)


async def test_a_room_is_shown_to_a_service_as_its_manifest_says(
    gateway: type[GatewayHarness],
) -> None:
    loud = Loud()
    async with gateway(loud) as gw, gw.connect("ann") as ann:
        alias = (await ann.join("r1"))["data"]["alias"]
        for type in ("plain", "optional", "member"):
            await ann.send("loud", type, room="r1")
        await ann.send_frame(200, 1, alias=alias)
        await ann.send_frame(200, 2, alias=alias)
        assert loud.rooms == [None, "r1", "r1", "r1", None]


async def test_an_answer_is_not_lost_because_nobody_asked_for_the_ack(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway(Loud()) as gw, gw.connect("ann") as ann:
        await ann.join("r1")
        ref = await ann.send("loud", "both", room="r1")
        assert (await ann.expect_reply(ref))["type"] == "told"
        assert list(gw.complaints()) == []


async def test_two_answers_are_one_and_a_complaint(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway(Loud()) as gw, gw.connect("ann") as ann:
        await ann.join("r1")
        ref = await ann.send("loud", "both", room="r1", ack=True)
        assert (await ann.expect_reply(ref))["type"] == "ack"
        assert len(list(gw.complaints())) == 1
