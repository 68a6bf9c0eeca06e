from __future__ import annotations

import asyncio
import functools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType
from typing import Any, Literal

import pytest

from support.served import Served, serving
from support.services import Lab
from wsprism_core import hookimpl
from wsprism_core.client import connect
from wsprism_core.client.client import Client
from wsprism_core.gateway import watchdog
from wsprism_core.gateway.failures import Failures
from wsprism_core.gateway.monitor import TICK
from wsprism_core.gateway.watchdog import NOBODY, Blame, Watchdog, owners_of
from wsprism_core.metrics import Metrics
from wsprism_core.plugins import PluginSet

SLOW = 0.04


class Looking(Watchdog):
    """A watchdog that counts its looks."""

    def __init__(self, owners: dict[CodeType, tuple[str, str]]) -> None:
        self.hung: list[tuple[Blame, float]] = []
        self.looks = 0
        super().__init__(
            owners,
            slow=SLOW,
            beat=0.0,
            hung=lambda blame, seconds: self.hung.append((blame, seconds)),
        )

    def _look(self) -> Blame | None:
        self.looks += 1
        return super()._look()


def wait_for(met: Callable[[], bool]) -> None:
    """Keep this thread until a condition is met."""
    deadline = time.monotonic() + 10
    while not met():
        assert time.monotonic() < deadline, "nothing came of it"
        time.sleep(0.001)


@contextmanager
def looking(**functions: Callable[..., Any]) -> Iterator[Looking]:
    owners = {one.__code__: (name, "on_message") for name, one in functions.items()}
    dog = Looking(owners)
    dog.start()
    try:
        yield dog
    finally:
        dog.stop()


def keep(dog: Looking, met: Callable[[], bool]) -> None:
    """Stands for a handler that blocks."""
    wait_for(met)


def test_a_call_that_blocks_is_named() -> None:
    with looking(chat=keep) as dog:
        keep(dog, lambda: dog._blame.plugin != NOBODY)
        blame = dog.beat()
        assert (blame.plugin, blame.hook, blame.svc) == ("chat", "on_message", NOBODY)
        module, function, line = blame.where.split(":")
        assert module == __name__
        assert function in ("wait_for", "<lambda>")
        assert int(line) > 0


def test_a_beat_closes_the_case_and_holds_no_frame() -> None:
    with looking(chat=keep) as dog:
        keep(dog, lambda: dog._blame.plugin != NOBODY)
        dog.beat()
        dog._stopped.set()
        dog._thread.join()
        dog.beat()
        assert dog._seen is None
        assert dog.beat() == Blame()


def test_a_turn_of_many_quick_calls_blames_none() -> None:
    def quick() -> None:
        return None

    with looking(chat=quick) as dog:
        deadline = time.monotonic() + 10
        while dog.looks < 8:
            assert time.monotonic() < deadline
            quick()
        blame = dog.beat()
        assert (blame.plugin, blame.hook, blame.svc) == (NOBODY, NOBODY, NOBODY)
        assert blame.where.startswith(f"{__name__}:")


def test_while_the_loop_beats_nobody_looks() -> None:
    with looking(chat=keep) as dog:
        began = time.monotonic()

        def beaten_long_enough() -> bool:
            dog.beat()
            return time.monotonic() > began + 3 * SLOW

        keep(dog, beaten_long_enough)
        # A machine that is busy may keep this thread from beating now and then.
        assert dog.looks <= 1


def test_what_is_no_hook_is_named_by_its_guard() -> None:
    failures = Failures(Metrics())
    with looking() as dog:
        work = failures.guard(
            "party", "timer", lambda: wait_for(lambda: dog._blame.plugin != NOBODY)
        )
        work()
        blame = dog.beat()
        assert (blame.plugin, blame.hook) == ("party", "timer")


def test_what_may_never_end_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "HUNG", 2 * SLOW)
    with looking(chat=keep) as dog:
        keep(dog, lambda: len(dog.hung) == 1)
        looks = dog.looks
        keep(dog, lambda: dog.looks > looks + 3)
        ((blame, seconds),) = dog.hung
        assert seconds >= 2 * SLOW
        assert blame.plugin == "chat"


def test_it_ends_with_its_thread() -> None:
    with looking() as dog:
        assert dog._thread in threading.enumerate()
    assert dog._thread not in threading.enumerate()


def test_owners_are_found_behind_decorators() -> None:
    def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def around(*args: Any) -> Any:
            return function(*args)

        return around

    class Observer:
        wsprism_api = 1
        name = "observer"

        @hookimpl
        @decorated
        def on_join(self) -> None:
            """Wrapped."""

        @hookimpl
        def on_leave(self) -> None:
            """Plain."""

    plain = Observer.on_leave.__code__
    wrapped = Observer.on_join.__wrapped__.__code__  # type: ignore[attr-defined]
    owners = owners_of(PluginSet.load([], extra=[Observer(), Lab()]))
    assert owners[plain] == ("observer", "on_leave")
    assert owners[wrapped] == ("observer", "on_join")
    assert owners[Lab.on_message.__code__] == ("lab", "on_message")


# ------------------------------------------------------------- in a real gateway


def block_until_blamed(served: Served) -> None:
    """Keep the event loop until somebody is blamed and it is too slow in any case."""
    dog = served.gateway._monitor._watchdog
    assert dog is not None
    slow = time.monotonic() + 0.25 + 2 * TICK
    wait_for(lambda: dog._blame.plugin != NOBODY and time.monotonic() > slow)


async def counted(ann: Client, metrics: Metrics, metric: tuple[str, str, str]) -> None:
    """Wait until a block is counted."""
    async with asyncio.timeout(10):
        while not metrics.slow_handlers[metric]:
            await ann.request("sys", "ping", {"client_ts": 1})


@pytest.mark.interpreted
@pytest.mark.parametrize("hot", [False, True])
async def test_a_sync_handler_that_blocks_is_named_and_ends_nobody(
    hot: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving() as served, connect(served.ws, ticket="dev:ann") as ann:
        served.gateway.watch()

        def block(*_: Any) -> None:
            block_until_blamed(served)

        served.lab.todo = served.lab.todo_frame = block
        hook = "on_binary" if hot else "on_message"
        with caplog.at_level(logging.WARNING, "wsprism"):
            if hot:
                await ann.send_frame(200, 5, b"")
            else:
                await ann.send("lab", "do")
            await counted(ann, served.gateway.metrics, ("lab", hook, "lab"))
        lines = [one for one in caplog.records if one.getMessage() == "slow_handler"]
        assert len(lines) == 1
        fields = vars(lines[0])["fields"]
        assert (fields["plugin"], fields["hook"], fields["svc"]) == ("lab", hook, "lab")
        assert fields["ms"] >= 250
        assert fields["where"].startswith(f"{__name__}:")
        # It goes on for everybody, the sender as well.
        assert (await ann.request("sys", "ping", {"client_ts": 1}))["data"]
        assert len(served.gateway.sessions) == 1


async def test_an_async_handler_that_blocks_is_named() -> None:
    async with serving() as served, connect(served.ws, ticket="dev:ann") as ann:
        served.gateway.watch()

        class Gate(asyncio.Event):
            async def wait(self) -> Literal[True]:
                block_until_blamed(served)
                return True

        served.late.gate = Gate()
        await ann.send("late", "work")
        await counted(ann, served.gateway.metrics, ("late", "on_message", "late"))
