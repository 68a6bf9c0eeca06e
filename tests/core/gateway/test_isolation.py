"""A plugin that fails does so alone: counted under its name, told to the sender."""

from __future__ import annotations

import asyncio
import gc
import weakref
from dataclasses import dataclass
from typing import Any

import pytest

from support.services import DO, LAB, RELAY, Lab
from wsprism_core import (
    Action,
    Actions,
    Broadcast,
    BroadcastFrame,
    Envelope,
    ErrorCode,
    HotFrame,
    HttpRequest,
    HttpResponse,
    ProtocolError,
    Push,
    PushFrame,
    Reply,
    Route,
    Session,
    hookimpl,
)
from wsprism_core.testing import GatewayHarness


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@dataclass(frozen=True)
class Frozen(Exception):
    n: int


class Faulty:
    """An observer whose every hook raises."""

    wsprism_api = 1

    @hookimpl
    def on_open(self) -> None:
        raise RuntimeError("on_open")

    @hookimpl
    def on_join(self) -> None:
        raise RuntimeError("on_join")

    @hookimpl
    def on_message(self) -> None:
        raise RuntimeError("on_message")

    @hookimpl
    def on_binary(self) -> None:
        raise RuntimeError("on_binary")

    @hookimpl
    def on_leave(self) -> None:
        raise RuntimeError("on_leave")

    @hookimpl
    def on_close(self) -> None:
        raise RuntimeError("on_close")

    @hookimpl
    def on_stop(self) -> None:
        raise RuntimeError("on_stop")


async def test_a_plugin_that_fails_everywhere_changes_nothing_for_others(
    gateway: type[GatewayHarness],
) -> None:
    lab = Lab()
    async with gateway(Faulty(), lab) as gw:
        async with gw.connect(user="ann") as ann:
            await ann.join("r1")
            await ann.request("lab", "echo")
            await ann.send_frame(LAB, RELAY)
            await ann.expect_frame(LAB, RELAY)
            await ann.leave("r1")
            ann.expect_nothing()
        foreseen = gw.metrics.plugin_failures.series()
        assert (foreseen["lab", "on_open"], foreseen["Faulty", "on_open"]) == (0, 1)
        assert gw.metrics.plugin_failures == {
            ("Faulty", "on_open"): 1,
            ("Faulty", "on_join"): 1,
            ("Faulty", "observe"): 2,
            ("Faulty", "on_leave"): 1,
            ("Faulty", "on_close"): 1,
        }
    assert [event[0] for event in lab.events] == [
        *("start", "open", "join", "leave", "close", "stop"),
    ]


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("a secret"),
        RecursionError(),
        asyncio.CancelledError(),
        GeneratorExit(),
        MemoryError(),
        AssertionError(),
        Unprintable(),
        Frozen(1),
        BaseExceptionGroup("several", [GeneratorExit()]),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_handler_that_raises_fails_its_own_message_only(
    gateway: type[GatewayHarness], error: BaseException
) -> None:
    def crash(*_: object) -> None:
        raise error

    lab = Lab()
    lab.todo = lab.todo_frame = crash
    async with (
        gateway(lab) as gw,
        gw.connect(user="ann") as ann,
        gw.connect(user="bob") as bob,
    ):
        told = await ann.expect_error("INTERNAL", ref=await ann.send("lab", "do"))
        assert "secret" not in told["msg"]
        await ann.expect_error("INTERNAL", ref=await ann.send_frame(LAB, DO, ack=True))
        assert gw.metrics.plugin_failures == {
            ("lab", "on_message"): 1,
            ("lab", "on_binary"): 1,
        }
        await ann.request("lab", "echo")
        await bob.request("lab", "echo")
        ann.expect_nothing()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
async def test_what_ends_the_process_is_let_through(
    gateway: type[GatewayHarness], error: type[BaseException]
) -> None:
    def end(*_: object) -> None:
        raise error

    lab = Lab()
    lab.todo = end
    async with gateway(lab) as gw, gw.connect(user="ann") as ann:
        with pytest.raises(error):
            await ann.send("lab", "do")


