from __future__ import annotations

import errno
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import msgpack  # type: ignore[import-untyped]

from wsprism_core.recording import writer as writer_module
from wsprism_core.recording.format import Kind, block, head
from wsprism_core.recording.writer import MAX_WAITING, BlockWriter

if TYPE_CHECKING:
    import pytest


class Disk:
    """A file of which a test decides how it takes bytes."""

    def __init__(self, room: int = 10_000_000, at_once: int = 1 << 20) -> None:
        self.data = bytearray()
        self.room = room
        self.at_once = at_once
        self.closed = 0
        self.go_on = threading.Event()
        self.go_on.set()

    def write(self, data: bytes, /) -> int:
        self.go_on.wait()
        taken = data[: min(self.at_once, self.room)]
        if not taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.room -= len(taken)
        self.data += taken
        return len(taken)

    def close(self) -> None:
        self.closed += 1


class Told:
    def __init__(self) -> None:
        self.bytes = 0
        self.stops: list[tuple[str, str]] = []

    def wrote(self, size: int) -> None:
        self.bytes += size

    def stopped(self, reason: str, text: str) -> None:
        self.stops.append((reason, text))


def make(disk: Disk, max_bytes: int = 1 << 30) -> tuple[BlockWriter, Told]:
    told = Told()
    return (
        BlockWriter(disk, max_bytes=max_bytes, wrote=told.wrote, stopped=told.stopped),
        told,
    )


def test_a_file_that_takes_little_at_once_is_whole() -> None:
    disk = Disk(at_once=3)
    writer, told = make(disk)
    assert writer.put(b"\x91\x0f")
    writer.close("closed")
    assert disk.data.startswith(head())
    assert told.bytes == len(disk.data)
    assert (told.stops, disk.closed) == ([], 1)


def test_a_full_disk_ends_the_recording_once() -> None:
    disk = Disk(room=50)
    writer, told = make(disk)
    for _ in range(10):
        assert writer.put(b"x" * 20)
    writer.close("closed")
    assert told.stops == [("error", "[Errno 28] No space left on device")]
    assert disk.closed == 1


def test_the_bound_is_kept_and_the_end_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    told = Told()
    writer = BlockWriter(
        path.open("wb", buffering=0),
        max_bytes=200,
        wrote=told.wrote,
        stopped=told.stopped,
    )
    for at in range(20):
        writer.put(bytes([0x93, Kind.TURN, at, at]) + bytes([0x91, Kind.END_OF_TURN]))
    writer.close("closed")
    assert told.stops == [("max_bytes", "the file has its 200 bytes")]
    assert path.stat().st_size <= 200
    data = path.read_bytes()
    assert len(data) == told.bytes
    assert data.endswith(block(msgpack.packb((Kind.END, "max_bytes"))))


def test_a_disk_that_is_too_slow_is_told_to_who_puts() -> None:
    disk = Disk()
    disk.go_on.clear()
    writer, _ = make(disk)
    put = [writer.put(b"x") for _ in range(MAX_WAITING + 2)]
    assert put[-1] is False
    assert put.count(True) in (MAX_WAITING, MAX_WAITING + 1)
    disk.go_on.set()
    writer.close("closed")
    assert disk.closed == 1


def test_a_disk_that_hangs_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "CLOSE_SECONDS", 0.01)
    disk = Disk()
    disk.go_on.clear()
    writer, _ = make(disk)
    while writer.put(b"x"):
        pass
    writer.close("closed")
    assert disk.closed == 0
    disk.go_on.set()
