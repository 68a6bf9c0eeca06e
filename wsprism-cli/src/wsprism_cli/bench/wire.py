"""What the load client puts on the wire, and how it finds it again.

Every message carries a token: a mark, the time at which it was to be sent, its stream
and its sender. The token is text in a chat message as in a hot frame, so that it is
found in raw bytes, by a search in C, without decoding what is around it.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Final

__all__ = (
    "LARGEST",
    "MARK",
    "SMALLEST",
    "TIME_MASK",
    "FrameReader",
    "TokenCounter",
    "TokenReader",
    "chat_message",
    "close_code",
    "frame",
    "history_message",
    "hot_message",
    "ping_message",
    "token",
)

#: What a token begins with; no message has it anywhere else.
MARK: Final = b"~" * 8
_DIGITS: Final = 18
#: The length of a token, and so the least size of a message.
SMALLEST: Final = len(MARK) + _DIGITS
#: The longest text that chat may be told to take.
LARGEST: Final = 16_384
#: Times are nanoseconds of `time.perf_counter_ns`, as far as 48 bits hold.
TIME_MASK: Final = (1 << 48) - 1

# A reason is text, while what could be taken for a close frame inside a hot frame has
# the zeros of a small number behind it.
_CLOSE: Final = re.compile(
    rb"\x88([\x02-\x7d])([\x03-\x13][\x00-\xff])[\x20-\x7e]*\Z", re.DOTALL
)

TEXT: Final = 1
BINARY: Final = 2
#: Frames in a run below which it costs more to go by runs than to search all bytes.
SHORT_RUN: Final = 8


def token(time: int, stream: int, sender: int) -> bytes:
    """Return a token.

    Args:
        time: When the message was to be sent, in nanoseconds.
        stream: The stream's index, 8 bits.
        sender: The client's index, 16 bits.
    """
    return MARK + b"%018x" % ((time & TIME_MASK) << 24 | stream << 16 | sender)


def frame(opcode: int, payload: bytes) -> bytes:
    """Return a WebSocket frame from a client, masked with zeros.

    The mask protects proxies from browsers. Here it would only cost the client time:
    with zeros the payload stands as it is, and the gateway unmasks it all the same.
    """
    return _head(opcode, len(payload)) + payload


def _head(opcode: int, length: int) -> bytes:
    first = 0x80 | opcode
    if length < 126:
        return struct.pack(">BB4x", first, 0x80 | length)
    if length < 1 << 16:
        return struct.pack(">BBH4x", first, 0xFE, length)
    return struct.pack(">BBQ4x", first, 0xFF, length)


def chat_message(room: str, size: int) -> tuple[bytes, bytes]:
    """Return what stands before and behind the token of a `chat.send`.

    Args:
        room: The room's name.
        size: The length of `msg` in characters.
    """
    before = b'{"svc":"chat","type":"send","room":"%b","data":{"msg":"' % room.encode()
    behind = b"." * (size - SMALLEST) + b'"}}'
    return _around(TEXT, before, behind)


def history_message(room: str) -> bytes:
    """Return a whole frame that asks for the newest page of a room's history."""
    ask = b'{"svc":"chat","type":"history","room":"%b","data":{"limit":100}}'
    return frame(TEXT, ask % room.encode())


def ping_message() -> tuple[bytes, bytes]:
    """Return what stands before and behind the token of a `sys.ping`."""
    before = b'{"svc":"sys","type":"ping","data":{"client_ts":"'
    return _around(TEXT, before, b'"}}')


def hot_message(opcode: int, alias: int, size: int) -> tuple[bytes, bytes]:
    """Return what stands before and behind the token of a hot frame of `game`.

    Args:
        opcode: The opcode; INPUT, 1, has SEQ, whose four bytes are left to the caller.
        alias: The room's.
        size: The length of the payload in bytes.
    """
    behind = b"." * (size - SMALLEST)
    if opcode != 1:
        return _around(BINARY, struct.pack("<BBBBI", 1, 1, opcode, 4, alias), behind)
    # SEQ comes before the alias: the caller writes both, so only the four bytes stay.
    length = 12 + size
    return _head(BINARY, length) + struct.pack("<BBBB", 1, 1, 1, 5), behind


