"""What carries a client's messages: WebSocket, or TCP in the protocol's framing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import quote, urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import ConnectionClosed as WebSocketClosed
from websockets.exceptions import InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from wsprism_core.client.errors import ConnectionClosed, HandshakeRefused
from wsprism_core.protocol.framing import (
    FrameDecoder,
    FramingError,
    decode_close,
    encode_close,
    encode_frame,
)
from wsprism_core.protocol.layout import (
    SUBPROTOCOL_JSON,
    SUBPROTOCOL_MSGPACK,
    WEBSOCKET_PATH,
    FrameKind,
)
from wsprism_core.transports.framed import read_frames
from wsprism_core.transports.port import NO_CLOSE_FRAME

if TYPE_CHECKING:
    from websockets.http11 import Response

__all__ = (
    "CLOSE_SECONDS",
    "Link",
    "TcpLink",
    "WebSocketLink",
    "open_tcp",
    "open_websocket",
)

_SUBPROTOCOLS: Final = {"json": SUBPROTOCOL_JSON, "msgpack": SUBPROTOCOL_MSGPACK}
_READ_BYTES: Final = 64 * 1024
#: Seconds that a gateway has to answer a close.
CLOSE_SECONDS: Final = 2.0
_LOST: Final = "the connection was lost"


class Link(Protocol):
    """One connection; a method raises `ConnectionClosed` once it is over."""

    async def send(self, payload: bytes, *, is_text: bool) -> None:
        """Send a whole message, when there is room for it."""

    async def receive(self) -> tuple[bytes, bool]:
        """Return the next whole message, and whether it is text."""

    async def send_close(self, code: int, reason: str) -> None:
        """Send a close; `receive` ends when the answer comes."""

    def abort(self) -> None:
        """Let go of the socket at once."""


# ------------------------------------------------------------------------ WebSocket


_log: Final = logging.getLogger("wsprism.client")
# At DEBUG the library logs headers and messages whole, with the tickets in them.
_log.setLevel(logging.INFO)


async def open_websocket(
    url: str,
    *,
    ticket: str | None,
    tenant: str | None,
    resume: str | None,
    codec: str,
    tls: ssl.SSLContext | None,
    max_bytes: int,
) -> WebSocketLink:
    """Open a WebSocket; the ticket goes into a header, so that it is in no URL.

    Raises:
        HandshakeRefused: The gateway does not want it.
        OSError: It cannot be reached.
    """
    headers = {} if ticket is None else {"Authorization": f"Bearer {ticket}"}
    try:
        socket = await connect_websocket(
            _complete(url, tenant=tenant, resume=resume),
            subprotocols=[Subprotocol(_SUBPROTOCOLS[codec])],
            additional_headers=headers,
            ssl=tls or (True if url.startswith("wss:") else None),
            max_size=max_bytes,
            compression=None,
            # The time for all of it is kept by who called.
            open_timeout=None,
            close_timeout=CLOSE_SECONDS,
            logger=_log,
        )
    except InvalidStatus as error:
        raise _refused(error.response) from None
    except InvalidHandshake as error:
        raise HandshakeRefused(0, str(error)) from None
    return WebSocketLink(socket)


class WebSocketLink:
    """A WebSocket connection."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def send(self, payload: bytes, *, is_text: bool) -> None:
        """Send a whole message, when there is room for it."""
        try:
            await self._socket.send(payload, text=is_text)
        except WebSocketClosed as closed:
            raise _translated(closed) from None

    async def receive(self) -> tuple[bytes, bool]:
        """Return the next whole message, and whether it is text."""
        try:
            message = await self._socket.recv()
        except WebSocketClosed as closed:
            raise _translated(closed) from None
        if isinstance(message, str):
            return message.encode(), True
        return message, False

    async def send_close(self, code: int, reason: str) -> None:
        """Send a close, and wait for the answer."""
        await self._socket.close(code, reason)

    def abort(self) -> None:
        """Let go of the socket at once."""
        self._socket.transport.abort()


