"""Writing blocks beside the event loop, with a bound on everything.

Compressing and writing happen in a thread that lets the event loop run meanwhile. A
full disk, a slow one or a file that is large enough ends the recording and nothing
else.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

import msgpack  # type: ignore[import-untyped]

from wsprism_core.recording.format import Kind, block, head

__all__ = ("MAX_WAITING", "BlockWriter", "Sink")

#: How many blocks may wait for the disk.
MAX_WAITING: Final = 64
#: How long the end of a recording may hold up that of the gateway, in seconds.
CLOSE_SECONDS: Final = 5.0


class Sink(Protocol):
    """A binary file without a buffer."""

    def write(self, data: bytes, /) -> int | None:
        """Write bytes; return how many of them."""

    def close(self) -> None:
        """Close it."""


class BlockWriter:
    """Writes blocks to a file in a thread.

    Args:
        file: What is written to, and closed at the end.
        max_bytes: How large it may become.
        wrote: Called in the thread with the size of what was written.
        stopped: Called in the thread, once, where the recording ends before `close`,
            with the reason (`error`, `max_bytes`) and a text for people.
    """

    def __init__(
        self,
        file: Sink,
        *,
        max_bytes: int,
        wrote: Callable[[int], None],
        stopped: Callable[[str, str], None],
    ) -> None:
        self._file = file
        self._max_bytes = max_bytes
        self._wrote = wrote
        self._stopped = stopped
        self._size = 0
        self._is_over = False
        self._waiting: queue.Queue[bytes | None] = queue.Queue(MAX_WAITING)
        self._thread = threading.Thread(
            target=self._work, name="wsprism-recording", daemon=True
        )
        self._thread.start()

    def put(self, raw: bytes) -> bool:
        """Write records as a block, soon; return False where too many wait."""
        try:
            self._waiting.put_nowait(raw)
        except queue.Full:
            return False
        return True

    def close(self, why: str | None) -> None:
        """Write what waits and the end, and wait for it unless the disk hangs.

        Args:
            why: What the end says; None leaves it out.
        """
        last = () if why is None else (_end(why),)
        try:
            for one in (*last, None):
                self._waiting.put(one, timeout=CLOSE_SECONDS)
        except queue.Full:
            return
        self._thread.join(CLOSE_SECONDS)

    def _work(self) -> None:
        self._try(lambda: self._write(head()))
        while (raw := self._waiting.get()) is not None:
            self._try(partial(self._write_block, raw))
        try:
            self._file.close()
        except OSError as error:
            self._give_up("error", str(error))

    def _try(self, work: Callable[[], None]) -> None:
        """Do it unless it is over; where it fails, it is."""
        if self._is_over:
            return
        try:
            work()
        except OSError as error:
            self._give_up("error", str(error))

    def _write_block(self, raw: bytes) -> None:
        data, end = block(raw), block(_end("max_bytes"))
        if self._size + len(data) + len(end) > self._max_bytes:
            self._write(end)
            self._give_up("max_bytes", f"the file has its {self._max_bytes} bytes")
            return
        self._write(data)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._file.write(bytes(view)) or 0 :]
        self._size += len(data)
        self._wrote(len(data))

    def _give_up(self, reason: str, text: str) -> None:
        if not self._is_over:
            self._is_over = True
            self._stopped(reason, text)


def _end(why: str) -> bytes:
    packed: bytes = msgpack.packb((Kind.END, why))
    return packed
