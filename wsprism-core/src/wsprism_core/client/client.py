"""The client: one connection to a gateway."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, Final
from urllib.parse import urlsplit

from wsprism_core.client.errors import ClientError, ConnectionClosed
from wsprism_core.client.events import (
    Event,
    EventBuffer,
    Events,
    FrameEvent,
    TextEvent,
)
from wsprism_core.client.links import CLOSE_SECONDS, Link, open_tcp, open_websocket
from wsprism_core.client.messages import decode_message
from wsprism_core.protocol.codecs import CODECS
from wsprism_core.protocol.envelope import inbound
from wsprism_core.protocol.errors import ProtocolError
from wsprism_core.protocol.hotframe import HotFrame, encode_hot_frame
from wsprism_core.protocol.layout import MAX_U32, CloseCode
from wsprism_core.transports.port import NO_CLOSE_FRAME

__all__ = ("Client", "connect")

MIB: Final = 1024 * 1024


@asynccontextmanager
async def connect(
    url: str,
    *,
    ticket: str | None = None,
    tenant: str | None = None,
    resume: str | None = None,
    codec: str = "json",
    tls: ssl.SSLContext | None = None,
    max_events: int = 1000,
    max_message_bytes: int = 4 * MIB,
    open_timeout: float = 10.0,
) -> AsyncIterator[Client]:
    """Connect to a gateway, until the end of the `async with`.

    Args:
        url: `ws://`, `wss://` or `tcp://`; a WebSocket's path may be left out.
        ticket: Who one is. Over WebSocket it goes into a header, never into the URL.
        tenant: Where; may be left out where the gateway has exactly one tenant.
        resume: The token that `sys.authed` had in `resume`, of a connection that was
            lost a moment ago. `authed` then says whether its session goes on, and in
            `rooms` what of each; what was missed arrives as events.
        codec: `json` or `msgpack`.
        tls: For `wss://`, in place of the default; for `tcp://`, speak TLS with it.
        max_events: How many events wait to be taken before reading pauses.
        max_message_bytes: The largest message that is taken.
        open_timeout: Seconds until the gateway must have let one in.

    Raises:
        ValueError: The URL or the codec is none that there is.
        HandshakeRefused: The gateway refuses the WebSocket handshake.
        ConnectionClosed: The gateway refuses the ticket that came as first message.
        TimeoutError: It does not answer in time.
        OSError: It cannot be reached.
    """
    scheme = urlsplit(url).scheme
    if scheme not in ("ws", "wss", "tcp"):
        raise ValueError("the URL must begin with ws://, wss:// or tcp://")
    if codec not in CODECS:
        raise ValueError(f"there is no codec {codec!r}, but {', '.join(CODECS)}")
    try:
        async with asyncio.timeout(open_timeout):
            if scheme == "tcp":
                link: Link = await open_tcp(url, tls=tls, max_bytes=max_message_bytes)
                first = _auth(ticket, tenant, resume, codec)
            else:
                link = await open_websocket(
                    url,
                    ticket=ticket,
                    tenant=tenant,
                    resume=resume,
                    codec=codec,
                    tls=tls,
                    max_bytes=max_message_bytes,
                )
                first = None
            authed = await _authed(link, first)
    except TimeoutError:
        raise TimeoutError(f"nobody let one in within {open_timeout:g} s") from None
    client = Client(link, codec, authed, max_events)
    try:
        yield client
    finally:
        await client.close()


class Client:
    """One open connection; `connect` makes it.

    Messages go out in the order of the calls. What comes is an answer, which goes to
    who asked, or an event: one of `events`, `messages` and `frames` must take it. An
    event that nobody takes waits; once `max_events` do, nothing more is read, so that
    nothing is lost and in the end the gateway finds a slow consumer.

    Attributes:
        authed: The data of `sys.authed`: user, tenant, session, services, limits.
        closed: Code and reason of the close; None while the connection is open.
    """

    def __init__(
        self, link: Link, codec: str, authed: dict[str, Any], max_events: int
    ) -> None:
        self.authed = authed
        self.closed: tuple[int, str] | None = None
        self._link = link
        self._codec = CODECS[codec]
        self._buffer = EventBuffer(max_events)
        # Above every SEQ of a hot frame: an error says by `ref` alone what it is about.
        self._numbers = count(MAX_U32 + 1)
        # By `seq`; None is the end of the connection. Those that nobody waits for any
        # more are done, and stay until their answer comes.
        self._pending: dict[int, asyncio.Future[dict[str, Any] | None]] = {}
        self._reading = asyncio.ensure_future(self._read())

    def __repr__(self) -> str:
        user, tenant = self.authed.get("user"), self.authed.get("tenant")
        state = "open" if self.closed is None else "closed {} {}".format(*self.closed)
        return f"<Client {user}@{tenant} {state.rstrip()}>"

    # -------------------------------------------------------------------- sending

    async def send(
        self, svc: str, type: str, data: Any = None, *, room: str | None = None
    ) -> None:
        """Send a text message; what it causes arrives as events.

        Raises:
            ValueError: `data` is nothing that JSON can carry.
            ConnectionClosed: The connection is over.
        """
        payload = self._codec.encode(inbound(svc, type, room=room, data=data))
        await self._send(payload, is_text=self._codec.is_text)

    async def request(
        self,
        svc: str,
        type: str,
        data: Any = None,
        *,
        room: str | None = None,
        timeout: float = 5.0,
    ) -> dict[str, Any]:
        """Send a text message and return what answers it, as an envelope's fields.

        Args:
            svc: The service that it is for.
            type: Its type within the service.
            data: What the service takes.
            room: The room that it concerns.
            timeout: Seconds until the answer must be there.

        Raises:
            ClientError: The message is refused.
            TimeoutError: No answer came in time.
            ValueError: `data` is nothing that JSON can carry.
            ConnectionClosed: The connection is over, or ends meanwhile.
        """
        seq = next(self._numbers)
        payload = self._codec.encode(
            inbound(svc, type, room=room, seq=seq, ack_requested=True, data=data)
        )
        answer: asyncio.Future[dict[str, Any] | None]
        answer = self._pending[seq] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout):
                await self._send(payload, is_text=self._codec.is_text)
                fields = await answer
        except TimeoutError:
            why = "; take the events that wait" if self._buffer.is_full else ""
            raise TimeoutError(
                f"no answer to {svc}.{type} within {timeout:g} s{why}"
            ) from None
        finally:
            answer.cancel()
        if fields is None:
            raise self._closed()
        if (fields["svc"], fields["type"]) == ("sys", "error"):
            raise _client_error(fields.get("data") or {})
        return fields

    async def join(
        self, room: str, *, epoch: str | None = None, seq: int | None = None
    ) -> dict[str, Any]:
        """Join a room; return `sys.joined`.

        Args:
            room: Its name.
            epoch: The epoch of the last message that one has of it; with `seq`. What
                was missed since comes behind the answer, or its `data` says in
                `reason` why not. A member fetches the range of a `sys.lost` so.
            seq: The number of that message, 0 where one has none.

        Raises:
            ClientError: One may not, or a limit is reached.
        """
        since = None if epoch is None else {"epoch": epoch, "seq": seq}
        return await self.request("room", "join", since, room=room)

    async def leave(self, room: str) -> None:
        """Leave a room; nothing of it comes behind this.

        Raises:
            ClientError: One is not in it.
        """
        await self.request("room", "leave", room=room)

    async def send_frame(
        self,
        svc_id: int,
        opcode: int,
        payload: bytes = b"",
        *,
        seq: int | None = None,
        alias: int | None = None,
        ack: bool = False,
    ) -> None:
        """Send a hot frame.

        Args:
            svc_id: The service that it is for, 8 bits.
            opcode: The service's own number, 8 bits.
            payload: What follows the header.
            seq: The client's own number, 32 bits.
            alias: The room's, as `sys.joined` gave it; None is the active room.
            ack: Ask for a frame with opcode 0 and the same `seq`; it comes as an event.

        Raises:
            ValueError: A number does not fit, or an ACK is asked for without `seq`.
            ConnectionClosed: The connection is over.
        """
        frame = encode_hot_frame(
            svc_id, opcode, payload, seq=seq, ack_requested=ack, alias=alias
        )
        await self._send(frame, is_text=False)

    async def send_raw_text(self, text: str) -> None:
        """Send a text message as it is; what answers it arrives as events.

        Raises:
            ConnectionClosed: The connection is over.
        """
        await self._send(text.encode(), is_text=True)

    async def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Close the connection; events that have arrived may still be taken."""
        self._buffer.end()
        if self.closed is None:
            try:
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._link.send_close(code, reason)
                    await asyncio.shield(self._reading)
            except TimeoutError:
                pass
        self._link.abort()
        await asyncio.wait((self._reading,))

    # ------------------------------------------------------------------ receiving

    def events(self) -> AsyncIterator[Event]:
        """Iterate over all events, oldest first, until the connection is closed."""
        return Events(self._buffer, lambda _: True)

    def messages(self, *names: str) -> AsyncIterator[TextEvent]:
        """Iterate over text messages, only those of these names where some are given.

        Args:
            names: Service and type, such as `chat.msg`.
        """
        return Events(
            self._buffer,
            lambda event: (
                isinstance(event, TextEvent) and (not names or event.name in names)
            ),
        )

    def frames(
        self, svc_id: int | None = None, opcode: int | None = None
    ) -> AsyncIterator[FrameEvent]:
        """Iterate over hot frames, only those of a service or opcode where given."""
        return Events(
            self._buffer,
            lambda event: (
                isinstance(event, FrameEvent)
                and svc_id in (None, event.frame.svc_id)
                and opcode in (None, event.frame.opcode)
            ),
        )

    # ---------------------------------------------------------------------- its task

    async def _read(self) -> None:
        """Take what arrives, until the connection is over."""
        ended = ConnectionClosed(NO_CLOSE_FRAME, "the connection was lost")
        try:
            while True:
                await self._take(*await self._link.receive())
        except ConnectionClosed as closed:
            ended = closed
        except ProtocolError as error:
            ended = _nonsense(error)
            await self._link.send_close(ended.code, "")
        finally:
            self._end(ended.code, ended.reason)

    async def _take(self, payload: bytes, is_text: bool) -> None:
        message = decode_message(payload, is_text)
        if isinstance(message, HotFrame):
            await self._buffer.put(FrameEvent(message))
        elif not self._take_answer(message):
            await self._buffer.put(TextEvent(message))

    def _take_answer(self, fields: dict[str, Any]) -> bool:
        """Hand an answer to who asked; return False where it is none."""
        ref = fields.get("ref")
        answer = self._pending.pop(ref, None) if isinstance(ref, int) else None
        if answer is None:
            return False
        if not answer.done():
            answer.set_result(fields)
        return True

    def _end(self, code: int, reason: str) -> None:
        """Tell everybody who waits."""
        self.closed = int(code), reason
        self._buffer.end()
        pending, self._pending = self._pending, {}
        for answer in pending.values():
            if not answer.done():
                answer.set_result(None)

    def _closed(self) -> ConnectionClosed:
        assert self.closed is not None
        return ConnectionClosed(*self.closed)

    async def _send(self, payload: bytes, *, is_text: bool) -> None:
        if self.closed is not None:
            raise self._closed()
        await self._link.send(payload, is_text=is_text)


