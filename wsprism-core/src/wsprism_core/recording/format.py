"""The file: a head, then blocks of records, each whole or not there.

`MAGIC`, the version (u16), then blocks `[size: u32][crc32: u32][zlib]`, big-endian; the
checksum begins with the size. A block holds records, MessagePack arrays `[kind, ...]`;
the first of a file is its `Header`. Bytes that were written in the same block before
are named by their place in it, since a broadcast goes to many.

A file that ends early is read up to its last whole block.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgpack  # type: ignore[import-untyped]

from wsprism_core.protocol.errors import WsPrismError

__all__ = (
    "FORMAT_VERSION",
    "MAGIC",
    "BlockPacker",
    "Header",
    "Kind",
    "Record",
    "RecordingError",
    "RecordingReader",
    "block",
    "fields_of",
    "head",
)

MAGIC: Final = b"wsprism recording\n"
#: What this version writes, and the only one that it reads.
FORMAT_VERSION: Final = 2
#: The largest block, compressed or not, in bytes; no claimed size counts beyond it.
MAX_BLOCK: Final = 64 * 1024 * 1024

_VERSION: Final = struct.Struct(">H")
_BLOCK: Final = struct.Struct(">II")

#: A kind and what belongs to it, see `Kind`.
Record: TypeAlias = tuple[Any, ...]


class RecordingError(WsPrismError):
    """A file that is no recording, or a broken one; the text says where."""


class Kind(IntEnum):
    """What a record tells. Connections are numbered in the order of opening, from 1."""

    #: The file's head: a mapping.
    HEADER = 0
    #: A turn begins: nanoseconds since the start, milliseconds since 1970.
    TURN = 1
    #: It has ended.
    END_OF_TURN = 2
    #: A session: connection, user, tenant, framing, codec, transport, whether it had
    #: no ticket in the handshake, the `seq` to answer, whether it wanted to resume,
    #: when its ticket expires, the rooms that it is for, its id.
    OPEN = 3
    #: A text message came: connection, payload. Likewise the next.
    TEXT = 4
    BINARY = 5
    #: A message that cannot be decoded, and may hold a ticket: connection, code, text,
    #: `seq`, whether it is a strike.
    MALFORMED = 6
    #: Something came that is no message: connection.
    HEARD = 7
    PONG = 8
    #: A pong is to be sent: connection, framed bytes.
    CONTROL = 9
    #: The socket takes nothing, or again: connection.
    PAUSE = 10
    RESUME = 11
    #: The link has ended by itself: connection, code, reason.
    CLOSED = 12
    #: A new ticket was judged: number of the refresh, user or None, when it expires,
    #: the rooms that it is for, its id.
    REFRESHED = 13
    #: An async handler has ended: connection, service, outcome.
    RESULT = 14
    #: A plugin wanted something done from outside: service, tenant, outcome.
    ACTIONS = 15
    #: The gateway began to drain.
    DRAIN = 16
    #: Tickets were revoked: tenant, user or None, the ticket's id or None.
    REVOKED = 17
    #: Bytes went out: connection, and the bytes or their place in the block.
    WRITE = 20
    #: The socket was full behind a write: connection, bytes written to it up to then,
    #: whether it said so at once.
    FULL = 21
    #: The core closed the link: connection, code, reason.
    CLOSE = 22
    #: How much the socket had not taken when the core asked: connection, bytes.
    UNSENT = 23
    #: What a source from outside gave: its number, outcome, whether there is more.
    PULLED = 24
    #: Something of the client waited unread when the core asked: connection.
    BEHIND = 25
    #: The recording ends: why.
    END = 30


_KINDS: Final = frozenset(int(kind) for kind in Kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a recording says of the gateway that it was made of.

    Args:
        wall_ms: When it began, milliseconds since 1970.
        seed: What its chance came from.
        config: A digest of its configuration; None where it ran without a file.
        plugins: Name, distribution and version of each plugin, in the order of calling;
            the last two are None of one that was handed over.
        core: The version of wsprism-core.
        python: The version of Python.
    """

    wall_ms: int
    seed: int
    config: str | None
    plugins: tuple[tuple[str, str | None, str | None], ...]
    core: str
    python: str


class BlockPacker:
    """Collects records as the inside of the next block.

    Attributes:
        size: How much that is, in bytes.
    """

    def __init__(self) -> None:
        self._packer = msgpack.Packer(unicode_errors="surrogatepass")
        self._packed: list[bytes] = []
        self._places: dict[bytes, int] = {}
        self.size = 0

    def add(self, record: Record) -> None:
        """Add a record."""
        if record[0] == Kind.WRITE:
            record = self._named(record)
        packed: bytes = self._packer.pack(record)
        self._packed.append(packed)
        self.size += len(packed)

    def take(self) -> bytes:
        """Return the records, and begin the next block."""
        raw = b"".join(self._packed)
        self._packed.clear()
        self._places.clear()
        self.size = 0
        return raw

    def _named(self, record: Record) -> Record:
        """Return a write that names its bytes, where the block holds them already."""
        kind, number, data = record
        known = len(self._places)
        place = self._places.setdefault(data, known)
        return record if place == known else (kind, number, place)


