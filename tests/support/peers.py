"""Clients of the transports that can also misbehave, down to single bytes.

None of them reads before it is asked for a frame.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import struct
from collections import deque
from typing import NamedTuple, Protocol, Self

from wsprism_core.protocol.framing import (
    FrameDecoder,
    decode_close,
    encode_close,
    encode_frame,
)
from wsprism_core.protocol.layout import FrameKind
from wsprism_core.transports.memory import MemoryClient

TIMEOUT = 10.0
KEY = "dGhlIHNhbXBsZSBub25jZQ=="


class Got(NamedTuple):
    """A frame, or `end` where the connection ended."""

    kind: str
    payload: bytes = b""
    code: int = 0


END = Got("end")


class Peer(Protocol):
    """The other end of a link."""

    async def send(self, kind: str, payload: bytes) -> None: ...

    async def send_raw(self, data: bytes) -> None: ...

    def framed(self, kind: str, payload: bytes) -> bytes: ...

    async def close(self, code: int, reason: str) -> None: ...

    async def frame(self) -> Got: ...

    def drop(self) -> None: ...


async def read_to_end(peer: Peer) -> list[Got]:
    """Answer a close as one should; return every frame up to the end."""
    frames: list[Got] = []
    while (got := await peer.frame()) != END:
        frames.append(got)
        if got.kind == "close":
            with contextlib.suppress(ConnectionError):
                await peer.close(got.code, "")
    return frames


class Stream:
    """A socket that holds little unread."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(
        cls,
        port: int,
        tls: ssl.SSLContext | None = None,
        *,
        address: str = "127.0.0.1",
    ) -> Self:
        raw = socket.socket()
        # Before connecting, so that the window is small from the start.
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        raw.setblocking(False)
        async with asyncio.timeout(TIMEOUT):
            loop = asyncio.get_running_loop()
            try:
                await loop.sock_connect(raw, (address, port))
            except OSError:
                raw.close()
                raise
            reader, writer = await asyncio.open_connection(
                sock=raw,
                limit=1024,
                ssl=tls,
                server_hostname="localhost" if tls else None,
            )
        return cls(reader, writer)

    async def send_raw(self, data: bytes) -> None:
        async with asyncio.timeout(TIMEOUT):
            self._writer.write(data)
            await self._writer.drain()

    async def read(self, size: int) -> bytes:
        """Return exactly so many bytes.

        Raises:
            asyncio.IncompleteReadError: The connection ended before.
        """
        async with asyncio.timeout(TIMEOUT):
            return await self._reader.readexactly(size)

    async def read_head(self) -> bytes:
        async with asyncio.timeout(TIMEOUT):
            return await self._reader.readuntil(b"\r\n\r\n")

    async def read_all(self) -> bytes:
        """Return everything up to the end, a reset being one."""
        data = bytearray()
        async with asyncio.timeout(TIMEOUT):
            try:
                while chunk := await self._reader.read(65_536):
                    data += chunk
            except ConnectionError:
                pass
        return bytes(data)

    def send_eof(self) -> None:
        self._writer.write_eof()

    def drop(self) -> None:
        self._writer.transport.abort()

    def reset(self) -> None:
        """Drop it with a TCP reset: nothing is said, and nothing more is read."""
        linger = struct.pack("ii", 1, 0)
        raw = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.drop()


class StreamPeer(Stream):
    """A `Peer` on a stream; a framing says how a frame is read."""

    async def frame(self) -> Got:
        try:
            return await self.read_frame()
        except (asyncio.IncompleteReadError, ConnectionError):
            return END

    async def read_frame(self) -> Got:
        raise NotImplementedError

    def framed(self, kind: str, payload: bytes) -> bytes:
        raise NotImplementedError

    async def send(self, kind: str, payload: bytes) -> None:
        await self.send_raw(self.framed(kind, payload))

    async def close(self, code: int, reason: str) -> None:
        await self.send("close", encode_close(code, reason))


OPCODES = {"cont": 0, "text": 1, "binary": 2, "close": 8, "ping": 9, "pong": 10}
KINDS = {number: name for name, number in OPCODES.items()}