def _auth(
    ticket: str | None, tenant: str | None, resume: str | None, codec: str
) -> bytes:
    """Return the message that brings the ticket where there is no handshake for it."""
    data = {"ticket": ticket or "", "codec": codec}
    if tenant is not None:
        data["tenant"] = tenant
    if resume is not None:
        data["resume"] = resume
    return CODECS["json"].encode(inbound("sys", "auth", data=data))


async def _authed(link: Link, first: bytes | None) -> dict[str, Any]:
    """Send a first message, if there is one, and return the data of `sys.authed`.

    Raises:
        ConnectionClosed: There is none.
    """
    try:
        if first is not None:
            await link.send(first, is_text=True)
        while True:
            message = decode_message(*await link.receive())
            if isinstance(message, dict) and message["type"] == "authed":
                data: dict[str, Any] = message["data"]
                return data
    except BaseException as error:
        link.abort()
        if isinstance(error, ProtocolError):
            raise _nonsense(error) from None
        raise


def _nonsense(error: ProtocolError) -> ConnectionClosed:
    reason = f"the gateway sent nonsense: {error.msg}"
    return ConnectionClosed(CloseCode.PROTOCOL_ERROR, reason)


def _client_error(data: dict[str, Any]) -> ClientError:
    return ClientError(
        str(data.get("code")), str(data.get("msg")), data.get("retry_after_ms")
    )
