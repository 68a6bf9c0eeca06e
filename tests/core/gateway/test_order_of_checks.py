"""The first check that fails answers: a refusal tells no more than one may know."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from support.aiming import MOVE, RANGE, Range
from support.services import ANYWHERE, HERE, LAB, PICKY, RELAY, Lab
from wsprism_core import Envelope, ErrorCode, ProtocolError, hookimpl
from wsprism_core.testing import GatewayHarness, config_with

#: The order, by the words with which the reference begins each step.
ORDER = [
    *("its size", "decoding", "the rate limit", "the tenant's allowlist"),
    *("the service and the type", "the type's own largest size"),
    *("membership of the room", "the schema", "its sender's own id"),
    *("plugins that check", "its number", "the service itself"),
]
DOCS = Path(__file__).parents[3] / "docs"

#: What each check says; a message that fails several hears of the first.
TEXT = [
    ('{"svc":"lab"', "BAD_REQUEST", "JSON"),
    ('{"v":2,"bogus":1}', "UNSUPPORTED_VERSION", ""),
    ('{"svc":"closed","type":"nope","bogus":1,"room":"a b"}', "BAD_REQUEST", "bogus"),
    ('{"svc":"closed","type":"nope","room":"a b"}', "BAD_REQUEST", "room name"),
    ('{"svc":"closed","type":"nope"}', "NOT_ALLOWED", "tenant"),
    ('{"svc":"open","type":"nope"}', "BAD_REQUEST", "no such service"),
    ('{"svc":"lab","type":"nope"}', "BAD_REQUEST", "no such type"),
    (
        '{"svc":"lab","type":"picky","room":"r2","data":"' + "x" * 150 + '"}',
        "PAYLOAD_TOO_LARGE",
        "150",
    ),
    ('{"svc":"lab","type":"picky","room":"r2","data":"x"}', "NOT_ALLOWED", "room"),
    ('{"svc":"lab","type":"picky","data":{"n":"x"}}', "BAD_REQUEST", "data"),
    ('{"svc":"lab","type":"picky","data":{"n":1}}', "CONFLICT", ""),
    ('{"svc":"lab","type":"do"}', "NOT_FOUND", ""),
]
FRAMES = [
    (b"\x02", "UNSUPPORTED_VERSION", ""),
    (bytes([1, 99, 99, 0x11]), "BAD_REQUEST", "short"),
    (bytes([1, 99, 99, 0x10]), "BAD_REQUEST", "flag"),
    (bytes([1, 99, 99, 0]), "NOT_ALLOWED", "tenant"),
    (bytes([1, 100, 99, 0]), "BAD_REQUEST", "no such service"),
    (bytes([1, LAB, 99, 4, 9, 0, 0, 0]), "BAD_REQUEST", "no such opcode"),
    (
        bytes([1, LAB, PICKY, 4, 9, 0, 0, 0, *b"xxxxx"]),
        "PAYLOAD_TOO_LARGE",
        "4",
    ),
    (bytes([1, LAB, PICKY, 4, 9, 0, 0, 0, *b"xx"]), "NOT_ALLOWED", "room"),
    (bytes([1, LAB, PICKY, 0, *b"xx"]), "BAD_REQUEST", "Exact"),
    (bytes([1, LAB, PICKY, 0, *b"x"]), "NOT_FOUND", ""),
]

POLICY = {
    "ext_allowlist": ["lab:*", "room:*", "open:*"],
    "hot_allowlist": [f"{LAB}:*", "100:*"],
}


class Checker:
    """Refuses everything but `lab.do`."""

    wsprism_api = 1

    @hookimpl
    def check_message(self, message: Envelope) -> None:
        if message.type != "do":
            raise ProtocolError(ErrorCode.CONFLICT, "checked")


def not_found(*_: object) -> None:
    raise ProtocolError(ErrorCode.NOT_FOUND, "the service")


def test_the_reference_has_the_same_order() -> None:
    text = (DOCS / "reference" / "protocol.md").read_text(encoding="utf-8")
    section = text.partition("### The order of checks")[2].partition("\n### ")[0]
    steps = re.findall(r"^(\d+)\. (.+)$", section, re.MULTILINE)
    assert [int(number) for number, _ in steps] == list(range(1, len(ORDER) + 1))
    for (_, step), words in zip(steps, ORDER, strict=True):
        assert step.startswith(words)


@pytest.mark.parametrize(("message", "code", "hint"), TEXT)
async def test_text(
    gateway: type[GatewayHarness], message: str, code: str, hint: str
) -> None:
    lab = Lab()
    lab.todo = not_found
    config = config_with(policy=POLICY)
    async with gateway(lab, Checker(), config=config) as gw, gw.connect() as dev:
        await dev.join("r1")
        await dev.send_text(message)
        assert hint in (await dev.expect_error(code))["msg"]
        dev.expect_nothing()


@pytest.mark.parametrize(("message", "code", "hint"), TEXT[1:])
async def test_messagepack_is_judged_as_json_is(
    gateway: type[GatewayHarness], message: str, code: str, hint: str
) -> None:
    lab = Lab()
    lab.todo = not_found
    config = config_with(policy=POLICY)
    async with (
        gateway(lab, Checker(), config=config) as gw,
        gw.connect(codec="msgpack") as dev,
    ):
        await dev.join("r1")
        await dev.send_fields(json.loads(message))
        assert hint in (await dev.expect_error(code))["msg"]
        dev.expect_nothing()


@pytest.mark.parametrize(("message", "code", "hint"), FRAMES)
async def test_frames(
    gateway: type[GatewayHarness], message: bytes, code: str, hint: str
) -> None:
    lab = Lab()
    lab.todo_frame = not_found
    config = config_with(policy=POLICY)
    async with gateway(lab, config=config) as gw, gw.connect() as dev:
        await dev.join("r1")
        await dev.send_binary(message)
        assert hint in (await dev.expect_error(code))["msg"]
        dev.expect_nothing()


async def test_size_comes_before_everything(gateway: type[GatewayHarness]) -> None:
    config = config_with(
        policy={"rate_limit_rps": 1, "rate_limit_burst": 1},
        limits={"max_frame_bytes": 1_000},
        gateway={"max_strikes": 1},
    )
    async with gateway(Lab(), config=config) as gw, gw.connect() as dev:
        await dev.request("lab", "echo")
        # Its rate is spent, and it cannot be decoded either.
        await dev.send_text("{" * 1_001)
        await dev.expect_closed(1009)
        dev.expect_nothing()


async def test_decoding_comes_before_the_rate(gateway: type[GatewayHarness]) -> None:
    config = config_with(policy={"rate_limit_rps": 1, "rate_limit_burst": 1})
    async with gateway(Lab(), config=config) as gw, gw.connect() as dev:
        await dev.request("lab", "echo")
        await dev.send_text("{")
        await dev.expect_error("BAD_REQUEST")
        await dev.send_text('{"v":2,"svc":"lab","type":"echo"}')
        await dev.expect_error("UNSUPPORTED_VERSION")
        await dev.send_binary(bytes([1, LAB]))
        await dev.expect_error("BAD_REQUEST")
        await dev.send_binary(bytes([2, LAB, ANYWHERE, 0]))
        await dev.expect_error("UNSUPPORTED_VERSION")
        await dev.expect_error("RATE_LIMITED", ref=await dev.send("lab", "echo"))


async def test_the_rate_comes_before_whatever_a_message_would_be_refused_for(
    gateway: type[GatewayHarness],
) -> None:
    lab = Lab()
    lab.todo = lab.todo_frame = not_found
    config = config_with(policy={**POLICY, "rate_limit_rps": 1, "rate_limit_burst": 2})
    async with gateway(lab, Checker(), config=config) as gw, gw.connect() as dev:
        await dev.join("r1")
        await dev.request("sys", "ping")
        await dev.expect_error("NOT_FOUND", ref=await dev.send("lab", "do"))
        # What can be decoded, and is not refused for what it says itself.
        for message, _, hint in TEXT[4:]:
            await dev.send_text(message)
            assert "too many" in (await dev.expect_error("RATE_LIMITED"))["msg"], hint
        await gw.advance(1)
        await dev.send("lab", "do")
        await dev.expect_error("NOT_FOUND")
        for frame, _, hint in FRAMES[3:]:
            await dev.send_binary(frame)
            assert "too many" in (await dev.expect_error("RATE_LIMITED"))["msg"], hint
        dev.expect_nothing()


async def test_the_number_comes_after_the_checks_and_before_the_service(
    gateway: type[GatewayHarness],
) -> None:
    service = Range()
    async with gateway(service, Checker()) as gw, gw.connect() as dev:
        alias = (await dev.join("r1"))["data"]["alias"]
        await dev.expect_error(
            "CONFLICT", ref=await dev.send("range", "run", 1, seq=9, ack=True)
        )
        # A frame that was not taken for its room has not taken the number either.
        await dev.send_frame(RANGE, MOVE, seq=9, alias=alias + 1)
        await dev.expect_error("NOT_ALLOWED")
        for seq in (9, 9):
            await dev.send_frame(RANGE, MOVE, seq=seq, alias=alias)
        assert service.seen == [b""]
        dev.expect_nothing()


async def test_a_refusal_does_not_tell_whether_there_is_such_a_room(
    gateway: type[GatewayHarness],
) -> None:
    async with (
        gateway(Lab()) as gw,
        gw.connect(user="ann") as ann,
        gw.connect(user="bob") as bob,
    ):
        alias = (await ann.join("there"))["data"]["alias"]

        async def told(room: str, alias: int) -> list[dict[str, Any]]:
            for svc, type in (
                *(("lab", "say"), ("lab", "post"), ("lab", "picky")),
                *(("room", "leave"), ("room", "members")),
            ):
                await bob.send(svc, type, {"n": "x"}, room=room, seq=1)
            for opcode in (RELAY, HERE, PICKY):
                await bob.send_frame(LAB, opcode, b"xx", alias=alias, seq=1)
            errors = [await bob.expect_error("NOT_ALLOWED") for _ in range(8)]
            bob.expect_nothing()
            # Of ten a second a client is told.
            await gw.advance(1)
            return errors

        assert await told("there", alias) == await told("nowhere", 2**31)
        ann.expect_nothing()


async def test_the_rate_comes_before_the_allowlist(
    gateway: type[GatewayHarness],
) -> None:
    config = config_with(policy={**POLICY, "rate_limit_rps": 1, "rate_limit_burst": 1})
    async with gateway(config=config) as gw, gw.connect() as dev:
        await dev.expect_error("NOT_ALLOWED", ref=await dev.send("closed", "nope"))
        await dev.expect_error("RATE_LIMITED", ref=await dev.send("closed", "nope"))
        await dev.expect_error("RATE_LIMITED", ref=await dev.send_frame(99, 99))


async def test_the_allowlist_of_a_tenant_that_names_none(
    gateway: type[GatewayHarness],
) -> None:
    config = config_with(
        policy={"ext_allowlist": ["room:join", "room:leave"], "hot_allowlist": []}
    )
    async with gateway(Lab(), config=config) as gw, gw.connect() as dev:
        await dev.join("r1")
        await dev.expect_error("NOT_ALLOWED", ref=await dev.send("room", "members"))
        await dev.expect_error("NOT_ALLOWED", ref=await dev.send("lab", "echo"))
        await dev.expect_error("NOT_ALLOWED", ref=await dev.send_frame(LAB, ANYWHERE))
        await dev.request("sys", "ping")
        await dev.leave("r1")