def client_frame(
    opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0, mask: bool = True
) -> bytes:
    """Return a frame as a client sends it, or should not."""
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    masked = 0x80 if mask else 0
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", first, masked | size)
    elif size < 65_536:
        head = struct.pack("!BBH", first, masked | 126, size)
    else:
        head = struct.pack("!BBQ", first, masked | 127, size)
    if not mask:
        return head + payload
    key = os.urandom(4)
    pad = (key * (size // 4 + 1))[:size]
    number = int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")
    return head + key + number.to_bytes(size, "big")


def handshake(target: str = "/v1/ws", *extra: str, **changed: str | None) -> bytes:
    """Return a handshake; `changed` replaces a header, or leaves it out with None."""
    headers: dict[str, str | None] = {
        "Host": "localhost",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13",
    }
    names = {name.lower().replace("-", "_"): name for name in headers}
    for name, value in changed.items():
        headers[names[name]] = value
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([f"GET {target} HTTP/1.1", *lines, *extra, "", ""]).encode()


class WebSocketPeer(StreamPeer):
    """It does not wait for the answer to its handshake before it sends."""

    _answered = False

    @classmethod
    async def open(
        cls,
        port: int,
        *extra: str,
        target: str = "/v1/ws",
        tls: ssl.SSLContext | None,
        address: str = "127.0.0.1",
    ) -> WebSocketPeer:
        peer = await cls.connect(port, tls, address=address)
        await peer.send_raw(handshake(target, *extra))
        return peer

    def framed(self, kind: str, payload: bytes) -> bytes:
        return client_frame(OPCODES[kind], payload)

    async def read_frame(self) -> Got:
        if not self._answered:
            head = await self.read_head()
            assert head.startswith(b"HTTP/1.1 101 "), head
            self._answered = True
        first, size = await self.read(2)
        assert first & 0x80, "the server sends no fragments"
        assert not size & 0x80, "the server masks nothing"
        if size == 126:
            (size,) = struct.unpack("!H", await self.read(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await self.read(8))
        payload = await self.read(size)
        kind = KINDS[first & 0x0F]
        if kind == "close" and payload:
            code, reason = decode_close(payload)
            return Got("close", reason.encode(), code)
        return Got(kind, payload)


TCP_KINDS = {
    "text": FrameKind.TEXT,
    "binary": FrameKind.BINARY,
    "close": FrameKind.CLOSE,
    "ping": FrameKind.PING,
    "pong": FrameKind.PONG,
}
TCP_NAMES = {kind: name for name, kind in TCP_KINDS.items()}


def tcp_got(kind: FrameKind, payload: bytes) -> Got:
    if kind is FrameKind.CLOSE:
        code, reason = decode_close(payload)
        return Got("close", reason.encode(), code)
    return Got(TCP_NAMES[kind], payload)


class TcpPeer(StreamPeer):
    def framed(self, kind: str, payload: bytes) -> bytes:
        return encode_frame(TCP_KINDS[kind], payload)

    async def read_frame(self) -> Got:
        prefix = await self.read(4)
        frame = await self.read(int.from_bytes(prefix, "big"))
        ((kind, payload),) = FrameDecoder(len(frame)).feed(prefix + frame)
        return tcp_got(kind, payload)


class MemoryPeer:
    def __init__(self, client: MemoryClient) -> None:
        self.client = client
        self._frames: deque[Got] = deque()

    async def send(self, kind: str, payload: bytes) -> None:
        await self.send_raw(self.framed(kind, payload))

    async def send_raw(self, data: bytes) -> None:
        self.client.send_bytes(data)

    def framed(self, kind: str, payload: bytes) -> bytes:
        return encode_frame(TCP_KINDS[kind], payload)

    async def close(self, code: int, reason: str) -> None:
        self.client.close(code, reason)

    async def frame(self) -> Got:
        if not self._frames:
            self._frames.extend(tcp_got(*frame) for frame in self.client.received())
        if not self._frames:
            assert self.client.ended, "nothing came, and the link is open"
            return END
        return self._frames.popleft()

    def drop(self) -> None:
        self.client.drop()
