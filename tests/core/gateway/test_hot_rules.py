"""PROTOCOL section 3: hot frames."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.services import ANYWHERE, DO, HERE, LAB, OUTBOUND, PICKY, RELAY, Lab
from wsprism_core import (
    BroadcastFrame,
    ErrorCode,
    HotFrame,
    ProtocolError,
    PushFrame,
)
from wsprism_core.protocol.hotframe import encode_hot_frame
from wsprism_core.protocol.layout import HotFlag
from wsprism_core.testing import GatewayHarness, config_with

VECTORS = json.loads(
    (Path(__file__).parents[2] / "vectors" / "hotframe.json").read_text()
)
SILENT = {"hot_error_mode": "silent"}


@pytest.mark.parametrize(
    "row",
    [pytest.param(row, id=row["name"]) for row in VECTORS["inbound"] if "error" in row],
)
async def test_vectors_of_what_is_refused(
    gateway: type[GatewayHarness], row: dict[str, Any]
) -> None:
    config = config_with(gateway={"max_strikes": 1})
    async with gateway(Lab(), config=config) as gw, gw.connect() as dev:
        await dev.send_binary(bytes.fromhex(row["hex"]))
        await dev.expect_error(row["error"]["code"], ref=row["error"]["ref"])
        dev.expect_nothing()
        await dev.send_binary(bytes.fromhex(row["hex"]))
        await dev.read_all()
        assert (dev.closed is not None) == row["error"]["strike"]


async def test_a_relayed_frame_says_who_sent_it(gateway: type[GatewayHarness]) -> None:
    async with (
        gateway(Lab()) as gw,
        gw.connect(user="ann") as ann,
        gw.connect(user="bob") as bob,
    ):
        await ann.join("r1")
        alias = (await bob.join("r1"))["data"]["alias"]
        await bob.send_frame(LAB, RELAY, b"move", seq=2**32 - 1, ack=True)
        for client in (ann, bob):
            frame = await client.expect_frame(LAB, RELAY)
            flags = HotFlag.SEQ | HotFlag.ROOM | HotFlag.SENDER
            assert frame == HotFrame(
                LAB, RELAY, flags, b"move", seq=2**32 - 1, alias=alias, sender=2
            )
        ann.expect_nothing()


async def test_a_frame_without_seq_is_relayed_without(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway(Lab()) as gw, gw.connect() as dev:
        await dev.join("r1")
        await dev.send_binary(encode_hot_frame(LAB, RELAY, b""))
        assert (await dev.expect_frame()).seq is None


async def test_every_member_sees_the_rooms_order(
    gateway: type[GatewayHarness],
) -> None:
    async with (
        gateway(Lab()) as gw,
        gw.connect(user="ann") as ann,
        gw.connect(user="bob") as bob,
    ):
        await ann.join("r1")
        await bob.join("r1")
        for number in range(10):
            await (ann, bob)[number % 2].send_frame(LAB, RELAY, bytes([number]))
        for client in (ann, bob):
            frames = await client.read_all()
            got = [f.payload for f in frames if isinstance(f, HotFrame)]
            assert got == [bytes([number]) for number in range(10)]


# ------------------------------------------------------------------------------ rooms


async def test_the_alias_names_the_room_and_else_it_is_the_active_one(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway(Lab()) as gw, gw.connect() as dev:
        first = (await dev.join("r1"))["data"]["alias"]
        second = (await dev.join("r2"))["data"]["alias"]
        await dev.send_frame(LAB, RELAY, alias=first)
        assert (await dev.expect_frame()).alias == first
        await dev.send_frame(LAB, RELAY)
        assert (await dev.expect_frame()).alias == second


async def test_the_alias_is_one_for_all_members_and_not_given_again(
    gateway: type[GatewayHarness],
) -> None:
    async with (
        gateway() as gw,
        gw.connect(user="ann") as ann,
        gw.connect(user="bob") as bob,
    ):
        assert (
            (await ann.join("r1"))["data"]["alias"]
            == (await bob.join("r1"))["data"]["alias"]
            == 1
        )
        await ann.leave("r1")
        await bob.leave("r1")
        assert (await ann.join("r2"))["data"]["alias"] == 2


@pytest.mark.parametrize("alias", [0, 1, 2, 2**32 - 1])
async def test_an_alias_of_a_room_that_one_is_not_in(
    gateway: type[GatewayHarness], alias: int
) -> None:
    async with (
        gateway(Lab()) as gw,
        gw.connect(user="ann") as ann,
        gw.connect(user="bob") as bob,
    ):
        assert (await ann.join("r1"))["data"]["alias"] == 1
        for opcode in (RELAY, ANYWHERE):
            ref = await bob.send_frame(LAB, opcode, alias=alias)
            await bob.expect_error("NOT_ALLOWED", ref=ref)
        ann.expect_nothing()


async def test_a_frame_for_no_room(gateway: type[GatewayHarness]) -> None:
    async with gateway(Lab()) as gw, gw.connect() as dev:
        await dev.expect_error("BAD_REQUEST", ref=await dev.send_frame(LAB, RELAY))
        await dev.send_frame(LAB, ANYWHERE, ack=True)
        assert (await dev.expect_frame()).opcode == 0


async def test_a_tenant_may_leave_it_to_the_service(
    gateway: type[GatewayHarness],
) -> None:
    rooms: list[str | None] = []
    lab = Lab()
    lab.todo_frame = lambda _, frame: rooms.append(frame.room)
    config = config_with(policy={"hot_requires_active_room": False})
    async with gateway(lab, config=config) as gw, gw.connect() as dev:
        await dev.send_frame(LAB, PICKY, b"x", ack=True)
        assert (await dev.expect_frame()).alias is None
        await dev.join("r1")
        await dev.send_frame(LAB, PICKY, b"x")
    assert rooms == [None, "r1"]


# ------------------------------------------------------------------------------- ACK


async def test_an_ack_is_opcode_0_with_the_same_seq(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway(Lab()) as gw, gw.connect() as dev:
        await dev.send_frame(LAB, ANYWHERE, seq=7, ack=True)
        assert await dev.read_all() == [HotFrame(LAB, 0, HotFlag.SEQ, b"", seq=7)]
        alias = (await dev.join("r1"))["data"]["alias"]
        await dev.send_frame(LAB, HERE, seq=0, ack=True)
        assert await dev.read_all() == [
            HotFrame(LAB, 0, HotFlag.SEQ | HotFlag.ROOM, b"", seq=0, alias=alias)
        ]
        await dev.send_frame(LAB, ANYWHERE, seq=8)
        dev.expect_nothing()


async def test_a_refused_frame_is_answered_by_an_error_and_no_ack(
    gateway: type[GatewayHarness],
) -> None:
    def refuse(*_: object) -> None:
        raise ProtocolError(ErrorCode.NOT_FOUND, "no")

    lab = Lab()
    lab.todo_frame = refuse
    async with gateway(lab) as gw, gw.connect() as dev:
        ref = await dev.send_frame(LAB, DO, ack=True)
        await dev.expect_error("NOT_FOUND", ref=ref)
        dev.expect_nothing()


# --------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (encode_hot_frame(99, 1, b""), "BAD_REQUEST"),
        (encode_hot_frame(LAB, 0, b"", seq=1), "BAD_REQUEST"),
        (encode_hot_frame(LAB, 77, b""), "BAD_REQUEST"),
        (encode_hot_frame(LAB, OUTBOUND, b""), "BAD_REQUEST"),
        (encode_hot_frame(LAB, PICKY, b"xxxxx"), "PAYLOAD_TOO_LARGE"),
        (encode_hot_frame(LAB, PICKY, b""), "BAD_REQUEST"),
        (encode_hot_frame(LAB, PICKY, b"xx"), "BAD_REQUEST"),
        (bytes([1, LAB, ANYWHERE, 2]), "BAD_REQUEST"),
        (bytes([1, LAB, ANYWHERE, 0x10]), "BAD_REQUEST"),
        (bytes([1, LAB, ANYWHERE, 0x80]), "BAD_REQUEST"),
        (bytes([1, LAB, ANYWHERE, 8, 1, 0, 0, 0]), "BAD_REQUEST"),
        (bytes([2]), "UNSUPPORTED_VERSION"),
        (bytes([0, LAB, ANYWHERE, 0]), "UNSUPPORTED_VERSION"),
    ],
)
async def test_what_is_refused(
    gateway: type[GatewayHarness], frame: bytes, code: str
) -> None:
    lab = Lab()
    async with gateway(lab) as gw, gw.connect() as dev:
        await dev.join("r1")
        await dev.send_binary(frame)
        await dev.expect_error(code)
        dev.expect_nothing()
        assert not gw.metrics.plugin_failures

    async with (
        gateway(lab, config=config_with(policy=SILENT)) as gw,
        gw.connect() as dev,
    ):
        await dev.join("r1")
        await dev.send_binary(frame)
        dev.expect_nothing()
        assert gw.metrics.errors["default", code] == 1
        assert gw.metrics.errors_silenced == 1


async def test_silence_is_for_frames_alone(gateway: type[GatewayHarness]) -> None:
    lab = Lab()
    config = config_with(policy=SILENT)
    async with gateway(lab, config=config) as gw, gw.connect() as dev:
        await dev.send_frame(LAB, RELAY, ack=True)
        dev.expect_nothing()
        await dev.expect_error("BAD_REQUEST", ref=await dev.send("nope", "nope"))
        await dev.send_binary(b"\x80")
        await dev.expect_error("BAD_REQUEST")


# ------------------------------------------------------------- frames of the service


async def test_frames_that_the_service_makes(gateway: type[GatewayHarness]) -> None:
    lab = Lab()
    async with (
        gateway(lab) as gw,
        gw.connect(user="ann") as ann,
        gw.connect(user="bob") as bob,
    ):
        await ann.join("r1")
        alias = (await bob.join("r1"))["data"]["alias"]
        lab.todo_frame = lambda session, _: [
            BroadcastFrame(OUTBOUND, b"all", seq=1, exclude=session.id),
            PushFrame(OUTBOUND, b"you", session=session.id, room="r1"),
            PushFrame(OUTBOUND, b"bob", user="user:bob"),
        ]
        await ann.send_frame(LAB, HERE)
        assert await ann.read_all() == [
            HotFrame(LAB, OUTBOUND, HotFlag.ROOM, b"you", alias=alias)
        ]
        assert await bob.read_all() == [
            HotFrame(
                LAB, OUTBOUND, HotFlag.SEQ | HotFlag.ROOM, b"all", seq=1, alias=alias
            ),
            HotFrame(LAB, OUTBOUND, 0, b"bob"),
        ]
