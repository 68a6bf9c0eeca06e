from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from typing import NoReturn

import pytest

from wsprism_core.signals import StopSignals, hangups, unless

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="a process cannot signal itself there"
)


async def test_the_first_signal_stops_and_the_second_hurries() -> None:
    with StopSignals() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        await signals.stop.wait()
        assert not signals.hurry.is_set()
        os.kill(os.getpid(), signal.SIGINT)
        await signals.hurry.wait()


async def test_a_third_signal_does_what_it_did_before() -> None:
    heard = asyncio.Event()
    loop = asyncio.get_running_loop()
    kept = signal.signal(
        signal.SIGTERM, lambda *_: loop.call_soon_threadsafe(heard.set)
    )
    try:
        with StopSignals() as signals:
            for event in (signals.stop, signals.hurry, heard):
                os.kill(os.getpid(), signal.SIGTERM)
                await event.wait()
    finally:
        signal.signal(signal.SIGTERM, kept)


async def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with StopSignals():
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


async def test_an_event_loop_without_signals_is_helped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*args: object) -> NoReturn:
        raise NotImplementedError

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "add_signal_handler", refuse)
    monkeypatch.setattr(loop, "remove_signal_handler", refuse)
    with StopSignals() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        await signals.stop.wait()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_another_thread_hears_no_signals() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    async def listen() -> None:
        with StopSignals():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=lambda: asyncio.run(listen()))
    thread.start()
    thread.join()
    assert seen == [before]


async def test_work_is_done_unless_the_event_comes() -> None:
    event = asyncio.Event()
    assert await unless(event, asyncio.sleep(0))
    event.set()
    assert not await unless(event, asyncio.Event().wait())


async def test_work_that_fails_says_so() -> None:
    async def fail() -> None:
        raise LookupError("no")

    with pytest.raises(LookupError, match="no"):
        await unless(asyncio.Event(), fail())


async def test_work_that_is_given_up_has_ended() -> None:
    ended = []
    event = asyncio.Event()

    async def work() -> None:
        event.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    assert not await unless(event, work())
    assert ended


async def test_each_hangup_is_heard_as_long_as_somebody_listens() -> None:
    before = signal.getsignal(signal.SIGHUP)
    with hangups() as heard:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGHUP)
            await heard.wait()
            heard.clear()
    assert signal.getsignal(signal.SIGHUP) == before


async def test_where_there_are_no_hangups_none_is_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(signal, "SIGHUP")
    with hangups() as heard:
        assert not heard.is_set()


def test_another_thread_hears_no_hangups() -> None:
    before = signal.getsignal(signal.SIGHUP)
    seen = []

    async def listen() -> None:
        with hangups():
            seen.append(signal.getsignal(signal.SIGHUP))

    thread = threading.Thread(target=lambda: asyncio.run(listen()))
    thread.start()
    thread.join()
    assert seen == [before]
