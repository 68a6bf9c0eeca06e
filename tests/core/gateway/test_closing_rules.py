"""PROTOCOL section 5: when a connection is closed, with what, and in which order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from support.services import ANYWHERE, LAB, Lab
from wsprism_core import (
    Actions,
    CloseCode,
    Envelope,
    Kick,
    Push,
    Session,
    hookimpl,
)
from wsprism_core.protocol.framing import encode_close, encode_frame
from wsprism_core.protocol.layout import FrameKind
from wsprism_core.testing import GatewayHarness, ScriptedClient, config_with
from wsprism_core.transports.memory import MemoryLink

NO_PINGS = {"ping_interval_ms": 0}


# ------------------------------------------------------------------- idle and no pong


async def test_a_connection_that_answers_no_ping(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway() as gw, gw.connect() as dev:
        dev.answers_pings = False
        await gw.advance(29)
        assert dev.closed is None
        await gw.advance(4)
        assert await dev.expect_closed(4003) == "no pong came"


async def test_a_pong_that_may_wait_for_its_turn_is_waited_for(
    gateway: type[GatewayHarness], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway() as gw, gw.connect() as dev:
        dev.answers_pings = False
        with monkeypatch.context() as patch:
            patch.setattr(MemoryLink, "is_behind", lambda _: True)
            await gw.advance(100)
            assert dev.closed is None
        await gw.advance(4)
        assert await dev.expect_closed(4003) == "no pong came"


async def test_pings_come_as_often_as_authed_says(
    gateway: type[GatewayHarness],
) -> None:
    config = config_with(gateway={"ping_interval_ms": 8000})
    async with gateway(config=config) as gw, gw.connect() as dev:
        assert dev.authed["ping_ms"] == 8000
        ping = encode_frame(FrameKind.PING, b"")
        # They come at the ticks of the wheel, so a little later.
        await gw.advance(0.1)
        for _ in range(5):
            dev.slow(0)
            await gw.advance(8)
            assert dev.link.waiting == len(ping)
            dev.slow(None)
            await gw.settle()


async def test_other_messages_are_no_pong(gateway: type[GatewayHarness]) -> None:
    async with gateway() as gw, gw.connect() as dev:
        dev.answers_pings = False
        for _ in range(40):
            await dev.send("sys", "ping")
            await gw.advance(1)
        await dev.expect_closed(4003)


async def test_an_idle_connection(gateway: type[GatewayHarness]) -> None:
    async with gateway(config=config_with(gateway=NO_PINGS)) as gw, gw.connect() as dev:
        await gw.advance(60)
        assert dev.closed is None
        await gw.advance(5)
        assert "nothing was heard" in await dev.expect_closed(4002)


@pytest.mark.parametrize(
    "say",
    [
        pytest.param(lambda dev: dev.link.send_pong(), id="pong"),
        pytest.param(lambda dev: dev.link.send_ping(), id="ping"),
        pytest.param(lambda dev: dev.link.send_text(b"{}"), id="text"),
        pytest.param(lambda dev: dev.link.send_binary(b"\x80"), id="envelope"),
        pytest.param(lambda dev: dev.link.send_binary(b"\x01"), id="frame"),
    ],
)
async def test_any_inbound_frame_counts_against_idle(
    gateway: type[GatewayHarness], say: Callable[[ScriptedClient], None]
) -> None:
    config = config_with(gateway=NO_PINGS)
    async with gateway(config=config) as gw, gw.connect() as dev:
        for _ in range(5):
            await gw.advance(50)
            say(dev)
        await gw.advance(50)
        assert dev.closed is None


async def test_a_ping_is_answered_with_its_payload(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway() as gw, gw.connect() as dev:
        dev.slow(0)
        dev.link.send_ping(b"hello")
        await gw.settle()
        assert (FrameKind.PONG, b"hello") in dev.link.received()


# -------------------------------------------------------------------- slow consumers


def push(count: int, size: int = 1000) -> Callable[[Session, Envelope], Actions]:
    return lambda session, _: [
        Push("said", "x" * size, session=session.id) for _ in range(count)
    ]


async def test_a_reader_that_stands_still_is_closed_at_the_lanes_bound(
    gateway: type[GatewayHarness],
) -> None:
    lab = Lab()
    async with (
        gateway(lab) as gw,
        gw.connect(user="ann") as ann,
        gw.connect(user="bob") as bob,
    ):
        await ann.join("r1")
        await bob.join("r1")
        ann.slow(0)
        for _ in range(1000):
            await bob.send("lab", "say", "x" * 1000, room="r1")
        assert len(gw.gateway.sessions) == 2
        for _ in range(100):
            await bob.send("lab", "say", "x" * 1000, room="r1")
        assert len(gw.gateway.sessions) == 1
        # The others have missed nothing.
        assert len(await bob.read_all()) == 1100
        # It may come back to its seat.
        await gw.advance(31)
        assert (await bob.request("room", "members", room="r1"))["data"]["count"] == 1
        ann.slow(None)
        await ann.expect_closed(4001)


async def test_a_reader_that_keeps_up_is_not_slow(
    gateway: type[GatewayHarness],
) -> None:
    lab = Lab()
    lab.todo = push(50)
    async with gateway(lab) as gw, gw.connect() as dev:
        dev.slow(60_000)
        for _ in range(60):
            await dev.send("lab", "do")
            await gw.advance(1)
        await gw.advance(5)
        assert len(await dev.read_all()) == 60 * 50


async def test_what_one_turn_brings_is_no_reason_while_the_socket_takes_it(
    gateway: type[GatewayHarness],
) -> None:
    lab = Lab()
    lab.todo = push(3000)
    async with gateway(lab) as gw, gw.connect() as dev:
        await dev.send("lab", "do")
        assert len(await dev.read_all()) == 3000


async def test_a_slow_reader_is_closed_when_its_own_handler_fills_the_lane(
    gateway: type[GatewayHarness],
) -> None:
    lab = Lab()
    lab.todo = push(3000)
    async with gateway(lab) as gw, gw.connect() as dev:
        dev.slow(0)
        await dev.send("lab", "do")
        assert len(gw.gateway.sessions) == 0
        dev.slow(None)
        assert await dev.expect_closed(4001) == "you read too slowly"


# --------------------------------------------------------------------------- kicked


async def test_who_is_kicked_is_told_why(gateway: type[GatewayHarness]) -> None:
    lab = Lab()
    async with (
        gateway(lab) as gw,
        gw.connect(user="ann") as ann,
        gw.connect(user="ann") as too,
        gw.connect(user="bob") as bob,
    ):
        lab.todo = lambda *_: Kick("spam", user="user:ann", code=CloseCode.BANNED)
        await bob.send("lab", "do")
        for client in (ann, too):
            assert (await client.expect_push("sys.kicked"))["data"] == {
                "reason": "spam"
            }
            assert await client.expect_closed(4501) == "spam"
        bob.expect_nothing()
        assert bob.closed is None


async def test_a_kick_lets_its_own_sender_go_last(
    gateway: type[GatewayHarness],
) -> None:
    lab = Lab()
    lab.todo = lambda session, _: [
        Push("said", "before", session=session.id),
        Kick("bye", session=session.id),
        Push("said", "behind", session=session.id),
    ]
    async with gateway(lab) as gw, gw.connect() as dev:
        await dev.send("lab", "do", ack=True)
        got = [one["type"] for one in await dev.read_all() if isinstance(one, dict)]
        # control goes before interactive
        assert sorted(got) == ["kicked", "said"]
        await dev.expect_closed(4005)


class Witness(Lab):
    """Looks around when a session is over.

    Attributes:
        seen: What was there then: code, own sessions, members of r1, bytes written.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clients: dict[str, ScriptedClient] = {}
        self.seen: list[tuple[Any, ...]] = []

    @hookimpl
    def on_close(self, session: Session, code: int, reason: str) -> None:
        self.seen.append(
            (
                code,
                len(list(self.gateway.sessions_of("default", session.user))),
                len(list(self.gateway.members("default", "r1"))),
                list(session.rooms),
                self.clients[session.user].link.waiting,
            )
        )


