"""A TCP proxy that does to bytes what networks do.

It stands between a client and a server on the loopback address. Each direction has a
`Way`, which may be changed at any time: what comes from then on meets the new faults.

    async with FaultProxy(server_port) as proxy:
        proxy.down.bytes_per_second = 1_000
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
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

    While it is dead, bytes and the end are swallowed, as those of a peer that vanished.

    Args:
        delay: Seconds that each read is late.
        jitter: Up to so many more seconds; the order of bytes stays.
        segment_size: Bytes of a segment at most; None leaves them as they are.
        bytes_per_second: How fast it goes; None is as fast as it can.
        is_dead: Whether nothing gets through.
    """

    delay: float = 0.0
    jitter: float = 0.0
    segment_size: int | None = None
    bytes_per_second: float | None = None
    is_dead: bool = False

    @property
    def piece_size(self) -> int:
        """How many bytes go at once."""
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
        self._serving: dict[
            asyncio.Task[None], tuple[socket.socket, socket.socket]
        ] = {}
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
        self._accepting = asyncio.ensure_future(self._accept())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._accepting.cancel()
        await asyncio.gather(self._accepting, return_exceptions=True)
        self._listener.close()
        await self.drop()

    async def reset(self) -> None:
        """Reset every connection, on both sides."""
        for pair in self._serving.values():
            for one in pair:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        await self.drop()

    async def drop(self) -> None:
        """Close every connection, on both sides."""
        tasks = list(self._serving)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            client, _ = await loop.sock_accept(self._listener)
            pair = client, _small_socket()
            for one in pair:
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            task = asyncio.ensure_future(self._serve(*pair))
            self._serving[task] = pair
            task.add_done_callback(self._serving.pop)

    async def _serve(self, client: socket.socket, server: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with client, server:
            try:
                await loop.sock_connect(server, ("127.0.0.1", self._target))
                async with asyncio.TaskGroup() as ways:
                    ways.create_task(self._carry(client, server, self.up))
                    ways.create_task(self._carry(server, client, self.down))
            except* OSError:
                # One side is gone; so is the other then.
                pass

    async def _carry(
        self, source: socket.socket, sink: socket.socket, way: Way
    ) -> None:
        """Read, and have what was read passed on when its time comes."""
        loop = asyncio.get_running_loop()
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(IN_FLIGHT)
        async with asyncio.TaskGroup() as both:
            both.create_task(self._pass_on(under_way, sink, way))
            due = next_at = 0.0
            while data := await self._read(source, way):
                # The faults are those of now, not of when it began to wait.
                size = way.piece_size
                for at in range(0, len(data), size):
                    piece = data[at : at + size]
                    due = max(due, loop.time() + self._lateness(way))
                    await under_way.put((due, piece))
                    if way.bytes_per_second is not None:
                        # Not reading is what the other end feels.
                        next_at = max(next_at, loop.time())
                        next_at += len(piece) / way.bytes_per_second
                        await asyncio.sleep(next_at - loop.time())
            await under_way.put((max(due, loop.time() + way.delay), b""))

    def _lateness(self, way: Way) -> float:
        return way.delay + way.jitter * self._chance.random()

    async def _read(self, source: socket.socket, way: Way) -> bytes:
        """Return what comes next, nothing at the end."""
        try:
            return await asyncio.get_running_loop().sock_recv(source, way.piece_size)
        except OSError:
            if way.is_dead:
                return b""
            raise

    async def _pass_on(
        self,
        under_way: asyncio.Queue[tuple[float, bytes]],
        sink: socket.socket,
        way: Way,
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, data = await under_way.get()
            if (early := due - loop.time()) > 0:
                await asyncio.sleep(early)
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


def _small_socket() -> socket.socket:
    """Return a socket that takes little unread; what it accepts is like it."""
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    one.setblocking(False)
    return one