def _complete(url: str, **parameters: str | None) -> str:
    """Return a URL with the path that it left out, and with more in its query."""
    parts = urlsplit(url)
    query = parts.query
    for name, value in parameters.items():
        if value is not None:
            query += f"{'&' if query else ''}{name}={quote(value, safe='')}"
    path = parts.path if parts.path not in ("", "/") else WEBSOCKET_PATH
    return urlunsplit((parts.scheme, parts.netloc, path, query, ""))


def _refused(response: Response) -> HandshakeRefused:
    body = (response.body or b"").decode(errors="replace")
    wait = response.headers.get("Retry-After", "")
    return HandshakeRefused(
        response.status_code,
        next(iter(body.splitlines()), response.reason_phrase),
        float(wait) if wait.isdecimal() else None,
    )


def _translated(closed: WebSocketClosed) -> ConnectionClosed:
    frame = closed.rcvd or closed.sent
    if frame is None:
        return ConnectionClosed(NO_CLOSE_FRAME, _LOST)
    return ConnectionClosed(int(frame.code), frame.reason)


# ------------------------------------------------------------------------------ TCP


async def open_tcp(url: str, *, tls: ssl.SSLContext | None, max_bytes: int) -> TcpLink:
    """Open a TCP connection.

    Raises:
        ValueError: The URL has no host or port, or more than that.
        OSError: The gateway cannot be reached.
    """
    parts = urlsplit(url)
    if parts.hostname is None or parts.port is None:
        raise ValueError("a tcp:// URL needs a host and a port")
    if parts.path not in ("", "/") or parts.query:
        raise ValueError("a tcp:// URL has no path and no query")
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, ssl=tls)
    return TcpLink(reader, writer, max_bytes)


class TcpLink:
    """A TCP connection in the protocol's framing."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        max_bytes: int,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder = FrameDecoder(max_bytes)
        self._frames: Iterator[tuple[FrameKind, bytes]] = iter(())
        self._closing = False

    async def send(self, payload: bytes, *, is_text: bool) -> None:
        """Send a whole message, when there is room for it."""
        await self._write(FrameKind.TEXT if is_text else FrameKind.BINARY, payload)

    async def receive(self) -> tuple[bytes, bool]:
        """Return the next whole message, and whether it is text."""
        while True:
            kind, payload = await self._next_frame()
            if kind is FrameKind.TEXT or kind is FrameKind.BINARY:
                return payload, kind is FrameKind.TEXT
            if kind is FrameKind.PING:
                await self._write(FrameKind.PONG, payload)
            elif kind is FrameKind.CLOSE:
                raise await self._answer_close(payload)

    async def send_close(self, code: int, reason: str) -> None:
        """Send a close; `receive` ends when the answer comes."""
        self._closing = True
        with contextlib.suppress(ConnectionClosed):
            await self._write(FrameKind.CLOSE, encode_close(code, reason))

    def abort(self) -> None:
        """Let go of the socket at once."""
        self._writer.transport.abort()

    async def _next_frame(self) -> tuple[FrameKind, bytes]:
        try:
            while (frame := next(self._frames, None)) is None:
                data = await self._reader.read(_READ_BYTES)
                if not data:
                    raise self._over(NO_CLOSE_FRAME, _LOST)
                self._frames = read_frames(self._decoder, data)
        except FramingError as error:
            await self.send_close(error.code, error.reason)
            raise self._over(error.code, error.reason) from None
        except OSError:
            raise self._over(NO_CLOSE_FRAME, _LOST) from None
        return frame

    async def _answer_close(self, payload: bytes) -> ConnectionClosed:
        """Answer a close, unless it is an answer itself."""
        try:
            code, reason = decode_close(payload)
        except FramingError as error:
            code, reason = error.code, error.reason
        if not self._closing:
            await self.send_close(code, "")
        return self._over(code, reason)

    def _over(self, code: int, reason: str) -> ConnectionClosed:
        """Let go of the socket, behind what was written."""
        self._writer.close()
        return ConnectionClosed(code, reason)

    async def _write(self, kind: FrameKind, payload: bytes) -> None:
        try:
            self._writer.write(encode_frame(kind, payload))
            await self._writer.drain()
        except OSError:
            raise self._over(NO_CLOSE_FRAME, _LOST) from None