@pytest.mark.parametrize(
    "end",
    ["kick", "drain", "strikes", "no pong", "too big", "its own close"],
)
async def test_a_session_has_left_everything_before_its_close_is_written(
    gateway: type[GatewayHarness], end: str
) -> None:
    witness = Witness()
    config = config_with(
        gateway={"max_strikes": 1, "drain_grace_ms": 0, "resume_window_ms": 0}
    )
    async with gateway(witness, config=config) as gw, gw.connect(user="ann") as ann:
        witness.clients["user:ann"] = ann
        await ann.join("r1")
        ann.slow(0)
        match end:
            case "kick":
                gw.api.perform(
                    Kick("out", user="user:ann"), svc="lab", tenant="default"
                )
            case "drain":
                await gw.gateway.drain()
            case "strikes":
                await ann.send_text("{")
                await ann.send_text("{")
            case "no pong":
                await gw.advance(40)
            case "too big":
                await ann.send_text("x" * 70_000)
            case "its own close":
                ann.link.close(1000)
        ((code, sessions, members, rooms, _),) = witness.seen
        assert (sessions, members, rooms) == (0, 0, [])
        ann.link.received()
        assert (
            ann.link.ended
            == {
                "kick": (4005, "out"),
                "drain": (1001, "draining"),
                "strikes": (1008, "too many malformed messages"),
                "no pong": (4003, "no pong came"),
                "too big": (1009, "a frame over 65536 bytes"),
                "its own close": (1000, ""),
            }[end]
        )
        assert ann.link.ended[0] == code
        assert len(gw.gateway.sessions) == len(gw.gateway.rooms) == 0
        assert gw.metrics.closes == {code: 1}


async def test_the_close_frame_is_written_after_the_session_is_over(
    gateway: type[GatewayHarness],
) -> None:
    witness = Witness()
    async with gateway(witness) as gw, gw.connect(user="ann") as ann:
        witness.clients["user:ann"] = ann
        ann.slow(0)
        gw.api.perform(Kick("out", user="user:ann"), svc="lab", tenant="default")
        written_before = witness.seen[0][-1]
        close = encode_frame(FrameKind.CLOSE, encode_close(4005, "out"))
        assert ann.link.waiting == written_before + len(close)