def _around(opcode: int, before: bytes, behind: bytes) -> tuple[bytes, bytes]:
    return _head(opcode, len(before) + SMALLEST + len(behind)) + before, behind


def close_code(tail: bytes) -> int | None:
    """Return the code of the close frame that a stream of bytes ends with, if any."""
    found = _CLOSE.search(tail)
    if found is None or found.start() + 2 + found[1][0] != len(tail):
        return None
    return int.from_bytes(found[2], "big")


class TokenCounter:
    """Counts the frames with a token in a stream of bytes that comes in pieces.

    A room's messages are of one length for as long as they are of one stream. So it
    goes from frame to frame by a whole run of equal heads at a time, and looks for a
    token in the first of each. Where lengths change all the time it counts tokens
    instead, which takes a search of all bytes.
    """

    __slots__ = ("_in_runs", "_rest")

    def __init__(self) -> None:
        self._rest = b""
        self._in_runs = True

    def feed(self, data: bytes) -> int:
        """Return how many such frames, or their tokens, end in a piece."""
        data = self._rest + data
        if not self._in_runs:
            # One byte less than a token: so none is whole in it, and none is missed.
            self._rest = data[1 - SMALLEST :]
            return data.count(MARK, 0, max(0, len(data) - _DIGITS))
        found = at = runs = frames = 0
        while (size := _frame_size(data, at)) and at + size <= len(data):
            run = _run_of_frames(data, at, size)
            if data.find(MARK, at, at + size) >= 0:
                found += run
            at += run * size
            runs += 1
            frames += run
        self._rest = data[at:]
        if frames > SHORT_RUN * SHORT_RUN and frames < SHORT_RUN * runs:
            self._in_runs = False
        return found


def _frame_size(data: bytes, at: int) -> int:
    """Return how long the frame at a place is, with its head; 0 where that is open."""
    if len(data) - at < 2:
        return 0
    length = data[at + 1] & 0x7F
    if length < 126:
        return 2 + length
    head = 4 if length == 126 else 10
    if len(data) - at < head:
        return 0
    return head + int.from_bytes(data[at + 2 : at + head], "big")


def _run_of_frames(data: bytes, at: int, size: int) -> int:
    """Return how many whole frames from a place on have the head of the first."""
    run = (len(data) - at) // size
    head = {126: 4, 127: 10}.get(data[at + 1] & 0x7F, 2)
    for place in range(at, at + head):
        if run == 1:
            break
        column = data[place : place + (run - 1) * size + 1 : size]
        same = column[:1]
        if column.count(same) < run:
            run -= len(column.lstrip(same))
    return run


class TokenReader:
    """Reads the tokens of one stream of bytes that comes in pieces."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[int]:
        """Return the tokens that end in a piece.

        Each is a number: the sender in 16 bits, above it the stream in 8, above that
        the time.
        """
        parts = (self._rest + data).split(MARK)
        last = parts[-1]
        if len(parts) > 1 and len(last) < _DIGITS:
            self._rest = MARK + last
            parts.pop()
        else:
            self._rest = last[len(last.rstrip(MARK[:1])) :]
        return [int(part[:_DIGITS], 16) for part in parts[1:]]


class FrameReader:
    """Takes the frames out of a stream of bytes that comes in pieces."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield opcode and payload of each frame that is whole."""
        self._rest += data
        while (found := self._next()) is not None:
            yield found

    def hold(self, data: bytes) -> None:
        """Keep bytes for the next one who feeds."""
        self._rest += data

    def rest(self) -> bytes:
        """Return what is there of a frame that is not whole, and forget it."""
        rest, self._rest = bytes(self._rest), bytearray()
        return rest

    def _next(self) -> tuple[int, bytes] | None:
        rest = self._rest
        if len(rest) < 2:
            return None
        length, start = rest[1] & 0x7F, 2
        if length == 126:
            start = 4
        elif length == 127:
            start = 10
        if start > 2:
            if len(rest) < start:
                return None
            length = int.from_bytes(rest[2:start], "big")
        end = start + length
        if len(rest) < end:
            return None
        opcode, payload = rest[0] & 0x0F, bytes(rest[start:end])
        del rest[:end]
        return opcode, payload
