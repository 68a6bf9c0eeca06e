"""Async checks of messages: a budget, an order, and what no answer means."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from support.services import DO, LAB, Lab, Late
from wsprism_core import Envelope, ProtocolError, Session, hookimpl
from wsprism_core.gateway import Gateway
from wsprism_core.plugins import PluginError, PluginSet
from wsprism_core.protocol.layout import ErrorCode
from wsprism_core.testing import GatewayHarness, config_with
from wsprism_core.testing.clock import VirtualClock

Verdict = Envelope | None


class Slow:
    """Filters as a test says; by default it waits for the gate.

    Attributes:
        gate: What every message waits for.
        asked: The data of each message, as it was asked about.
    """

    wsprism_api = 1
    name = "slow"

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.asked: list[Any] = []
        self.judge: Callable[[Envelope], Verdict] = lambda message: None

    async def wait(self) -> None:
        await self.gate.wait()

    @hookimpl
    async def check_message(self, session: Session, message: Envelope) -> Verdict:
        self.asked.append(message.data)
        await self.wait()
        return self.judge(message)


class Open(Slow):
    wsprism_fail_open = True


class Strict:
    """Checks at once."""

    wsprism_api = 1
    name = "strict"

    def __init__(self) -> None:
        self.asked: list[Any] = []

    @hookimpl
    def check_message(self, message: Envelope) -> None:
        self.asked.append(message.data)
        if message.data == "bad":
            raise ProtocolError(ErrorCode.NOT_ALLOWED, "bad")


def answers(gw: GatewayHarness) -> dict[tuple[str, str], int]:
    return dict(gw.metrics.filters)


async def test_a_message_waits_for_its_answer(gateway: type[GatewayHarness]) -> None:
    slow = Slow()
    async with gateway(Lab(), slow) as gw, gw.connect(user="ann") as ann:
        ref = await ann.send("lab", "echo", data="hi", ack=True)
        await gw.until(lambda: bool(slow.asked))
        ann.expect_nothing()
        slow.gate.set()
        assert (await ann.expect_reply(ref))["data"] == "hi"
        assert answers(gw) == {("slow", "passed"): 1}


async def test_messages_of_a_service_keep_their_order(
    gateway: type[GatewayHarness],
) -> None:
    slow = Slow()
    async with gateway(Lab(), slow) as gw, gw.connect(user="ann") as ann:
        refs = [await ann.send("lab", "echo", data=n, ack=True) for n in range(5)]
        await gw.until(lambda: bool(slow.asked))
        slow.gate.set()
        await gw.settle()
        assert slow.asked == [0, 1, 2, 3, 4]
        read = [one for one in await ann.read_all() if isinstance(one, dict)]
        assert [one["ref"] for one in read] == refs


async def test_they_keep_it_before_an_async_handler_too(
    gateway: type[GatewayHarness],
) -> None:
    slow, late = Slow(), Late()
    slow.gate.set()
    async with gateway(late, slow) as gw, gw.connect(user="ann") as ann:
        refs = [await ann.send("late", "work", data=n, ack=True) for n in range(3)]
        await gw.until(lambda: len(slow.asked) == 3)
        # All are filtered, and the first alone is handled.
        assert late.started == [0]
        late.gate.set()
        await gw.settle()
        assert late.started == [0, 1, 2]
        read = [one for one in await ann.read_all() if isinstance(one, dict)]
        assert [one["ref"] for one in read] == refs


async def test_nothing_else_waits(gateway: type[GatewayHarness]) -> None:
    slow, lab = Slow(), Lab()
    async with (
        gateway(lab, Late(), slow) as gw,
        gw.connect(user="ann") as ann,
        gw.connect(user="bob") as bob,
    ):
        await ann.send("lab", "echo", data="ann's")
        # The core's own services, hot frames and other services of the same session.
        await ann.join("r1")
        done: list[int] = []
        lab.todo_frame = lambda _, frame: done.append(frame.opcode)
        await ann.send_frame(LAB, DO, b"")
        await ann.send("late", "work", data="other service")
        await bob.send("lab", "echo", data="bob's")
        await gw.until(lambda: len(slow.asked) == 3)
        assert sorted(slow.asked) == ["ann's", "bob's", "other service"]
        assert done == [DO]


async def test_it_may_rewrite(gateway: type[GatewayHarness]) -> None:
    slow, strict = Slow(), Strict()
    slow.gate.set()

    def rewrite(message: Envelope) -> Verdict:
        return Envelope(svc="lab", type="echo", data="***", seq=99, flags=0)

    slow.judge = rewrite
    async with gateway(Lab(), slow, strict) as gw, gw.connect(user="ann") as ann:
        ref = await ann.send("lab", "echo", data="bad", ack=True)
        # It is still the same message to its sender.
        assert (await ann.expect_reply(ref))["data"] == "***"
        assert answers(gw) == {("slow", "rewritten"): 1}
        # What one rewrites is not asked of the next.
        assert strict.asked == []


async def test_what_it_changes_in_place_counts(gateway: type[GatewayHarness]) -> None:
    slow = Slow()
    slow.gate.set()

    def change(message: Envelope) -> Verdict:
        message.data = "changed"
        return None

    slow.judge = change
    async with gateway(Lab(), slow) as gw, gw.connect(user="ann") as ann:
        ref = await ann.send("lab", "echo", data="sent", ack=True)
        assert (await ann.expect_reply(ref))["data"] == "changed"


async def test_it_may_refuse(gateway: type[GatewayHarness]) -> None:
    slow = Slow()
    slow.gate.set()

    def refuse(message: Envelope) -> Verdict:
        raise ProtocolError(ErrorCode.NOT_ALLOWED, "not here")

    slow.judge = refuse
    async with gateway(Lab(), slow) as gw, gw.connect(user="ann") as ann:
        ref = await ann.send("lab", "echo", ack=True)
        await ann.expect_error(code="NOT_ALLOWED", ref=ref)
        assert answers(gw) == {("slow", "refused"): 1}
        assert not gw.metrics.plugin_failures


async def test_checks_at_once_have_their_place_among_them(
    gateway: type[GatewayHarness],
) -> None:
    slow, strict = Slow(), Strict()
    slow.gate.set()
    async with gateway(Lab(), strict, slow) as gw, gw.connect(user="ann") as ann:
        ref = await ann.send("lab", "echo", data="bad", ack=True)
        await ann.expect_error(code="NOT_ALLOWED", ref=ref)
        assert (strict.asked, slow.asked) == (["bad"], [])
        ref = await ann.send("lab", "echo", data="good", ack=True)
        assert (await ann.expect_reply(ref))["data"] == "good"
        assert answers(gw) == {
            ("strict", "refused"): 1,
            ("strict", "passed"): 1,
            ("slow", "passed"): 1,
        }


# --------------------------------------------------------------------- no answer


@pytest.fixture
def hasty() -> Any:
    return config_with(gateway={"filter_budget_ms": 10})


async def test_without_an_answer_in_time_it_is_refused(
    gateway: type[GatewayHarness], hasty: Any
) -> None:
    slow = Slow()
    async with (
        gateway(Lab(), slow, config=hasty) as gw,
        gw.connect(user="ann") as ann,
    ):
        ref = await ann.send("lab", "echo", ack=True)
        await gw.until(lambda: bool(gw.metrics.filters))
        await ann.expect_error(code="TIMEOUT", ref=ref)
        assert answers(gw) == {("slow", "timed_out"): 1}
        # It is late, not broken; and those behind it get their turn.
        assert not gw.metrics.plugin_failures
        slow.gate.set()
        await ann.request("lab", "echo")


async def test_or_passes_where_the_plugin_says_so(
    gateway: type[GatewayHarness], hasty: Any
) -> None:
    slow, strict = Open(), Strict()
    async with (
        gateway(Lab(), slow, strict, config=hasty) as gw,
        gw.connect(user="ann") as ann,
    ):
        ref = await ann.send("lab", "echo", data="good", ack=True)
        await gw.until(lambda: ("slow", "timed_out") in gw.metrics.filters)
        assert (await ann.expect_reply(ref))["data"] == "good"
        # Those after it are asked all the same.
        ref = await ann.send("lab", "echo", data="bad", ack=True)
        await gw.until(lambda: ("strict", "refused") in gw.metrics.filters)
        await ann.expect_error(code="NOT_ALLOWED", ref=ref)


async def test_one_that_does_not_let_itself_be_cancelled_is_left_behind(
    gateway: type[GatewayHarness], hasty: Any
) -> None:
    class Stubborn(Slow):
        async def wait(self) -> None:
            while not self.gate.is_set():
                try:
                    await self.gate.wait()
                except asyncio.CancelledError:
                    continue
            raise LookupError("too late")

    stubborn = Stubborn()
    async with (
        gateway(Lab(), stubborn, config=hasty) as gw,
        gw.connect(user="ann") as ann,
    ):
        for _ in range(2):
            gw.metrics.filters.clear()
            ref = await ann.send("lab", "echo", ack=True)
            await gw.until(lambda: bool(gw.metrics.filters))
            await ann.expect_error(code="TIMEOUT", ref=ref)
        stubborn.gate.set()
        await gw.settle()
        # Whatever it says now, nobody hears it.
        assert answers(gw) == {("slow", "timed_out"): 1}


@pytest.mark.parametrize("opens", [False, True])
@pytest.mark.parametrize(
    "failure", [LookupError("hush"), asyncio.CancelledError(), "text", "other type"]
)
async def test_a_failure_is_no_answer_either(
    gateway: type[GatewayHarness], opens: bool, failure: object
) -> None:
    slow = Open() if opens else Slow()
    slow.gate.set()

    def fail(message: Envelope) -> Any:
        if isinstance(failure, BaseException):
            raise failure
        if failure == "text":
            return failure
        return Envelope(svc="lab", type="do")

    slow.judge = fail
    async with gateway(Lab(), slow) as gw, gw.connect(user="ann") as ann:
        ref = await ann.send("lab", "echo", data="hi", ack=True)
        if opens:
            assert (await ann.expect_reply(ref))["data"] == "hi"
        else:
            await ann.expect_error(code="INTERNAL", ref=ref)
        assert answers(gw) == {("slow", "failed"): 1}
        assert gw.metrics.plugin_failures == {("slow", "check_message"): 1}


async def test_more_than_may_wait_are_refused(gateway: type[GatewayHarness]) -> None:
    slow = Slow()
    config = config_with(gateway={"max_async_queue": 2})
    async with (
        gateway(Lab(), slow, config=config) as gw,
        gw.connect(user="ann") as ann,
    ):
        refs = [await ann.send("lab", "echo", data=n, ack=True) for n in range(4)]
        await ann.expect_error(code="RESOURCE_EXHAUSTED", ref=refs[3])
        slow.gate.set()
        for ref in refs[:3]:
            await ann.expect_reply(ref)


# ------------------------------------------------------------------- meanwhile


async def test_who_left_the_room_meanwhile_says_nothing_there(
    gateway: type[GatewayHarness],
) -> None:
    slow = Slow()
    async with (
        gateway(Lab(), slow) as gw,
        gw.connect(user="ann") as ann,
        gw.connect(user="bob") as bob,
    ):
        await ann.join("r1")
        await bob.join("r1")
        ref = await ann.send("lab", "say", room="r1", ack=True)
        await gw.until(lambda: bool(slow.asked))
        await ann.leave("r1")
        await bob.read_all()
        slow.gate.set()
        await ann.expect_error(code="NOT_ALLOWED", ref=ref)
        bob.expect_nothing()


async def test_who_is_gone_meanwhile_says_nothing_at_all(
    gateway: type[GatewayHarness],
) -> None:
    slow, lab = Slow(), Lab()
    done: list[object] = []
    lab.todo = lambda _, message: done.append(message.data)
    async with gateway(lab, slow) as gw:
        async with gw.connect(user="ann") as ann:
            await ann.send("lab", "do", data="hi")
            await gw.until(lambda: bool(slow.asked))
            ann.drop_link()
            await gw.settle()
        slow.gate.set()
        await gw.settle()
        assert done == []
        assert answers(gw) == {}


async def test_a_room_of_a_message_is_the_one_it_was_sent_to(
    gateway: type[GatewayHarness],
) -> None:
    slow = Slow()
    async with (
        gateway(Lab(), slow) as gw,
        gw.connect(user="ann") as ann,
        gw.connect(user="bob") as bob,
    ):
        await ann.join("r1")
        await bob.join("r1")
        await ann.send("lab", "say", data="hi")
        await gw.until(lambda: bool(slow.asked))
        # The active room is another one by then.
        await ann.join("r2")
        slow.gate.set()
        assert (await bob.expect_push("lab.said"))["room"] == "r1"


# ---------------------------------------------------------------------- at load


class _Wraps:
    wsprism_api = 1
    name = "wraps"

    @hookimpl(wrapper=True)
    def check_message(self) -> Any:
        return (yield)


class _NothingLate:
    wsprism_api = 1
    name = "nothing_late"
    wsprism_fail_open = True

    @hookimpl
    def check_message(self) -> None:
        return None


class _HotFrames:
    wsprism_api = 1
    name = "hot"

    @hookimpl
    async def on_binary(self) -> None:
        return None


class _NoBool(Slow):
    wsprism_fail_open = "yes"


@pytest.mark.parametrize(
    ("plugin", "problem"),
    [
        (_NothingLate, "wsprism_fail_open is for an async check_message"),
        (_HotFrames, "its on_binary is async"),
        (_NoBool, "wsprism_fail_open is 'yes', not a bool"),
    ],
)
def test_what_is_never_filtered_says_so(plugin: type[Any], problem: str) -> None:
    with pytest.raises(PluginError, match=problem):
        PluginSet.load([], extra=[plugin()])


def test_no_wrapper_goes_around_an_async_one() -> None:
    plugins = PluginSet.load([], extra=[Slow(), _Wraps()])
    with pytest.raises(PluginError, match=r"'wraps'.* an async one \(slow\)"):
        Gateway(config_with(), plugins, VirtualClock(), development=True)