async def test_nothing_comes_of_what_is_sent_to_a_closed_session(
    gateway: type[GatewayHarness],
) -> None:
    lab = Lab()
    async with gateway(lab) as gw, gw.connect(user="ann") as ann:
        (session,) = gw.api.sessions_of("default", "user:ann")
        await ann.close()
        for push in (
            Push("said", 1, session=session.id),
            Push("said", 1, user="user:ann"),
            Push("said", 1, everyone=True),
        ):
            gw.api.perform(push, svc="lab", tenant="default")
        await gw.settle()
        ann.expect_nothing()


# -------------------------------------------------------------------------- draining


async def test_draining_tells_all_when_to_come_back_and_closes_in_batches(
    gateway: type[GatewayHarness],
) -> None:
    config = config_with(gateway={"drain_grace_ms": 10_000})
    async with gateway(Lab(), config=config) as gw:
        clients = [await gw.dial(ticket=f"dev:u{number}") for number in range(20)]
        for client in clients:
            await client.read_all()
        open_at: dict[float, int] = {}
        gw.api.every(
            1, lambda: open_at.update({gw.clock.now(): len(gw.gateway.sessions)})
        )
        await gw.drain()
        hints = []
        for client in clients:
            (draining,) = await client.read_all()
            assert isinstance(draining, dict)
            assert (draining["svc"], draining["type"]) == ("sys", "draining")
            hints.append(draining["data"]["reconnect_in_ms"])
            assert await client.expect_closed(1001) == "draining"
        assert all(0 <= hint <= 10_000 for hint in hints)
        assert len(set(hints)) > 10
        assert list(open_at.values()) == [20, 18, 16, 14, 12, 10, 8, 6, 4, 2]


async def test_a_client_goes_on_until_its_turn_to_drain(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway(Lab()) as gw, gw.connect() as dev:
        gw.api.after(
            0.1,
            lambda: dev.link.send_text(
                b'{"svc":"lab","type":"echo","seq":7,"flags":4}'
            ),
        )
        await gw.drain()
        await dev.expect_reply(7)


async def test_who_reads_slowly_is_drained_last(
    gateway: type[GatewayHarness],
) -> None:
    config = config_with(
        gateway={"drain_grace_ms": 1_000, "writer_send_timeout_ms": 60_000}
    )
    lab = Lab()
    async with (
        gateway(lab, config=config) as gw,
        gw.connect("slow") as slow,
        gw.connect("fast"),
        gw.connect("quick"),
    ):
        slow.slow(0, buffer=0)
        for _ in range(2):
            push = Push("said", "x" * 1_000, user="user:slow")
            gw.api.perform(push, svc="lab", tenant="default")
            await gw.settle()
        assert gw.gateway.inspector.overview().stalled == 1
        await gw.drain()
        ends = [event[1] for event in lab.events if event[0] == "close"]
        assert ends == ["user:fast", "user:quick", "user:slow"]


async def test_a_drain_in_a_hurry_closes_all_at_once_behind_what_waits(
    gateway: type[GatewayHarness],
) -> None:
    config = config_with(gateway={"drain_grace_ms": 3_600_000})
    async with (
        gateway(Lab(), config=config) as gw,
        gw.connect("ann") as ann,
        gw.connect("bob") as bob,
    ):
        began = gw.clock.now()
        draining = asyncio.ensure_future(gw.gateway.drain())
        await gw.settle()
        gw.api.perform(Push("said", 1, everyone=True), svc="lab", tenant="default")
        gw.gateway.hurry()
        await draining
        assert gw.clock.now() == began
        for client in (ann, bob):
            await client.expect_push("sys.draining")
            await client.expect_push("lab.said")
            assert await client.expect_closed(1001) == "draining"


# ----------------------------------------------------------------------- other closes


async def test_a_message_over_the_tenants_limit(gateway: type[GatewayHarness]) -> None:
    config = config_with(limits={"max_frame_bytes": 100})
    async with gateway(Lab(), config=config) as gw, gw.connect() as dev:
        assert dev.authed["limits"] == {"max_frame_bytes": 100}
        await dev.send_binary(bytes([1, LAB, ANYWHERE, 0]) + b"x" * 96)
        assert dev.closed is None
        await dev.send_binary(bytes([1, LAB, ANYWHERE, 0]) + b"x" * 97)
        await dev.expect_closed(1009)


@pytest.mark.parametrize(
    ("code", "may"),
    [
        *((code, True) for code in (1001, 1011, 1012, 1013, 4001, 4002, 4003, 4005)),
        *((code, False) for code in (1000, 1002, 1003, 1007, 1008, 1009)),
        *((code, False) for code in (4500, 4501, 4502, 4503, 4504, 4505)),
    ],
)
def test_whether_to_come_back(code: int, may: bool) -> None:
    assert CloseCode(code).reconnect is may
