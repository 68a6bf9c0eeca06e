"""The live view of `wsprism top`: read, draw, wait for a key or the next moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from wsprism_cli.admin_client import AdminError
from wsprism_cli.dashboard import SORT_KEYS, Reading, render
from wsprism_cli.terminal import console, printable

__all__ = ("View", "watch")


class View:
    """What the screen shows, and what keys change of it.

    Args:
        url: Where the gateway is asked.

    Attributes:
        done: Set once somebody wants to quit.
        changed: Set when the screen must be drawn anew.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._reading: Reading | None = None
        self._problem = ""
        self._sort = 0
        self.done = asyncio.Event()
        self.changed = asyncio.Event()

    def press(self, key: str) -> None:
        """Do what a key means, if it means something."""
        if key in ("q", "Q", "c-c", "c-d"):
            self.done.set()
        elif key in ("s", "S"):
            self._sort = (self._sort + 1) % len(SORT_KEYS)
        self.changed.set()

    def show(self, reading: Reading) -> None:
        """Take a reading."""
        self._reading, self._problem = reading, ""
        self.changed.set()

    def complain(self, problem: str) -> None:
        """Say why there is no new reading; the last one stays."""
        self._problem = problem
        self.changed.set()

    def screen(self, width: int, height: int) -> RenderableType:
        """Return the screen for a terminal of so many columns and lines."""
        sort = SORT_KEYS[self._sort]
        hint = Text("q quits, s sorts", style="dim")
        if self._problem:
            hint = Text(printable(self._problem), style="bold white on red")
            hint.truncate(width, overflow="ellipsis")
        if self._reading is None:
            return Group(Text("reading ..."), hint)
        body = render(
            self._reading, url=self._url, sort=sort, width=width, height=height - 1
        )
        return Group(hint, body)


async def watch(read: Callable[[], Reading], url: str, interval: float) -> None:
    """Show readings until somebody quits.

    A gateway that goes away is waited for, once it was there.

    Args:
        read: Returns a reading; it is called in a thread.
        url: Where it reads.
        interval: Seconds between two readings.

    Raises:
        AdminError: The first reading failed.
    """
    from prompt_toolkit.input import create_input

    view = View(url)
    view.show(await asyncio.to_thread(read))
    keys = create_input()

    def pressed() -> None:
        for press in keys.read_keys():
            view.press(press.key)

    with ExitStack() as stack:
        stack.enter_context(keys.raw_mode())
        stack.enter_context(keys.attach(pressed))
        screen = console()
        live = stack.enter_context(
            Live(console=screen, screen=True, auto_refresh=False)
        )
        reading = asyncio.ensure_future(_keep_reading(read, view, interval))
        stack.callback(reading.cancel)
        while not view.done.is_set():
            view.changed.clear()
            live.update(view.screen(*screen.size), refresh=True)
            await view.changed.wait()


async def _keep_reading(
    read: Callable[[], Reading], view: View, interval: float
) -> None:
    while True:
        await asyncio.sleep(interval)
        try:
            view.show(await asyncio.to_thread(read))
        except AdminError as error:
            view.complain(str(error))
