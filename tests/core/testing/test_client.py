from __future__ import annotations

from collections.abc import Callable

import pytest

from support.services import ANYWHERE, DO, LAB, Lab
from wsprism_core import Actions, Envelope, HotFrame, Kick, Push, PushFrame, Session
from wsprism_core.testing import GatewayHarness, config_with


def push(count: int, size: int = 0) -> Callable[[Session, Envelope], Actions]:
    """Return what answers a message with numbered pushes of some size."""
    return lambda session, _: [
        Push("said", f"{number}".rjust(size), session=session.id)
        for number in range(1, count + 1)
    ]


async def test_messages_are_numbered_unless_told(gateway: type[GatewayHarness]) -> None:
    async with gateway(Lab()) as gw, gw.connect() as dev:
        assert await dev.send("lab", "echo") == 1
        assert await dev.send("lab", "echo", seq=77) == 77
        assert await dev.send_frame(LAB, ANYWHERE) == 2
        await dev.expect_reply(77)
        await dev.expect_reply(1)
        dev.expect_nothing()


async def test_expectations_leave_the_rest_for_others(
    gateway: type[GatewayHarness],
) -> None:
    lab = Lab()
    lab.todo = lambda session, _: [
        Push("said", 1, session=session.id),
        Push("echoed", 2, session=session.id),
        PushFrame(DO, b"3", session=session.id),
        Push("said", 4, session=session.id),
    ]
    async with gateway(lab) as gw, gw.connect() as dev:
        await dev.send("lab", "do")
        assert (await dev.expect_frame(opcode=DO)).payload == b"3"
        assert (await dev.expect_push("lab.echoed"))["data"] == 2
        assert (await dev.expect_push("lab.said"))["data"] == 1
        (left,) = await dev.read_all()
        assert isinstance(left, dict)
        assert left["data"] == 4
        assert await dev.read_all() == []


async def test_a_push_answers_nothing(gateway: type[GatewayHarness]) -> None:
    async with gateway(Lab()) as gw, gw.connect() as dev:
        await dev.send("lab", "echo")
        with pytest.raises(AssertionError, match=r"dev expected a push lab\.echoed"):
            await dev.expect_push("lab.echoed")


async def test_a_failed_expectation_says_what_did_arrive(
    gateway: type[GatewayHarness],
) -> None:
    def crash(*_: object) -> None:
        raise RuntimeError("a fault")

    lab = Lab()
    lab.todo = crash
    async with gateway(lab) as gw, gw.connect(user="ann") as ann:
        await ann.send("lab", "do", seq=5)
        await ann.send("lab", "echo", "x" * 1000)
        with pytest.raises(AssertionError) as caught:
            await ann.expect_push("chat.msg")
    lines = str(caught.value).splitlines()
    assert lines[:2] == ["ann expected a push chat.msg", "unread (2):"]
    assert lines[2].startswith("  sys.error ref=5 data={'code': 'INTERNAL'")
    assert lines[3].startswith("  lab.echoed ref=1 data=xxx")
    assert lines[3].endswith("xxx...")
    assert lines[4:] == ["read before: 1", "plugin lab failed in on_message: 1"]


async def test_a_reply_that_is_an_error_fails(gateway: type[GatewayHarness]) -> None:
    async with gateway() as gw, gw.connect(user="ann") as ann:
        with pytest.raises(AssertionError, match=r"ann was refused: .*BAD_REQUEST"):
            await ann.request("nope", "nothing")
        ref = await ann.send("nope", "nothing")
        with pytest.raises(AssertionError, match=r"expected CONFLICT and got .*BAD_R"):
            await ann.expect_error("CONFLICT", ref=ref)
        ann.expect_nothing()


