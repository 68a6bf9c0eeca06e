"""What the transports on stream sockets have in common: listening, and winding down."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import sys
from collections.abc import Callable
from typing import Final, cast

from wsprism_core.policy.proxies import TrustedProxies
from wsprism_core.realtime.clock import Timer
from wsprism_core.transports.bounds import InboundBounds, UnfinishedBytes
from wsprism_core.transports.entrance import TlsEntrance
from wsprism_core.transports.half_open import HalfOpen, Place
from wsprism_core.transports.port import Host
from wsprism_core.transports.turns import ReadingTurns

__all__ = ("StreamConnection", "StreamTransport", "tune")

#: What the kernel may hold unsent, in bytes; more would be older than the lanes.
UNSENT_LOW_WATER: Final = 16 * 1024
BACKLOG: Final = 1024

# Python names the option on few of the platforms that have it.
_NOTSENT_LOWAT: Final = getattr(
    socket, "TCP_NOTSENT_LOWAT", {"linux": 25, "darwin": 0x201}.get(sys.platform)
)
# Linux gives an accepted socket the options of the one that listens: that saves two
# system calls and an object for each connection.
_INHERITED: Final = sys.platform == "linux"


def tune(transport: asyncio.Transport) -> None:
    """Keep short what waits outside of the lanes: in the transport and the kernel."""
    if transport.get_extra_info("sslcontext") is None:
        transport.set_write_buffer_limits(high=0)
    else:
        # With 0 a paused TLS transport never resumes.
        transport.set_write_buffer_limits(high=1, low=0)
    if not _INHERITED:
        _keep_kernel_short(transport.get_extra_info("socket"))


def _keep_kernel_short(sock: socket.socket | None) -> None:
    """Have the kernel hold little that is unsent, where the platform can do that."""
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    if _NOTSENT_LOWAT is not None:
        # Without it what waits is only less fresh.
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, UNSENT_LOW_WATER)


class StreamConnection(asyncio.Protocol):
    """One accepted socket.

    It has one timer, for the deadline of the phase that it is in.

    Args:
        home: The transport that accepted it.

    Attributes:
        place: Where its handshake is counted while it is under way.
    """

    __slots__ = ("__weakref__", "_home", "_socket", "_timer", "place")

    def __init__(self, home: StreamTransport) -> None:
        self._home = home
        self._socket: asyncio.Transport | None = None
        self._timer: Timer | None = None
        self.place: Place | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket."""
        self._socket = cast("asyncio.Transport", transport)
        tune(self._socket)
        self._home.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything; the socket is closed."""
        self._disarm()
        self._socket = None
        self.leave_place()
        self._home.forget(self)

    def leave_place(self) -> None:
        """Note that the handshake is over."""
        place, self.place = self.place, None
        if place is not None:
            place.leave()

    @property
    def address(self) -> str:
        """The peer's address, without the port."""
        assert self._socket is not None
        peer = self._socket.get_extra_info("peername")
        return str(peer[0]) if isinstance(peer, tuple) else ""

    def cut(self) -> None:
        """End at once, unless it is ending already and has a deadline for that."""
        raise NotImplementedError

    def _arm(self, seconds: float, work: Callable[[], None]) -> None:
        """Set the timer, in place of what it was set to."""
        self._disarm()
        self._timer = self._home.host.after(seconds, work)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _half_close(self) -> None:
        """Say that nothing more is sent, so that the peer reads all of it and ends.

        Closing with unread bytes of the peer would reset the connection, and might take
        from the peer what it has not read yet.
        """
        transport = self._socket
        if transport is None or transport.is_closing():
            return
        if transport.can_write_eof():
            transport.write_eof()
        else:
            transport.close()

    def _abort_in(self, seconds: float) -> None:
        """Read on for the peer's end, and cut the socket if it does not come."""
        transport = self._socket
        if transport is not None:
            self._arm(seconds, transport.abort)
            transport.resume_reading()


class StreamTransport:
    """A listening socket, and the connections that came in through it.

    Args:
        host: Where to listen: a name or an address.
        port: Where to listen; 0 lets the system choose.
        ssl_context: Speak TLS with it, see the attribute.
        bounds: What one connection may send.
        unfinished: What all connections together may hold of messages that are not
            whole yet; give several transports the same to bound their sum.
        proxies: Whose word about the clients behind them counts; by default nobody's.
        half_open: What all handshakes under way are counted in; to be shared likewise.
        turns: What bounds how much of all connections is taken in a turn of the event
            loop; to be shared likewise.

    Attributes:
        ssl_context: What new connections are secured with, None where none is; another
            may take its place, with another certificate.
        address: Where it listens, for people. Empty before `start`.
        port: The port that it listens on; after `start` the one chosen.
        connections: Every open socket.
    """

    #: The transport's name.
    name: str
    #: Of the address without and with TLS.
    schemes: tuple[str, str]

    host: Host
    loop: asyncio.AbstractEventLoop
    turns: ReadingTurns

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        ssl_context: ssl.SSLContext | None = None,
        bounds: InboundBounds | None = None,
        unfinished: UnfinishedBytes | None = None,
        proxies: TrustedProxies | None = None,
        half_open: HalfOpen | None = None,
        turns: ReadingTurns | None = None,
    ) -> None:
        self.address = ""
        self.port = port
        self.bounds = bounds or InboundBounds()
        self.unfinished = unfinished or UnfinishedBytes()
        self.proxies = proxies or TrustedProxies(())
        self.half_open = half_open or HalfOpen()
        self._shared_turns = turns
        self.connections: set[StreamConnection] = set()
        self._interface = host
        self.ssl_context = ssl_context
        self._server: asyncio.Server | None = None
        self._entrance: TlsEntrance | None = None
        self._emptied: asyncio.Future[None] | None = None

    def connection(self) -> StreamConnection:
        """Return the protocol for a socket that was just accepted."""
        raise NotImplementedError

    async def start(self, host: Host) -> None:
        """Listen.

        Raises:
            OSError: The address cannot be bound.
        """
        self.host = host
        self.loop = asyncio.get_running_loop()
        self.turns = self._shared_turns or ReadingTurns(self.loop)
        secure = self.ssl_context is not None
        self._server = await self.loop.create_server(
            self.connection,
            self._interface,
            self.port,
            backlog=BACKLOG,
            start_serving=not secure,
        )
        for sock in self._server.sockets:
            _keep_kernel_short(sock)
        name, self.port = self._server.sockets[0].getsockname()[:2]
        shown = f"[{name}]" if ":" in name else name
        self.address = f"{self.schemes[secure]}://{shown}:{self.port}"
        if secure:
            self._entrance = TlsEntrance(self, self._server.sockets, BACKLOG)

    async def stop_accepting(self) -> None:
        """Accept no further connection; those that exist go on."""
        if self._entrance is not None:
            self._entrance.close()
        if self._server is not None:
            self._server.close()
            self._server = None

    async def stop(self) -> None:
        """Stop accepting, cut whatever is open, and wait for the closes under way."""
        await self.stop_accepting()
        if self._entrance is not None:
            await self._entrance.cancel()
        for connection in tuple(self.connections):
            connection.cut()
        if self.connections:
            self._emptied = self.loop.create_future()
            await self._emptied

    def forget(self, connection: StreamConnection) -> None:
        """Note that a socket is closed."""
        self.connections.discard(connection)
        if not self.connections and self._emptied and not self._emptied.done():
            self._emptied.set_result(None)
