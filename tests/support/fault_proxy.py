"""A TCP proxy that does to bytes what networks do.

It stands between a client and a server on the loopback address. Each direction has a
`Way`, which may be changed at any time: what is read from then on meets the new faults.

    async with FaultProxy(server_port) as proxy:
        proxy.down.bytes_per_second = 1_000
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final, Self

__all__ = ("FaultProxy", "Way")

#: Most bytes that are read at once.
READ_SIZE: Final = 64 * 1024
#: What the kernel may hold of each side, so that a slow way is felt at its other end.
RECEIVE_BUFFER: Final = 16 * 1024
#: Reads that may be under way in one direction at once.
IN_FLIGHT: Final = 1024
#: Seconds of a throttled way that one segment takes at most.
SMOOTHNESS: Final = 0.05
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


@dataclass
class Way:
    """The faults of one direction; at first there are none.

    Args:
        delay: Seconds that each read is late.
        jitter: Up to so many more seconds; the order of bytes stays.
        segment_size: Bytes of a segment at most; None leaves them as they are.
        bytes_per_second: How fast it goes; None is as fast as it can.
        is_dead: Whether bytes, and the end, are swallowed: a peer that has vanished.
    """

    delay: float = 0.0
    jitter: float = 0.0
    segment_size: int | None = None
    bytes_per_second: float | None = None
    is_dead: bool = False

    @property
    def read_size(self) -> int:
        """How many bytes may be read at once."""
        sizes = [READ_SIZE]
        if self.segment_size is not None:
            sizes.append(self.segment_size)
        if self.bytes_per_second is not None:
            sizes.append(max(1, round(self.bytes_per_second * SMOOTHNESS)))
        return min(sizes)


class FaultProxy:
    """Listens on a port of its own and passes on to another.

    Args:
        target: The server's port.
        seed: Of the jitter.

    Attributes:
        port: Where it listens.
        up: From clients to the server.
        down: From the server to clients.
        bytes_up: How many bytes it has passed on to the server.
        bytes_down: How many bytes it has passed on to clients.
    """

    def __init__(self, target: int, *, seed: int = 0) -> None:
        self._target = target
        self._chance = random.Random(seed)
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.up = Way()
        self.down = Way()
        self.bytes_up = 0
        self.bytes_down = 0

    async def __aenter__(self) -> Self:
        self._listener = _small_socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(1024)
        self.port = self._listener.getsockname()[1]
        self._spawn(self._accept())
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._listener.close()
        self.drop()

    def reset(self) -> None:
        """Reset every connection, on both sides."""
        for pair in self._pairs:
            for one in pair:
                with contextlib.suppress(OSError):
                    one.setsockopt(
                        socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE
                    )
        self.drop()

    def drop(self) -> None:
        """Close every connection, on both sides."""
        pairs, self._pairs = self._pairs, set()
        for client, server in pairs:
            client.close()
            server.close()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            client, _ = await loop.sock_accept(self._listener)
            self._spawn(self._serve(client))

    async def _serve(self, client: socket.socket) -> None:
        server = _small_socket()
        pair = client, server
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._pairs.add(pair)
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_connect(server, ("127.0.0.1", self._target))
            await asyncio.gather(
                self._carry(client, server, self.up),
                self._carry(server, client, self.down),
            )
        except OSError:
            # One side is gone; so is the other then.
            pass
        finally:
            self._pairs.discard(pair)
            client.close()
            server.close()

    async def _carry(
        self, source: socket.socket, sink: socket.socket, way: Way
    ) -> None:
        """Read, and have what was read passed on when its time comes."""
        loop = asyncio.get_running_loop()
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(IN_FLIGHT)
        passing_on = asyncio.ensure_future(self._pass_on(under_way, sink, way))
        try:
            due = 0.0
            data = b"the beginning"
            while data:
                data = await loop.sock_recv(source, way.read_size)
                if way.is_dead:
                    # Nor is the end of it told.
                    continue
                late = way.delay + way.jitter * self._chance.random()
                due = max(due, loop.time() + late)
                await under_way.put((due, data))
            await passing_on
        finally:
            passing_on.cancel()

    async def _pass_on(
        self, under_way: asyncio.Queue[tuple[float, bytes]], sink: socket.socket, way: Way
    ) -> None:
        loop = asyncio.get_running_loop()
        free_at = 0.0
        while True:
            due, data = await under_way.get()
            await asyncio.sleep(max(due, free_at) - loop.time())
            if way.is_dead:
                continue
            if not data:
                sink.shutdown(socket.SHUT_WR)
                return
            await loop.sock_sendall(sink, data)
            if way is self.up:
                self.bytes_up += len(data)
            else:
                self.bytes_down += len(data)
            if way.bytes_per_second is not None:
                free_at = max(free_at, loop.time()) + len(data) / way.bytes_per_second

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _small_socket() -> socket.socket:
    """Return a socket that takes little unread; what it accepts is like it."""
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    one.setblocking(False)
    return one