def head() -> bytes:
    """Return what a file begins with."""
    return MAGIC + _VERSION.pack(FORMAT_VERSION)


def block(raw: bytes) -> bytes:
    """Return records as a block."""
    data = zlib.compress(raw, 1)
    size = len(data)
    return _BLOCK.pack(size, zlib.crc32(data, size)) + data


class RecordingReader:
    """Reads a recording from its beginning to its end.

    Args:
        path: The file.

    Attributes:
        header: What it says of its gateway.
        end: Why it ends, once it was read; None where the file is cut off.

    Raises:
        RecordingError: It cannot be read, is no recording, or one of another version.
    """

    def __init__(self, path: Path) -> None:
        self.end: str | None = None
        self._path = path
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise RecordingError(f"{path} cannot be read: {error.strerror}") from error
        try:
            self._check_head()
            self._records = self._read()
            self.header = self._read_header()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> RecordingReader:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._file.close()

    def turns(self) -> Iterator[list[Record]]:
        """Yield the records of each whole turn; the first is the `TURN`.

        Raises:
            RecordingError: The file is broken.
        """
        turn: list[Record] = []
        for record in self._records:
            match record[0]:
                case Kind.TURN:
                    turn = [record]
                case Kind.END_OF_TURN:
                    yield turn
                    turn = []
                case Kind.END:
                    self.end = record[1]
                    return
                case _:
                    turn.append(record)

    def _check_head(self) -> None:
        found = self._file.read(len(MAGIC) + _VERSION.size)
        if not found.startswith(MAGIC) or len(found) < len(MAGIC) + _VERSION.size:
            raise RecordingError(f"{self._path} is no recording of wsPrism")
        (version,) = _VERSION.unpack(found[len(MAGIC) :])
        if version != FORMAT_VERSION:
            raise RecordingError(
                f"{self._path} has format {version}; "
                f"this wsprism-core reads format {FORMAT_VERSION}"
            )

    def _read_header(self) -> Header:
        first = next(self._records, None)
        if first is None:
            raise RecordingError(f"{self._path} ends before its first block does")
        try:
            kind, fields = first
            if kind != Kind.HEADER:
                raise ValueError("the first record is another")
            plugins = tuple((name, dist, ver) for name, dist, ver in fields["plugins"])
            return Header(**{**fields, "plugins": plugins})
        except (TypeError, ValueError, KeyError) as error:
            raise RecordingError(f"{self._path} has a bad header: {error}") from error

    def _read(self) -> Iterator[Record]:
        place = self._file.tell()
        while (raw := self._read_block(place)) is not None:
            try:
                yield from _unpack(raw)
            except (ValueError, TypeError, IndexError, KeyError) as error:
                raise self._broken(place, f"bad records: {error}") from error
            place = self._file.tell()

    def _read_block(self, place: int) -> bytes | None:
        """Return the inside of the next block; None where no whole one follows."""
        found = self._file.read(_BLOCK.size)
        if len(found) < _BLOCK.size:
            return None
        size, checksum = _BLOCK.unpack(found)
        if size > MAX_BLOCK:
            raise self._broken(place, f"it claims {size} bytes")
        data = self._file.read(size)
        if len(data) < size:
            return None
        if zlib.crc32(data, size) != checksum:
            raise self._broken(place, "its checksum is another")
        inflater = zlib.decompressobj()
        try:
            raw = inflater.decompress(data, MAX_BLOCK)
        except zlib.error as error:
            raise self._broken(place, str(error)) from error
        if not inflater.eof:
            raise self._broken(place, "it does not end")
        return raw

    def _broken(self, place: int, why: str) -> RecordingError:
        return RecordingError(f"{self._path} is broken in the block at {place}: {why}")


def _unpack(raw: bytes) -> Iterator[Record]:
    """Yield the records of a block.

    Raises:
        ValueError: They are none. `TypeError` and `IndexError` likewise.
    """
    unpacker = msgpack.Unpacker(
        max_buffer_size=max(1, len(raw)),
        unicode_errors="surrogatepass",
        strict_map_key=False,
    )
    unpacker.feed(raw)
    written: list[bytes] = []
    while unpacker.tell() < len(raw):
        try:
            record = unpacker.unpack()
        except msgpack.OutOfData as error:
            raise ValueError("the last is cut off") from error
        if type(record) is not list or not record or record[0] not in _KINDS:
            raise ValueError("one is of no kind")
        if record[0] == Kind.WRITE:
            if type(record[2]) is int:
                record[2] = written[record[2]]
            else:
                written.append(record[2])
        yield tuple(record)


def fields_of(header: Header) -> Mapping[str, Any]:
    """Return a header as its record holds it."""
    return {name: getattr(header, name) for name in Header.__slots__}
