"""The signals that ask the process for something, as events of its event loop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Awaitable, Iterator
from types import TracebackType
from typing import Any, Final, Self

from wsprism_core.logs import EventLog

__all__ = ("StopSignals", "hangups", "unless")

_log = EventLog("signals")

#: SIGBREAK is Ctrl-Break on Windows, the one signal there that can be sent to another.
_NAMES: Final = ("SIGINT", "SIGTERM", "SIGBREAK")


class StopSignals:
    """Listens for SIGINT and SIGTERM while it is entered.

    In a thread other than the main one it hears nothing: signals are the main one's.

    Attributes:
        stop: Set by the first signal.
        hurry: Set by the second; a third one does what it would do without wsPrism.
    """

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.hurry = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        """Listen."""
        if threading.current_thread() is not threading.main_thread():
            return self
        for name in _NAMES:
            number = getattr(signal, name, None)
            if number is None:
                continue
            self._before[number] = signal.getsignal(number)
            try:
                self._loop.add_signal_handler(number, self._told, number)
            except NotImplementedError:  # Windows
                signal.signal(number, self._told_by_handler)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Listen no more."""
        self._restore()

    def _told(self, number: int) -> None:
        at_once = self.stop.is_set()
        _log.info("stopping", signal=signal.Signals(number).name, at_once=at_once)
        self.stop.set()
        if at_once:
            self.hurry.set()
            self._restore()

    def _told_by_handler(self, number: int, frame: object) -> None:
        self._loop.call_soon_threadsafe(self._told, number)

    def _restore(self) -> None:
        while self._before:
            number, handler = self._before.popitem()
            with contextlib.suppress(NotImplementedError):
                self._loop.remove_signal_handler(number)
            signal.signal(number, handler)


@contextlib.contextmanager
def hangups() -> Iterator[asyncio.Event]:
    """Listen for SIGHUP; each one sets the event.

    Where there is no such signal, as on Windows, and in a thread other than the main
    one, it is never set.
    """
    heard = asyncio.Event()
    number = getattr(signal, "SIGHUP", None)
    is_main = threading.current_thread() is threading.main_thread()
    if number is None or not is_main:
        yield heard
        return
    loop = asyncio.get_running_loop()
    before = signal.getsignal(number)
    loop.add_signal_handler(number, heard.set)
    try:
        yield heard
    finally:
        loop.remove_signal_handler(number)
        signal.signal(number, before)


async def unless(event: asyncio.Event, work: Awaitable[object]) -> bool:
    """Do some work, or give it up when the event comes first.

    Returns:
        Whether it was done.
    """
    task = asyncio.ensure_future(work)
    waiter = asyncio.ensure_future(event.wait())
    await asyncio.wait((task, waiter), return_when=asyncio.FIRST_COMPLETED)
    waiter.cancel()
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return False
    return True
