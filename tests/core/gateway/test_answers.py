"""PROTOCOL section 2: who gets an answer, which one, and how many."""

from __future__ import annotations

from typing import Any

import pytest

from support.services import DO, LAB, RELAY, Lab
from wsprism_core import (
    Ack,
    Action,
    Broadcast,
    ErrorCode,
    HotFrame,
    ProtocolError,
    Push,
    Reply,
)
from wsprism_core.protocol.codecs import MSGPACK
from wsprism_core.testing import GatewayHarness, ScriptedClient


def answers(client: ScriptedClient, ref: int) -> list[str]:
    """Return the types of what answers a message, of all that is unread."""
    return [
        f"{got['svc']}.{got['type']}"
        for got in client.unread
        if isinstance(got, dict) and got.get("ref") == ref
    ]


@pytest.mark.parametrize(
    ("svc", "type", "data", "answer"),
    [
        ("lab", "echo", 1, "lab.echoed"),
        ("lab", "say", 1, "sys.ack"),
        ("lab", "post", 1, "sys.ack"),
        ("lab", "do", 1, "sys.ack"),
        ("lab", "picky", {}, "sys.error"),
        ("lab", "nope", 1, "sys.error"),
        ("nope", "nope", 1, "sys.error"),
        ("room", "join", None, "sys.joined"),
        ("room", "leave", None, "sys.left"),
        ("room", "members", None, "room.members"),
        ("room", "members", {"limit": 0}, "sys.error"),
        ("sys", "ping", {"client_ts": 1}, "sys.pong"),
        ("sys", "refresh", {"ticket": "dev"}, "sys.authed"),
        ("sys", "auth", {"ticket": "dev"}, "sys.error"),
    ],
)
async def test_who_asks_gets_exactly_one_answer(
    gateway: type[GatewayHarness], svc: str, type: str, data: Any, answer: str
) -> None:
    async with gateway(Lab()) as gw, gw.connect() as dev:
        await dev.join("r1")
        ref = await dev.send(svc, type, data, room="r1", ack=True)
        await gw.advance(10)
        assert answers(dev, ref) == [answer]


@pytest.mark.parametrize("client_ts", [None, 0, 1.5, "x", [1]])
async def test_a_ping_is_answered_with_both_times(
    gateway: type[GatewayHarness], client_ts: object
) -> None:
    async with gateway() as gw, gw.connect() as dev:
        pong = await dev.request("sys", "ping", {"client_ts": client_ts})
        now = gw.clock.wall_ms()
        assert pong["data"] == {"client_ts": client_ts, "server_ts": now}


async def test_an_ack_carries_what_the_service_says_of_it(
    gateway: type[GatewayHarness],
) -> None:
    lab = Lab()
    lab.todo = lambda *_: Ack({"seen": True})
    async with gateway(lab) as gw, gw.connect() as dev:
        await dev.join("r1")
        assert (await dev.request("lab", "do"))["data"] == {"seen": True}
        assert "data" not in await dev.request("lab", "say", room="r1")
        posted = await dev.request("lab", "post", room="r1")
        assert posted["data"] == {"id": "p1", "seq": 1, "ts": gw.clock.wall_ms()}


@pytest.mark.parametrize("type", ["say", "post", "do"])
async def test_who_does_not_ask_gets_no_ack(
    gateway: type[GatewayHarness], type: str
) -> None:
    async with gateway(Lab()) as gw, gw.connect() as dev:
        await dev.join("r1")
        ref = await dev.send("lab", type, room="r1")
        assert answers(dev, ref) == []


