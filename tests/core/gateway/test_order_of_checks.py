"""The first check that fails answers: a refusal tells no more than one may know."""

from __future__ import annotations

import pytest

from support.services import ANYWHERE, LAB, PICKY, Lab
from wsprism_core import Envelope, ErrorCode, ProtocolError, hookimpl
from wsprism_core.testing import GatewayHarness, config_with

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
