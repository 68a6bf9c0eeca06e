"""A client's connection: whole messages in and out, over WebSocket or TCP."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Protocol
from urllib.parse import SplitResult, urlencode, urlsplit

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import ConnectionClosed as WebSocketClosed
from websockets.exceptions import InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from wsprism_core.client.errors import ConnectionClosed
from wsprism_core.protocol.framing import (
    FrameDecoder,
    FramingError,
    decode_close,
    encode_close,
    encode_frame,
)
from wsprism_core.protocol.layout import (
    WEBSOCKET_PATH,
    CloseCode,
    FrameKind,
)

__all__ = ("ClientLink", "open_link")

#: The largest message that a client takes, in bytes.
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
#: What a refused handshake's status comes to.
_CLOSE_CODES: Mapping[int, CloseCode] = {
    401: CloseCode.NOT_AUTHENTICATED,
    403: CloseCode.POLICY_VIOLATION,
    429: CloseCode.TOO_MANY_SESSIONS,
    503: CloseCode.TRY_AGAIN_LATER,
}


class ClientLink(Protocol):
    """A connection that carries whole messages."""

    #: Whether the ticket went with the handshake; else it is the first message.
    ticket_sent: bool

    async def send(self, message: str | bytes) -> None:
        """Send a text or binary message, waiting while the socket is full.

        Raises:
            ConnectionClosed: The connection is over.
        """

    async def receive(self) -> str | bytes:
        """Return the next message.

        Raises:
            ConnectionClosed: The connection is over.
        """

    async def close(self, code: int, reason: str) -> None:
        """Close and wait until it is done."""


def open_link(
    url: str,
    *,
    ticket: str | None,
    tenant: str | None,
    codec: str,
    tls: ssl.SSLContext | None,
) -> AbstractAsyncContextManager[ClientLink]:
    """Return a context manager that opens a link.

    Raises:
        ValueError: The URL is none of ws, wss and tcp.
    """
    parts = urlsplit(url)
    if parts.scheme in ("ws", "wss"):
        return _websocket(parts, ticket=ticket, tenant=tenant, codec=codec, tls=tls)
    if parts.scheme == "tcp" and parts.hostname and parts.port:
        return _tcp(parts.hostname, parts.port)
    raise ValueError(f"{url!r} is no ws://, wss:// or tcp://HOST:PORT address")


@asynccontextmanager
async def _websocket(
    parts: SplitResult,
    *,
    ticket: str | None,
    tenant: str | None,
    codec: str,
    tls: ssl.SSLContext | None,
) -> AsyncIterator[ClientLink]:
    query = [parts.query] if parts.query else []
    if tenant is not None:
        query.append(urlencode({"tenant": tenant}))
    path = parts.path if parts.path not in ("", "/") else WEBSOCKET_PATH
    address = parts._replace(path=path, query="&".join(query), fragment="").geturl()
    # A header, for addresses end up in logs.
    headers = {} if ticket is None else {"Authorization": f"Bearer {ticket}"}
    try:
        connection = await connect_websocket(
            address,
            subprotocols=[Subprotocol(f"wsprism.v1.{codec}")],
            additional_headers=headers,
            compression=None,
            max_size=MAX_MESSAGE_BYTES,
            # The gateway sends the pings.
            ping_interval=None,
            proxy=None,
            ssl=tls,
        )
    except InvalidStatus as error:
        status = error.response.status_code
        reason = error.response.body.decode("utf-8", "replace").strip()
        code = _CLOSE_CODES.get(status, CloseCode.PROTOCOL_ERROR)
        raise ConnectionClosed(code, f"{reason} (HTTP {status})") from None
    except InvalidHandshake as error:
        raise ConnectionClosed(CloseCode.PROTOCOL_ERROR, str(error)) from None
    link = _WebSocketLink(connection, ticket_sent=ticket is not None)
    try:
        yield link
    finally:
        await link.close(CloseCode.NORMAL, "")


class _WebSocketLink:
    def __init__(self, connection: ClientConnection, *, ticket_sent: bool) -> None:
        self._connection = connection
        self.ticket_sent = ticket_sent

    async def send(self, message: str | bytes) -> None:
        try:
            await self._connection.send(message)
        except WebSocketClosed:
            raise self._closed() from None

    async def receive(self) -> str | bytes:
        try:
            return await self._connection.recv()
        except WebSocketClosed:
            raise self._closed() from None

    async def close(self, code: int, reason: str) -> None:
        await self._connection.close(code, reason)

    def _closed(self) -> ConnectionClosed:
        code = self._connection.close_code
        reason = self._connection.close_reason or ""
        return ConnectionClosed(1006 if code is None else code, reason)


@asynccontextmanager
async def _tcp(host: str, port: int) -> AsyncIterator[ClientLink]:
    reader, writer = await asyncio.open_connection(host, port)
    link = _TcpLink(reader, writer)
    try:
        yield link
    finally:
        await link.close(CloseCode.NORMAL, "")


class _TcpLink:
    ticket_sent = False

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder = FrameDecoder(MAX_MESSAGE_BYTES)
        self._frames: deque[tuple[FrameKind, bytes]] = deque()
        self._over: ConnectionClosed | None = None

    async def send(self, message: str | bytes) -> None:
        if self._over is not None:
            raise self._over
        if isinstance(message, str):
            frame = encode_frame(FrameKind.TEXT, message.encode())
        else:
            frame = encode_frame(FrameKind.BINARY, message)
        await self._write(frame)

    async def receive(self) -> str | bytes:
        while self._over is None:
            while self._frames:
                kind, payload = self._frames.popleft()
                if kind is FrameKind.TEXT:
                    return payload.decode()
                if kind is FrameKind.BINARY:
                    return payload
                if kind is FrameKind.PING:
                    await self._write(encode_frame(FrameKind.PONG, payload))
                elif kind is FrameKind.CLOSE:
                    self._over = ConnectionClosed(*decode_close(payload))
                    raise self._over
            await self._fill()
        raise self._over

    async def close(self, code: int, reason: str) -> None:
        if self._over is None:
            self._over = ConnectionClosed(code, reason)
            self._writer.write(
                encode_frame(FrameKind.CLOSE, encode_close(code, reason))
            )
        self._writer.close()
        # Whatever the peer still does, on our side it is over.
        with suppress(OSError):
            await self._writer.wait_closed()

    async def _fill(self) -> None:
        try:
            data = await self._reader.read(65_536)
            self._frames.extend(self._decoder.feed(data))
        except (OSError, FramingError) as error:
            self._over = ConnectionClosed(1006, str(error))
            return
        if not data:
            self._over = ConnectionClosed(1006, "the connection dropped")

    async def _write(self, frame: bytes) -> None:
        try:
            self._writer.write(frame)
            await self._writer.drain()
        except OSError as error:
            self._over = ConnectionClosed(1006, str(error))
            raise self._over from None
