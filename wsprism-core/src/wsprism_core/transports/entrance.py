"""Accepting connections that speak TLS.

An event loop that listens for TLS itself tells of a connection once its handshake is
over, and of one that never gets that far not at all. So sockets are accepted here:
each is counted from the start, and may be turned away before it costs a handshake.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from wsprism_core.protocol.layout import CloseCode
from wsprism_core.realtime.clock import Timer
from wsprism_core.transports.half_open import Place
from wsprism_core.transports.port import Refusal

if TYPE_CHECKING:
    from wsprism_core.transports.stream import StreamTransport

__all__ = ("TlsEntrance",)

#: Sockets that are accepted in one turn of the event loop.
ACCEPTS_PER_TURN: Final = 64
#: Seconds without accepting once there are no descriptors or no memory left.
PAUSE: Final = 1.0
_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class TlsEntrance:
    """Accepts sockets, and makes a connection of each whose TLS handshake succeeds.

    Args:
        home: The transport that they are for; its `ssl_context` is asked for each.
        sockets: Bound ones, which nobody listens on yet.
        backlog: How many the kernel may hold that are not accepted.
    """

    def __init__(
        self, home: StreamTransport, sockets: Iterable[socket.socket], backlog: int
    ) -> None:
        self._home = home
        self._pause: Timer | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._listeners = [one.dup() for one in sockets]
        for listener in self._listeners:
            listener.setblocking(False)
            listener.listen(backlog)
        self._resume()

    def close(self) -> None:
        """Accept no further socket; handshakes under way go on."""
        if self._pause is not None:
            self._pause.cancel()
        for listener in self._listeners:
            self._home.loop.remove_reader(listener)
            listener.close()
        self._listeners = []

    async def cancel(self) -> None:
        """Cut the handshakes under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _resume(self) -> None:
        self._pause = None
        for listener in self._listeners:
            self._home.loop.add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        """Accept what waits, and no more than so many at once."""
        for _ in range(ACCEPTS_PER_TURN):
            try:
                sock, peer = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                # It stays readable: without a pause the event loop would spin.
                for one in self._listeners:
                    self._home.loop.remove_reader(one)
                self._pause = self._home.host.after(PAUSE, self._resume)
                return
            self._take(sock, str(peer[0]))

    def _take(self, sock: socket.socket, address: str) -> None:
        """Begin the handshake of a socket, unless there are too many."""
        home = self._home
        place = home.half_open.enter(home.loop.time())
        refusal: Refusal | None
        if isinstance(place, Refusal):
            refusal = place
        else:
            refusal = None
            if not home.proxies.trusts(address):
                refusal = place.belongs_to(address)
            if refusal is None:
                task = home.loop.create_task(self._secure(sock, address, place))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                return
            place.leave()
        # Nothing can be said to it that it would understand.
        sock.close()
        home.host.refused(home.name, address, refusal)

    async def _secure(self, sock: socket.socket, address: str, place: Place) -> None:
        """Make the handshake; what comes of it has the place of its socket."""
        home = self._home
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = home.connection()
        connection.place = place
        timeouts = home.host.timeouts
        try:
            await home.loop.connect_accepted_socket(
                lambda: connection,
                sock,
                ssl=home.ssl_context,
                ssl_handshake_timeout=timeouts.handshake,
                ssl_shutdown_timeout=timeouts.close,
            )
        except ConnectionAbortedError:
            self._refuse(address, 408, "no TLS handshake in time")
        except ssl.SSLError:
            self._refuse(address, 400, "no TLS handshake")
        except OSError:
            # It went away, as whoever only looks whether the port is open.
            pass
        finally:
            if connection not in home.connections:
                connection.leave_place()

    def _refuse(self, address: str, status: int, reason: str) -> None:
        refusal = Refusal(status, CloseCode.PROTOCOL_ERROR, reason)
        self._home.host.refused(self._home.name, address, refusal)
