"""Where the lines that are typed come from: a prompt, or any stream."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import AsyncIterator, Iterator

__all__ = ("prompted_lines", "stream_lines")

_CHUNK_BYTES = 65536


async def prompted_lines() -> AsyncIterator[str]:
    """Yield what is typed at a prompt, until Ctrl-C or Ctrl-D.

    What is printed meanwhile appears above the prompt.
    """
    from prompt_toolkit import PromptSession
    from prompt_toolkit.patch_stdout import patch_stdout

    session: PromptSession[str] = PromptSession("> ")
    with patch_stdout(raw=True):
        while True:
            try:
                line = await session.prompt_async()
            except (EOFError, KeyboardInterrupt):
                return
            yield line


async def stream_lines(descriptor: int | None = None) -> AsyncIterator[str]:
    """Yield the lines of a file, a pipe or a terminal, until it ends.

    Args:
        descriptor: What to read; None is standard input.
    """
    source = sys.stdin.fileno() if descriptor is None else descriptor
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes | None] = asyncio.Queue()

    def read() -> None:
        # When the loop is closed, nobody waits for lines any more.
        with contextlib.suppress(RuntimeError):
            for line in _lines_of(source):
                loop.call_soon_threadsafe(queue.put_nowait, line)
            loop.call_soon_threadsafe(queue.put_nowait, None)

    # Event loops can't wait for a file, nor on Windows for standard input. A daemon,
    # since nothing but the other end can end a read.
    threading.Thread(target=read, daemon=True).start()
    while (line := await queue.get()) is not None:
        yield line.decode(errors="replace")


def _lines_of(descriptor: int) -> Iterator[bytes]:
    # Not through sys.stdin: its lock, held at exit, aborts the interpreter.
    rest = b""
    # A terminal that is gone fails to read; that is an end like any other.
    with contextlib.suppress(OSError):
        while chunk := os.read(descriptor, _CHUNK_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines
    if rest:
        yield rest
