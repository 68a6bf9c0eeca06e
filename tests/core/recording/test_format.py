from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsprism_core.recording.format import (
    FORMAT_VERSION,
    MAGIC,
    MAX_BLOCK,
    BlockPacker,
    Header,
    Kind,
    RecordingError,
    RecordingReader,
    block,
    fields_of,
    head,
)

HEADER = Header(
    wall_ms=1_767_225_600_000,
    seed=2**63 - 1,
    config="c0ffee",
    plugins=(("chat", "wsprism-chat", "1.0"), ("lab", None, None)),
    core="1.0",
    python="3.11.7",
)

numbers = st.integers(1, 2**32)
payloads = st.binary(max_size=60)
inner = st.one_of(
    st.tuples(st.sampled_from([Kind.TEXT, Kind.BINARY]), numbers, payloads),
    st.tuples(st.just(Kind.WRITE), numbers, payloads),
    st.tuples(st.just(Kind.CLOSED), numbers, st.integers(1000, 4999), st.text()),
    st.tuples(st.just(Kind.FULL), numbers, st.integers(0, 2**60), st.booleans()),
    st.tuples(
        st.just(Kind.REFRESHED),
        numbers,
        st.none() | st.text(),
        st.none() | st.floats(0, 2**40),
        st.none() | st.lists(st.text()),
        st.none() | st.text(),
    ),
    st.just((Kind.DRAIN,)),
)
turns = st.lists(
    st.tuples(st.integers(0, 2**62), st.integers(0, 2**45), st.lists(inner)),
    max_size=8,
)


def write(path: Path, *blocks: list[tuple[Any, ...]]) -> bytes:
    """Write records, a list a block, behind a header; return the file."""
    data = head()
    for records in ([(Kind.HEADER, fields_of(HEADER))], *blocks):
        packer = BlockPacker()
        for record in records:
            packer.add(record)
        data += block(packer.take())
    path.write_bytes(data)
    return data


def read(path: Path) -> tuple[list[list[tuple[Any, ...]]], str | None]:
    with RecordingReader(path) as reader:
        found = list(reader.turns())
        return found, reader.end


def turn(at: int, *records: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    return [(Kind.TURN, at, at), *records, (Kind.END_OF_TURN,)]


@settings(deadline=None)
@given(turns, st.integers(1, 7), st.booleans())
def test_what_was_written_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    wanted: list[tuple[int, int, list[Any]]],
    size: int,
    is_closed: bool,
) -> None:
    path = tmp_path_factory.mktemp("format") / "a.rec"
    records: list[tuple[Any, ...]] = []
    for now_ns, wall_ms, inputs in wanted:
        records += [(Kind.TURN, now_ns, wall_ms), *inputs, (Kind.END_OF_TURN,)]
    if is_closed:
        records.append((Kind.END, "closed"))
    # Turns lie across blocks.
    blocks = [records[at : at + size] for at in range(0, len(records), size)]
    write(path, *blocks)
    found, end = read(path)
    assert found == [
        [(Kind.TURN, now_ns, wall_ms), *inputs] for now_ns, wall_ms, inputs in wanted
    ]
    assert end == ("closed" if is_closed else None)


def test_the_header_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    write(path)
    with RecordingReader(path) as reader:
        assert reader.header == HEADER
        assert reader.end is None


def test_what_goes_to_many_is_held_once() -> None:
    packer = BlockPacker()
    for number in range(100):
        packer.add((Kind.WRITE, number, b"x" * 1000))
    assert packer.size < 2_000
    assert len(packer.take()) < 2_000
    # The next block is by itself.
    packer.add((Kind.WRITE, 1, b"x" * 1000))
    assert packer.size > 1_000


def test_a_file_that_is_cut_off_anywhere_is_read_to_its_last_whole_block(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.rec"
    blocks = [turn(at, (Kind.TEXT, 1, b"hello %d" % at)) for at in range(3)]
    data = write(path, *blocks, [(Kind.END, "closed")])
    ends, at = [], len(head())
    while at < len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        at += 8 + size
        ends.append(at)
    for cut in range(len(data)):
        path.write_bytes(data[:cut])
        whole = sum(end <= cut for end in ends)
        if whole == 0:
            with pytest.raises(RecordingError):
                read(path)
            continue
        found, end = read(path)
        assert [records[0][1] for records in found] == list(range(min(whole - 1, 3)))
        assert end is None


def test_a_file_that_is_changed_anywhere_is_refused_or_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    data = write(path, turn(1, (Kind.TEXT, 1, b"hello")), [(Kind.END, "closed")])
    good, _ = read(path)
    refused = 0
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :])
        try:
            found, end = read(path)
        except RecordingError:
            refused += 1
        else:
            # A size that became larger than what is left.
            assert end is None
            assert found == good[: len(found)]
    assert refused > len(data) * 0.8


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "is no recording of wsPrism"),
        (b"#!/bin/sh\nexit 0 and more of it", "is no recording of wsPrism"),
        (MAGIC + b"\x00", "is no recording of wsPrism"),
        (
            MAGIC + b"\x00\x09",
            f"has format 9; this wsprism-core reads format {FORMAT_VERSION}",
        ),
        (head(), "ends before its first block does"),
        (head() + struct.pack(">II", MAX_BLOCK + 1, 0), "it claims 67108865 bytes"),
        (head() + block(b"\x91\x05"), "has a bad header"),
        (head() + block(b"\x92\x00\x80"), "has a bad header"),
        (head() + block(b"\x91\xcc\xff"), "bad records: one is of no kind"),
        (head() + block(b"\x92\x00"), "bad records: the last is cut off"),
        (head() + block(b"\xc1"), "bad records"),
    ],
)
def test_what_is_no_recording_is_refused(
    tmp_path: Path, data: bytes, text: str
) -> None:
    path = tmp_path / "a.rec"
    path.write_bytes(data)
    with pytest.raises(RecordingError, match=text):
        read(path)


def test_a_block_that_inflates_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    data = zlib.compress(bytes(MAX_BLOCK + 1), 9)
    size = len(data)
    path.write_bytes(head() + struct.pack(">II", size, zlib.crc32(data, size)) + data)
    with pytest.raises(RecordingError, match="it does not end"):
        read(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="cannot be read: No such file"):
        RecordingReader(tmp_path / "none.rec")