async def test_an_error_of_one_message_is_found_behind_others(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway() as gw, gw.connect() as dev:
        await dev.send("nope", "nothing", seq=1)
        await dev.send("room", "leave", room="r1", seq=2)
        await dev.expect_error("NOT_ALLOWED", ref=2)
        await dev.expect_error("BAD_REQUEST")


async def test_something_where_nothing_was_expected(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway(Lab()) as gw, gw.connect(user="ann") as ann:
        ann.expect_nothing()
        await ann.send("lab", "echo")
        with pytest.raises(AssertionError, match=r"(?s)expected nothing.*lab\.echoed"):
            ann.expect_nothing()


async def test_frames_that_are_not_there(gateway: type[GatewayHarness]) -> None:
    lab = Lab()
    lab.todo_frame = lambda session, _: PushFrame(DO, b"", session=session.id)
    async with gateway(lab) as gw, gw.connect(user="ann") as ann:
        await ann.send_frame(LAB, DO)
        with pytest.raises(AssertionError, match=rf"hot frame \*:{ANYWHERE}"):
            await ann.expect_frame(opcode=ANYWHERE)
        assert isinstance(ann.unread[0], HotFrame)


async def test_closing_and_losing_a_link(gateway: type[GatewayHarness]) -> None:
    lab = Lab()
    async with gateway(lab) as gw:
        async with gw.connect(user="ann") as ann, gw.connect(user="bob") as bob:
            assert ann.closed is None
            with pytest.raises(AssertionError, match=r"ann expected a close\n"):
                await ann.expect_closed()
            await ann.close(1001, "home")
            assert ann.closed == (1001, "home")
            bob.drop_link()
            await bob.expect_closed(1006)
    assert [event for event in lab.events if event[0] == "close"] == [
        ("close", "user:ann", 1001, "home"),
        ("close", "user:bob", 1006, "the connection was lost"),
    ]


async def test_a_close_with_another_code(gateway: type[GatewayHarness]) -> None:
    lab = Lab()
    lab.todo = lambda session, _: Kick("enough", session=session.id)
    async with gateway(lab) as gw, gw.connect(user="ann") as ann:
        await ann.send("lab", "do")
        with pytest.raises(AssertionError, match=r"(?s)a close 1000.*closed: 4005 eno"):
            await ann.expect_closed(1000)
        assert await ann.expect_closed(4005) == "enough"


async def test_pings_are_answered_unless_told(gateway: type[GatewayHarness]) -> None:
    async with gateway() as gw, gw.connect(user="ann") as ann:
        await gw.advance(120)
        assert ann.closed is None
        ann.answers_pings = False
        await gw.advance(60)
        await ann.expect_closed(4003)


async def test_a_slow_client_reads_as_time_passes(
    gateway: type[GatewayHarness],
) -> None:
    lab = Lab()
    lab.todo = push(10, size=1000)
    async with gateway(lab) as gw, gw.connect() as dev:
        dev.slow(5000, buffer=2000)
        await dev.send("lab", "do")
        dev.expect_nothing()
        await gw.advance(1)
        assert 4 <= len(dev.unread) <= 5
        await gw.advance(1.5)
        assert len(dev.unread) == 10
        await dev.send("lab", "do")
        dev.slow(None)
        await gw.settle()
        assert [one["data"].strip() for one in await dev.read_all()] == [  # type: ignore[index]
            *map(str, range(1, 11)),
            *map(str, range(1, 11)),
        ]


async def test_a_client_that_is_told_again_is_no_faster_than_told(
    gateway: type[GatewayHarness],
) -> None:
    lab = Lab()
    lab.todo = push(10, size=1000)
    async with gateway(lab) as gw, gw.connect() as dev:
        for rate in (5000, 0, 5000, None, 5000):
            dev.slow(rate)
        await dev.send("lab", "do")
        await gw.advance(1)
        assert 4 <= len(dev.unread) <= 5


async def test_what_follows_from_a_lost_link_has_happened_when_it_is_lost(
    gateway: type[GatewayHarness],
) -> None:
    config = config_with(gateway={"presence_batch_ms": 0, "resume_window_ms": 0})
    async with (
        gateway(config=config) as gw,
        gw.connect("ann") as ann,
        gw.connect("bob") as bob,
    ):
        await ann.join("r1")
        await bob.join("r1")
        await bob.read_all()
        ann.drop_link()
        (told,) = bob.unread
        assert isinstance(told, dict)
        assert told["data"] == {"version": 3, "joined": [], "left": [{"n": 1}]}


async def test_less_than_a_byte_at_a_time_adds_up(
    gateway: type[GatewayHarness],
) -> None:
    lab = Lab()
    lab.todo = push(1)
    async with gateway(lab) as gw, gw.connect() as dev:
        dev.slow(25)
        await dev.send("lab", "do")
        size = dev.link.waiting
        await gw.advance(size / 25 - 0.1)
        dev.expect_nothing()
        await gw.advance(0.1)
        await dev.expect_push("lab.said")


async def test_a_client_may_read_nothing_for_a_while(
    gateway: type[GatewayHarness],
) -> None:
    config = config_with(gateway={"ping_interval_ms": 0, "idle_timeout_ms": 0})
    lab = Lab()
    lab.todo = push(1)
    async with gateway(lab, config=config) as gw, gw.connect() as dev:
        dev.slow(0)
        await dev.send("lab", "do")
        await gw.advance(1000)
        dev.expect_nothing()
        dev.slow(1000)
        await gw.advance(1)
        await dev.expect_push("lab.said")
        dev.slow(None)
        dev.slow(1000)
        dev.drop_link()
        await gw.advance(1)
        await dev.expect_closed(1006)