@pytest.mark.parametrize(
    "action",
    [
        Broadcast("said", {1}),
        Broadcast("posted", float("nan")),
        Broadcast("unknown", 1),
        Broadcast("said", 1, room=None),
        BroadcastFrame(99, b"", room="r1"),
        BroadcastFrame(RELAY, b"", room="r1", seq=2**32),
        Push("said", 1),
        Push("said", 1, session="1", user="user:ann"),
        PushFrame(RELAY, b""),
        "no action",
        42,
    ],
)
async def test_an_action_that_cannot_be_done(
    gateway: type[GatewayHarness], action: Any
) -> None:
    lab = Lab()
    lab.todo = lambda *_: action
    async with (
        gateway(lab) as gw,
        gw.connect(user="ann") as ann,
        gw.connect(user="bob", codec="msgpack") as bob,
    ):
        await ann.join("r1")
        await bob.join("r1")
        room = "r1" if getattr(action, "data", 1) != 1 else None
        ref = await ann.send("lab", "do", room=room, ack=True)
        await ann.expect_error("INTERNAL", ref=ref)
        bob.expect_nothing()
        # What nobody got has taken no number.
        await ann.send("lab", "post", room="r1")
        assert (await bob.expect_push("lab.posted"))["seq"] == 1


async def test_what_was_done_before_a_bad_action_stays_done(
    gateway: type[GatewayHarness],
) -> None:
    lab = Lab()
    lab.todo = lambda session, _: [
        Push("said", 1, session=session.id),
        Push("unknown", 2, session=session.id),
        Push("said", 3, session=session.id),
    ]
    async with gateway(lab) as gw, gw.connect() as dev:
        await dev.send("lab", "do", ack=True)
        said, error = await dev.read_all()
        assert isinstance(said, dict)
        assert said["data"] == 1
        assert isinstance(error, dict)
        assert error["data"]["code"] == "INTERNAL"


async def test_an_async_observer_that_fails_is_counted(
    gateway: type[GatewayHarness],
) -> None:
    class Late:
        wsprism_api = 1

        @hookimpl
        async def on_message(self) -> None:
            await asyncio.sleep(0)
            raise RuntimeError

    async with gateway(Late(), Lab()) as gw, gw.connect() as dev:
        await dev.request("lab", "echo")
        assert gw.metrics.plugin_failures == {("Late", "observe"): 1}


async def test_observers_see_what_the_owner_took_and_nothing_refused(
    gateway: type[GatewayHarness],
) -> None:
    class Observer:
        wsprism_api = 1

        def __init__(self) -> None:
            self.seen: list[Any] = []

        @hookimpl
        def on_message(self, message: Envelope) -> Reply:
            self.seen.append(message.data)
            return Reply("echoed", "an observer's answer is ignored")

    def crash(*_: object) -> Action:
        raise RuntimeError

    observer, lab = Observer(), Lab()
    async with gateway(observer, lab) as gw, gw.connect() as dev:
        await dev.request("lab", "echo", "taken")
        lab.todo = crash
        await dev.send("lab", "do", "failed")
        lab.todo = lambda *_: [Reply("echoed"), "no action"]
        await dev.send("lab", "do", "failed in part")
        await dev.send("lab", "nope", "refused")
        await dev.send("lab", "say", "refused")
        assert observer.seen == ["taken"]


class Checker:
    """Rewrites, or fails, as the message says."""

    wsprism_api = 1

    @hookimpl
    def check_message(self, message: Envelope) -> Envelope | None:
        match message.data:
            case "shout":
                return Envelope(message.svc, message.type, data="SHOUT")
            case "swap":
                return Envelope("lab", "post")
            case "crash":
                raise RuntimeError
        return None


