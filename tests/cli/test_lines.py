from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from wsprism_cli.lines import stream_lines


async def read(descriptor: int) -> list[str]:
    return [line async for line in stream_lines(descriptor)]


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"one\ntwo\n", ["one", "two"]),
        (b"one\n\nlast without an end", ["one", "", "last without an end"]),
        (b"dos\r\n", ["dos\r"]),
        ("höhe\n".encode(), ["höhe"]),
        (b"\xff\n", ["\ufffd"]),
        (b"x" * 200_000 + b"\nend", ["x" * 200_000, "end"]),
    ],
)
async def test_a_file_is_read_to_its_end(
    tmp_path: Path, data: bytes, lines: list[str]
) -> None:
    path = tmp_path / "lines"
    path.write_bytes(data)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        assert await read(descriptor) == lines
    finally:
        os.close(descriptor)


async def test_lines_come_as_they_are_written() -> None:
    source, sink = os.pipe()
    lines = stream_lines(source)
    try:
        for half in (b"hel", b"lo\nwor"):
            os.write(sink, half)
        assert await anext(lines) == "hello"
        os.write(sink, b"ld\n")
        assert await anext(lines) == "world"
    finally:
        os.close(sink)
    assert [line async for line in lines] == []
    os.close(source)


async def test_a_source_that_fails_has_ended() -> None:
    source, sink = os.pipe()
    os.close(sink)
    os.close(source)
    assert await read(source) == []


def test_nobody_waits_for_a_source_that_never_ends() -> None:
    source, sink = os.pipe()

    async def read_one() -> str:
        lines = stream_lines(source)
        os.write(sink, b"one\n")
        return await anext(lines)

    assert asyncio.run(read_one()) == "one"
    # The loop is closed; the reader's thread notices with the next line, quietly.
    os.write(sink, b"two\n")
    os.close(sink)
