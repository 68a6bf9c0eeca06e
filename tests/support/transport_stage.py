"""A transport that runs, its host, and clients of it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from support.peers import Got, MemoryPeer, Peer, Stream, TcpPeer, WebSocketPeer
from support.transport_host import TIMEOUT, EchoHost
from wsprism_core.transports.link import StreamLink
from wsprism_core.transports.memory import MemoryTransport
from wsprism_core.transports.stream import StreamTransport
from wsprism_core.transports.tcp import TcpTransport
from wsprism_core.transports.websocket import WebSocketTransport


@dataclass
class Stage:
    """What a test of a transport needs."""

    transport: StreamTransport | MemoryTransport
    host: EchoHost
    open_peer: Callable[[], Awaitable[Peer]]
    peers: list[Peer | Stream] = field(default_factory=list)

    async def connect(self) -> Peer:
        peer = await self.open_peer()
        self.peers.append(peer)
        return peer

    async def open_link(self) -> tuple[Peer, StreamLink]:
        """Connect; return both ends."""
        already = len(self.host.receivers)
        peer = await self.connect()
        await self.host.log.until("open", already + 1)
        link = self.host.receivers[-1].link
        assert isinstance(link, StreamLink)
        return peer, link

    async def connect_socket(self) -> Stream:
        """Connect and say nothing."""
        stream = await Stream.connect(self.stream.port)
        self.peers.append(stream)
        return stream

    async def settle(self) -> None:
        """Let all that is ready now be handled: another client's round trip."""
        undecided, self.host.undecided = self.host.undecided, None
        other = await self.connect()
        await other.send("text", b"other")
        assert await other.frame() == Got("text", b"other")
        self.host.undecided = undecided

    @property
    def stream(self) -> StreamTransport:
        assert isinstance(self.transport, StreamTransport)
        return self.transport


#: A transport, and how to connect to it.
Built: TypeAlias = tuple[
    StreamTransport | MemoryTransport, Callable[[], Awaitable[Peer]]
]


def memory() -> Built:
    transport = MemoryTransport()

    async def connect() -> Peer:
        return MemoryPeer(transport.connect())

    return transport, connect


def tcp() -> Built:
    transport = TcpTransport()

    async def connect() -> Peer:
        return await TcpPeer.connect(transport.port)

    return transport, connect


def websocket(certificate: Path | None = None) -> Built:
    server_tls, client_tls = None, None
    if certificate is not None:
        server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server_tls.load_cert_chain(certificate)
        client_tls = ssl.create_default_context(cafile=str(certificate))
    transport = WebSocketTransport(port=0, ssl_context=server_tls)

    async def connect() -> Peer:
        return await WebSocketPeer.open(transport.port, tls=client_tls)

    return transport, connect


@asynccontextmanager
async def running(built: Built, host: EchoHost) -> AsyncIterator[Stage]:
    """Start a transport; drop the clients and stop it at the end."""
    transport, open_peer = built
    await transport.start(host)
    stage = Stage(transport, host, open_peer)
    try:
        yield stage
    finally:
        for peer in stage.peers:
            peer.drop()
        async with asyncio.timeout(TIMEOUT):
            await transport.stop()


class ManualTimers:
    """Stands in for the event loop where a transport asks for time and timers."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._now = 1000.0
        self._order = itertools.count()
        self._due: list[tuple[float, int, ManualTimer]] = []

    def time(self) -> float:
        return self._now

    def call_later(self, seconds: float, work: Callable[[], None]) -> ManualTimer:
        timer = ManualTimer(work)
        heapq.heappush(self._due, (self._now + seconds, next(self._order), timer))
        return timer

    def call_soon(self, work: Callable[[], None]) -> asyncio.Handle:
        return self._loop.call_soon(work)

    def create_future(self) -> asyncio.Future[None]:
        return self._loop.create_future()

    @property
    def pending(self) -> int:
        """Timers that are set and not cancelled."""
        return sum(timer.work is not None for _, _, timer in self._due)

    def advance(self, seconds: float) -> None:
        """Let time pass, and run what is due."""
        end = self._now + seconds
        while self._due and self._due[0][0] <= end:
            self._now, _, timer = heapq.heappop(self._due)
            work, timer.work = timer.work, None
            if work is not None:
                work()
        self._now = end


class ManualTimer:
    def __init__(self, work: Callable[[], None]) -> None:
        self.work: Callable[[], None] | None = work

    def cancel(self) -> None:
        self.work = None