async def test_a_check_may_rewrite_a_message_and_its_sender_is_answered_still(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway(Checker(), Lab()) as gw, gw.connect() as dev:
        assert (await dev.request("lab", "echo", "shout"))["data"] == "SHOUT"
        assert (await dev.request("lab", "do", "shout"))["type"] == "ack"
        assert (await dev.request("lab", "echo", "quiet"))["data"] == "quiet"


@pytest.mark.parametrize("data", ["swap", "crash"])
async def test_a_check_that_fails_has_not_passed(
    gateway: type[GatewayHarness], data: str
) -> None:
    lab = Lab()
    async with gateway(Checker(), lab) as gw, gw.connect() as dev:
        ref = await dev.send("lab", "echo", data, ack=True)
        await dev.expect_error("INTERNAL", ref=ref)
        dev.expect_nothing()
        assert sum(gw.metrics.plugin_failures.values()) == 1


async def test_a_timer_that_raises(gateway: type[GatewayHarness]) -> None:
    ticks: list[float] = []

    def tick() -> None:
        ticks.append(gw.clock.now())
        raise RuntimeError

    async with gateway(Lab()) as gw:
        gw.api.after(1, tick)
        timer = gw.api.every(1, tick)
        await gw.advance(3)
        assert ticks == [1, 1, 2, 3]
        assert gw.metrics.plugin_failures == {("lab", "timer"): 4}
        timer.cancel()
        await gw.advance(3)
        assert len(ticks) == 4


async def test_a_coroutine_of_a_plugin_that_raises(
    gateway: type[GatewayHarness], caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> None:
        raise RuntimeError

    async with gateway(Lab()) as gw, gw.connect() as dev:
        gw.api.spawn(fail())
        await gw.settle()
        assert [record.msg for record in caplog.records] == ["plugin_failed"]
        assert gw.metrics.plugin_failures == {("lab", "spawn"): 1}
        await dev.request("sys", "ping")


async def test_a_route_that_raises(gateway: type[GatewayHarness]) -> None:
    class Routed:
        wsprism_api = 1

        @hookimpl
        def register_routes(self) -> list[Route]:
            return [Route("/fine", self.fine), Route("/faulty", self.faulty)]

        def fine(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse(body=b"fine")

        def faulty(self, request: HttpRequest) -> HttpResponse:
            raise RuntimeError

    async with gateway(Routed()) as gw:
        for path, status in (("/fine", 200), ("/faulty", 500), ("/none", 404)):
            request = HttpRequest("GET", path, {}, {}, "")
            assert gw.gateway.host.http(request).status == status
        assert gw.metrics.plugin_failures == {("Routed", "route"): 1}


async def test_a_plugin_that_fails_to_start_refuses_to_start(
    gateway: type[GatewayHarness],
) -> None:
    class Broken:
        wsprism_api = 1

        @hookimpl
        def on_start(self) -> None:
            raise RuntimeError("no database")

    lab = Lab()
    with pytest.raises(RuntimeError, match="no database"):
        async with gateway(lab, Broken()):
            pass
    assert lab.events == [("start",), ("stop",)]


async def test_an_observer_that_wants_something_done_has_no_service_to_do_it_for(
    gateway: type[GatewayHarness],
) -> None:
    class Wishful:
        wsprism_api = 1

        @hookimpl
        def on_open(self, session: Session) -> Push:
            return Push("said", 1, session=session.id)

    async with gateway(Wishful(), Lab()) as gw, gw.connect() as dev:
        dev.expect_nothing()
        assert gw.metrics.plugin_failures == {("Wishful", "actions"): 1}


async def test_what_comes_out_too_large_holds_no_session_until_the_collector_comes(
    gateway: type[GatewayHarness],
) -> None:
    lab = Lab()
    lab.todo = lambda *_: Reply("echoed", "x" * 200_000)
    async with gateway(lab) as gw:
        gc.collect()
        gc.disable()
        try:
            async with gw.connect() as dev:
                (session,) = gw.gateway.sessions
                gone = weakref.ref(session)
                del session
                await dev.send("lab", "do")
                await dev.expect_error("PAYLOAD_TOO_LARGE")
            lab.events.clear()
            assert gone() is None
        finally:
            gc.enable()


@pytest.mark.parametrize("error", [RuntimeError, None])
async def test_what_a_service_raises_holds_no_session_until_the_collector_comes(
    gateway: type[GatewayHarness], error: type[Exception] | None
) -> None:
    lab = Lab()

    def refuse(session: Session, message: Envelope | HotFrame) -> Actions:
        raise error("a bug") if error else ProtocolError(ErrorCode.NOT_FOUND, "no")

    lab.todo = lab.todo_frame = refuse
    async with gateway(lab) as gw:
        gc.collect()
        gc.disable()
        try:
            async with gw.connect() as dev:
                (session,) = gw.gateway.sessions
                gone = weakref.ref(session)
                del session
                await dev.send("lab", "do")
                await dev.send_frame(LAB, DO)
                await dev.expect_error("INTERNAL" if error else "NOT_FOUND")
                await dev.expect_error("INTERNAL" if error else "NOT_FOUND")
            lab.events.clear()
            assert gone() is None
        finally:
            gc.enable()