async def test_errors_come_whether_asked_for_or_not(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway() as gw, gw.connect() as dev:
        ref = await dev.send("nope", "nope")
        await dev.expect_error("BAD_REQUEST", ref=ref)
        await dev.send_fields({"svc": "nope", "type": "nope"})
        (error,) = await dev.read_all()
        assert isinstance(error, dict)
        assert "ref" not in error


async def test_an_answer_cannot_be_asked_for_without_a_seq(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway(Lab()) as gw, gw.connect() as dev:
        await dev.send_fields({"svc": "lab", "type": "echo", "flags": 4})
        await dev.expect_error("BAD_REQUEST")
        dev.expect_nothing()


async def test_an_answer_comes_after_the_effects_that_it_reports(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway(Lab()) as gw, gw.connect() as dev:
        await dev.join("r1")
        for type, effect in (("say", "said"), ("post", "posted")):
            await dev.send("lab", type, room="r1", ack=True)
            got = [one["type"] for one in await dev.read_all() if isinstance(one, dict)]
            assert got == [effect, "ack"]
        await dev.send_frame(LAB, RELAY, ack=True)
        frames = await dev.read_all()
        assert [isinstance(f, HotFrame) and f.opcode for f in frames] == [RELAY, 0]


@pytest.mark.parametrize(
    "actions",
    [
        [Reply("echoed", 1), Reply("echoed", 2)],
        [Reply("echoed", 1), Push("unknown", 2, session="1")],
        [Reply("echoed", 1), Push("said", 2)],
    ],
)
async def test_a_service_that_fails_behind_its_answer_gives_no_second_one(
    gateway: type[GatewayHarness], actions: list[Action]
) -> None:
    lab = Lab()
    lab.todo = lambda *_: actions
    async with gateway(lab) as gw, gw.connect() as dev:
        ref = await dev.send("lab", "do", ack=True)
        assert answers(dev, ref) == ["lab.echoed"]
        assert gw.metrics.plugin_failures["lab", "on_message"] == 1
        ref = await dev.send("lab", "do")
        assert answers(dev, ref) == ["lab.echoed"]


@pytest.mark.parametrize(
    "action",
    [
        Reply("unknown", 1),
        Reply("echoed", {1}),
        Ack({1}),
        Broadcast("posted", {1}, ack={"id": 1}),
        Broadcast("posted", 1, ack={"id": {1}}),
    ],
)
async def test_an_answer_that_cannot_be_sent_is_an_error_instead(
    gateway: type[GatewayHarness], action: Action
) -> None:
    lab = Lab()
    lab.todo = lambda *_: action
    async with gateway(lab) as gw, gw.connect() as dev:
        await dev.join("r1")
        ref = await dev.send("lab", "do", room="r1", ack=True)
        await dev.expect_error("INTERNAL", ref=ref)
        assert answers(dev, ref) == []
        assert gw.metrics.plugin_failures["lab", "on_message"] == 1


async def test_the_answer_to_a_frame_may_be_a_reply(
    gateway: type[GatewayHarness],
) -> None:
    lab = Lab()
    lab.todo_frame = lambda *_: Reply("echoed", "a frame")
    async with gateway(lab) as gw, gw.connect() as dev:
        ref = await dev.send_frame(LAB, DO, ack=True)
        assert (await dev.expect_reply(ref))["data"] == "a frame"
        dev.expect_nothing()


async def test_a_refusal_says_when_to_try_again(gateway: type[GatewayHarness]) -> None:
    def refuse(*_: object) -> None:
        raise ProtocolError(ErrorCode.TIMEOUT, "not now", retry_after_ms=250)

    lab = Lab()
    lab.todo = refuse
    async with gateway(lab) as gw, gw.connect() as dev:
        ref = await dev.send("lab", "do")
        assert await dev.expect_error(ref=ref) == {
            "code": "TIMEOUT",
            "msg": "not now",
            "retry_after_ms": 250,
        }


@pytest.mark.parametrize("code", ErrorCode)
async def test_a_service_may_refuse_with_any_code(
    gateway: type[GatewayHarness], code: ErrorCode
) -> None:
    def refuse(*_: object) -> None:
        raise ProtocolError(code, "no")

    lab = Lab()
    lab.todo = lab.todo_frame = refuse
    async with gateway(lab) as gw, gw.connect() as dev:
        await dev.expect_error(code, ref=await dev.send("lab", "do"))
        await dev.expect_error(code, ref=await dev.send_frame(LAB, DO))
        assert gw.metrics.errors["default", code] == 2
        assert not gw.metrics.plugin_failures


async def test_a_client_is_told_of_ten_errors_a_second(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway() as gw, gw.connect() as ann, gw.connect() as bob:
        for _ in range(15):
            await ann.send("nope", "nope", ack=True)
        assert len(await ann.read_all()) == 10
        assert gw.metrics.errors["default", "BAD_REQUEST"] == 15
        assert gw.metrics.errors_silenced == 5
        await bob.send("nope", "nope")
        await bob.expect_error()
        await gw.advance(1)
        await ann.send("nope", "nope")
        await ann.expect_error()


async def test_each_error_has_a_trace_id_of_its_own(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway() as gw, gw.connect() as dev:
        for _ in range(3):
            await dev.send("nope", "nope")
        got = await dev.read_all()
        assert len({one["trace_id"] for one in got if isinstance(one, dict)}) == 3


# ----------------------------------------------------------------------- their lanes


async def test_answers_ride_the_lane_of_what_they_answer(
    gateway: type[GatewayHarness],
) -> None:
    lab = Lab()
    lab.todo = lambda session, _: Push("big", "x" * 100, session=session.id)
    async with gateway(lab) as gw, gw.connect() as dev:
        await dev.join("r1")
        dev.slow(0, buffer=0)
        await dev.send("lab", "do")  # fills the socket
        await dev.send("lab", "do")
        await dev.send("lab", "say", 1, ack=True, seq=101)
        await dev.send("lab", "picky", {}, seq=102)
        await dev.send("lab", "echo", 2, seq=103)
        await dev.send_frame(LAB, RELAY, seq=104, ack=True)
        await dev.send("nope", "nope", seq=105)
        await dev.send("room", "join", room="r2", seq=106)
        await dev.send("sys", "ping", seq=107)
        dev.slow(None)
        await gw.settle()
        got = [
            (one["type"], one.get("ref"))
            if isinstance(one, dict)
            else ("frame", one.opcode)
            for one in await dev.read_all()
        ]
        assert got == [
            ("big", None),
            # control
            ("error", 105),
            ("joined", 106),
            ("pong", 107),
            # realtime
            ("frame", RELAY),
            ("frame", 0),
            # interactive
            ("said", None),
            ("ack", 101),
            ("error", 102),
            ("echoed", 103),
            # bulk
            ("big", None),
        ]


async def test_an_answer_of_the_core_that_comes_out_too_large(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway() as gw, gw.connect() as dev:
        # As JSON, in which it is answered, it is six times as long.
        ping = {"svc": "sys", "type": "ping", "data": {"client_ts": "\x00" * 30_000}}
        await dev.send_binary(MSGPACK.encode(ping))
        await dev.expect_error("PAYLOAD_TOO_LARGE")
        await dev.request("sys", "ping", {"client_ts": 1})
