"""The client: one connection, requests and their answers, and what comes by itself."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

from wsprism_core.client.errors import ClientError, ConnectionClosed
from wsprism_core.client.events import Event, FrameEvent, TextEvent
from wsprism_core.client.links import ClientLink, open_link
from wsprism_core.protocol.codecs import CODECS
from wsprism_core.protocol.envelope import (
    decode_outbound_json,
    decode_outbound_msgpack,
    inbound,
    is_binary_envelope,
)
from wsprism_core.protocol.hotframe import decode_outbound_hot_frame, encode_hot_frame
from wsprism_core.protocol.layout import OPCODE_ACK, CloseCode

__all__ = ("Client", "connect")

#: Events that wait for somebody to take them; beyond it nothing more is read.
EVENT_BUFFER = 1_000


@asynccontextmanager
async def connect(
    url: str = "ws://127.0.0.1:8080",
    *,
    ticket: str | None = None,
    tenant: str | None = None,
    codec: str = "json",
    tls: ssl.SSLContext | None = None,
    timeout: float = 10.0,
) -> AsyncIterator[Client]:
    """Connect to a gateway and authenticate.

    Args:
        url: `ws://`, `wss://` or `tcp://HOST:PORT`; without a path the gateway's.
        ticket: Who we are; such as `dev:ann` for a gateway out of the box.
        tenant: May be left out where the gateway has exactly one.
        codec: `json` or `msgpack`.
        tls: For `wss` with a certificate that the system does not know.
        timeout: Seconds in which it must be done.

    Raises:
        ConnectionClosed: The gateway refused, or ended before it was done.
        OSError: The address cannot be reached.
        TimeoutError: It took too long.
        ValueError: The URL or the codec is none that is known.
    """
    if codec not in CODECS:
        raise ValueError(f"{codec!r} is no codec; there are {', '.join(CODECS)}")
    opening = open_link(url, ticket=ticket, tenant=tenant, codec=codec, tls=tls)
    async with asyncio.timeout(timeout) as deadline, opening as link:
        client = Client(link, codec)
        await client.start(ticket, tenant)
        deadline.reschedule(None)
        try:
            yield client
        finally:
            await client.close()


class Client:
    """A connection that is authenticated; made by `connect`.

    Attributes:
        authed: What the gateway said of us: `user`, `sid`, `services`, `limits`.
    """

    def __init__(self, link: ClientLink, codec: str) -> None:
        self._link = link
        self._codec = CODECS[codec]
        self._codec_name = codec
        self._seq = count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._events: asyncio.Queue[Event | None] = asyncio.Queue(EVENT_BUFFER)
        self._reader: asyncio.Task[None] | None = None
        self._over: ConnectionClosed | None = None
        self.authed: dict[str, Any] = {}

    @property
    def closed(self) -> tuple[int, str] | None:
        """Close code and reason, or None while the connection is open."""
        return None if self._over is None else (self._over.code, self._over.reason)

    async def start(self, ticket: str | None, tenant: str | None) -> None:
        """Authenticate and begin to read; `connect` does it.

        Raises:
            ConnectionClosed: The gateway refused.
        """
        if not self._link.ticket_sent:
            data = {"ticket": ticket or "", "codec": self._codec_name}
            if tenant is not None:
                data["tenant"] = tenant
            # The codec is agreed on by this message, so it is JSON itself.
            payload = CODECS["json"].encode(inbound("sys", "auth", data=data))
            await self._link.send(payload.decode())
        while not self.authed:
            event = _decode(await self._link.receive())
            if isinstance(event, TextEvent) and event.name == "sys.authed":
                self.authed = event.envelope["data"]
        self._reader = asyncio.create_task(self._read())

    async def send(
        self, svc: str, type: str, data: Any = None, *, room: str | None = None
    ) -> None:
        """Send a message and wait for no answer.

        Raises:
            ConnectionClosed: The connection is over.
            ValueError: The data cannot be encoded.
        """
        await self._send(inbound(svc, type, room=room, data=data))

    async def request(
        self,
        svc: str,
        type: str,
        data: Any = None,
        *,
        room: str | None = None,
        timeout: float = 5.0,
    ) -> dict[str, Any]:
        """Send a message and return the envelope that answers it.

        Args:
            svc: The service.
            type: The message's type.
            data: Whatever the type takes.
            room: The room that it concerns.
            timeout: Seconds to wait.

        Raises:
            ClientError: The gateway refused it.
            ConnectionClosed: The connection is over.
            TimeoutError: No answer came.
        """
        seq = next(self._seq)
        answer = asyncio.get_running_loop().create_future()
        self._answers[seq] = answer
        try:
            async with asyncio.timeout(timeout):
                await self._send(
                    inbound(
                        svc, type, room=room, seq=seq, data=data, ack_requested=True
                    )
                )
                envelope: dict[str, Any] = await answer
        except TimeoutError:
            hint = ": events() is full, take from it" if self._events.full() else ""
            raise TimeoutError(f"no answer to {svc}.{type} in time{hint}") from None
        finally:
            del self._answers[seq]
        if (envelope["svc"], envelope["type"]) == ("sys", "error"):
            error = envelope["data"]
            raise ClientError(error["code"], error["msg"], error.get("retry_after_ms"))
        return envelope

    async def join(self, room: str) -> dict[str, Any]:
        """Join a room and return `sys.joined`; raises as `request`."""
        return await self.request("room", "join", room=room)

    async def leave(self, room: str | None = None) -> dict[str, Any]:
        """Leave a room, or the active one; raises as `request`."""
        return await self.request("room", "leave", room=room)

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
            svc_id: The service's id, as in `authed["services"]`.
            opcode: The service's opcode.
            payload: What follows the header.
            seq: Our own number, 32 bits; with `ack` it must be given.
            alias: The room's alias as `sys.joined` gave it; None is the active room.
            ack: Whether an ACK frame is wanted; it comes as an event.

        Raises:
            ConnectionClosed: The connection is over.
            ValueError: A number does not fit.
        """
        await self._deliver(
            encode_hot_frame(
                svc_id, opcode, payload, seq=seq, alias=alias, ack_requested=ack
            )
        )

    async def send_raw_text(self, text: str) -> None:
        """Send a text message as it is, right or wrong."""
        await self._deliver(text)

    async def events(self) -> AsyncIterator[Event]:
        """Yield what comes without being an answer, until the connection ends.

        Up to 1,000 events wait for somebody to take them. Then nothing more is read,
        answers neither, and the gateway's lanes decide what waits there and what goes.
        """
        while self._over is None or not self._events.empty():
            event = await self._events.get()
            if event is not None:
                yield event

    async def messages(self, name: str) -> AsyncIterator[dict[str, Any]]:
        """Yield the envelopes of one kind, such as `chat.msg`; others are dropped."""
        async for event in self.events():
            if isinstance(event, TextEvent) and event.name == name:
                yield event.envelope

    async def frames(self, svc_id: int) -> AsyncIterator[FrameEvent]:
        """Yield the hot frames of one service but for its ACKs; others are dropped."""
        async for event in self.events():
            if (
                isinstance(event, FrameEvent)
                and event.frame.svc_id == svc_id
                and event.frame.opcode != OPCODE_ACK
            ):
                yield event

    async def close(self) -> None:
        """Close the connection; twice is harmless."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        await self._link.close(CloseCode.NORMAL, "")
        self._end(ConnectionClosed(CloseCode.NORMAL, ""))

    async def _send(self, envelope: dict[str, Any]) -> None:
        payload = self._codec.encode(envelope)
        await self._deliver(payload.decode() if self._codec.is_text else payload)

    async def _deliver(self, message: str | bytes) -> None:
        if self._over is not None:
            raise self._over
        await self._link.send(message)

    async def _read(self) -> None:
        """Sort what arrives into answers and events."""
        try:
            while True:
                event = _decode(await self._link.receive())
                if isinstance(event, TextEvent):
                    answer = self._answers.get(event.envelope.get("ref", -1))
                    if answer is not None and not answer.done():
                        answer.set_result(event.envelope)
                        continue
                await self._events.put(event)
        except ConnectionClosed as over:
            self._end(over)

    def _end(self, over: ConnectionClosed) -> None:
        """Note the end, fail who waits for an answer and end the iterators."""
        if self._over is not None:
            return
        self._over = over
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(over)
        if not self._events.full():
            # Wakes an iterator that waits; one that does not wait sees the end itself.
            self._events.put_nowait(None)


def _decode(message: str | bytes) -> Event:
    if isinstance(message, str):
        return TextEvent(decode_outbound_json(message.encode()))
    if is_binary_envelope(message):
        return TextEvent(decode_outbound_msgpack(message))
    return FrameEvent(decode_outbound_hot_frame(message))
