from __future__ import annotations

import asyncio
import gc
import os
import time
import weakref
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from itertools import islice

import pytest

from support.peers import client_frame, handshake
from wsprism_core import collector as collector_module
from wsprism_core.clock import LoopClock
from wsprism_core.collector import INTERVAL, Collector
from wsprism_core.gateway import Gateway
from wsprism_core.plugins import PluginSet
from wsprism_core.testing import config_with
from wsprism_core.testing.clock import VirtualClock
from wsprism_core.transports.memory import MemoryClient, MemoryTransport
from wsprism_core.transports.port import Transport
from wsprism_core.transports.stream import StreamConnection
from wsprism_core.transports.tcp import TcpTransport
from wsprism_core.transports.websocket import WebSocketTransport

#: What each client says; the last one's answer ends the connection.
SAID = (
    b'{"svc":"room","type":"join","room":"r%d","seq":1}',
    b'{"svc":"chat","type":"send","room":"r%d","seq":2,"flags":4,"data":{"msg":"hi"}}',
    b'{"svc":"nope","type":"send","room":"r%d","seq":3}',
    b'{"svc":"party","type":"accept","room":"r%d","seq":4,"data":{"party":"none"}}',
    b'{"svc":"room","type":"leave","room":"r%d","seq":5}',
)


@contextmanager
def collecting(full: float = 0.0) -> Iterator[VirtualClock]:
    clock = VirtualClock()
    collector = Collector(clock, full=full)
    collector.start()
    try:
        yield clock
    finally:
        collector.stop()


class Knot:
    """A cycle, which no count of references frees."""

    def __init__(self) -> None:
        self.itself = self


def tied() -> weakref.ref[Knot]:
    return weakref.ref(Knot())


def test_python_does_not_collect_meanwhile_and_does_again() -> None:
    with collecting():
        assert not gc.isenabled()
        assert gc.get_freeze_count() > 1000
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_one_that_never_began_stops_nothing() -> None:
    Collector(VirtualClock()).stop()
    assert gc.isenabled()


def test_what_is_young_is_found_at_once() -> None:
    with collecting() as clock:
        knot = tied()
        assert knot() is not None
        clock.advance(INTERVAL)
        assert knot() is None


def test_what_is_a_little_older_is_found_within_a_second() -> None:
    with collecting() as clock:
        knot = Knot()
        seen = weakref.ref(knot)
        clock.advance(10 * INTERVAL)
        del knot
        clock.advance(INTERVAL)
        assert seen() is not None
        clock.advance(1)
        assert seen() is None


def test_what_is_too_much_to_look_at_is_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector_module, "MOST", 900)
    with collecting(full=10) as clock:
        before = gc.get_freeze_count()
        knots = [Knot() for _ in range(1_000)]
        seen = weakref.ref(knots[0])
        clock.advance(0.9)
        assert gc.get_freeze_count() < before + 1_000
        clock.advance(0.1)
        assert gc.get_freeze_count() >= before + 1_000
        knots.clear()
        clock.advance(8)
        assert seen() is not None
        # Asked for, everything is looked at.
        clock.advance(2)
        assert seen() is None


# ------------------------------------------------------ pauses with 2,000 sessions


@contextmanager
def pauses() -> Iterator[list[float]]:
    """Collect how long the collector works; other processes do not count."""
    found: list[float] = []
    began = 0.0

    def note(phase: str, info: Mapping[str, int]) -> None:
        nonlocal began
        if phase == "start":
            began = time.thread_time()
        else:
            found.append(time.thread_time() - began)

    gc.callbacks.append(note)
    try:
        yield found
    finally:
        gc.callbacks.remove(note)


async def test_no_pause_is_over_5_ms_with_2000_sessions() -> None:
    memory = MemoryTransport()
    async with started(memory) as gateway:
        collector = Collector(LoopClock(asyncio.get_running_loop()))
        collector.start()
        try:
            with pauses() as found:
                clients: deque[MemoryClient] = deque()
                for n in range(6_000):
                    # The later ones take the places of the first.
                    if len(clients) == 2_000:
                        clients.popleft().drop()
                    client = memory.connect(ticket=f"dev:u{n}")
                    for text in SAID[:3]:
                        client.send_text(text % (n // 20))
                    clients.append(client)
                    if n % 20 == 19:
                        await asyncio.sleep(0)
                        for one in islice(reversed(clients), 20):
                            one.received()
            assert len(gateway.sessions) == 2_000
            assert len(found) > 10
            assert max(found) < 0.005
        finally:
            collector.stop()


# --------------------------------------------------------- nothing is left behind


class Visitor(asyncio.Protocol):
    """Connects, says what there is to say, and goes in one of three ways."""

    def __init__(self, n: int, home: Ws | Tcp) -> None:
        self._n = n
        self._home = home
        self._heard = bytearray()
        self._socket: asyncio.Transport | None = None
        self.gone = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._socket = transport
        frame = self._home.frame
        if isinstance(self._home, Ws):
            transport.write(handshake(f"/v1/ws?ticket=dev:u{self._n % 7}"))
        else:
            ticket = b'{"svc":"sys","type":"auth","data":{"ticket":"dev:ann"}}'
            transport.write(frame(ticket))
        for text in SAID:
            transport.write(frame(text % (self._n % 3)))

    def data_received(self, data: bytes) -> None:
        self._heard += data
        if b'"ref":5' not in self._heard or self._socket is None:
            return
        socket, self._socket = self._socket, None
        match self._n % 3:
            case 0:
                socket.abort()
            case 1:
                socket.close()
            case _:
                socket.write_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        self._socket = None
        self.gone.set_result(None)


def ws_frame(text: bytes) -> bytes:
    return client_frame(1, text)


def tcp_frame(text: bytes) -> bytes:
    return (len(text) + 1).to_bytes(4, "big") + b"\x01" + text


@asynccontextmanager
async def started(*transports: Transport) -> AsyncIterator[Gateway]:
    gateway = Gateway(
        # Else what is told of a room that is gone is told a moment later.
        config_with(
            gateway={
                "presence_batch_ms": 0,
                "history": {"messages": 0},
                "resume_window_ms": 0,
            }
        ),
        PluginSet.load(["chat", "game", "party", "market"]),
        LoopClock(asyncio.get_running_loop()),
        transports=transports,
        development=True,
    )
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.stop()


class Counting:
    """Mixed into a transport: tells when its last connection is gone."""

    connections: set[StreamConnection]

    def __init__(self) -> None:
        super().__init__(port=0)  # type: ignore[call-arg]
        self.empty = asyncio.Event()

    def forget(self, connection: StreamConnection) -> None:
        super().forget(connection)  # type: ignore[misc]
        if not self.connections:
            self.empty.set()


class Ws(Counting, WebSocketTransport):
    frame = staticmethod(ws_frame)


class Tcp(Counting, TcpTransport):
    frame = staticmethod(tcp_frame)


async def visit(transport: Ws | Tcp, times: int) -> None:
    loop = asyncio.get_running_loop()
    for start in range(0, times, 50):
        visitors = [Visitor(n, transport) for n in range(start, start + 50)]
        async with asyncio.timeout(20):
            for visitor in visitors:
                await loop.create_connection(
                    partial(_same, visitor), port=transport.port, host="127.0.0.1"
                )
            transport.empty.clear()
            await asyncio.gather(*(visitor.gone for visitor in visitors))
            if transport.connections:
                await transport.empty.wait()
            # A turn for what was put off to the next one.
            await asyncio.sleep(0)
            await asyncio.sleep(0)


def _same(visitor: Visitor) -> Visitor:
    return visitor


def census() -> Counter[str]:
    """Count the objects of the gateway and of what it speaks WebSocket with."""
    names = (f"{type(one).__module__}.{type(one).__name__}" for one in gc.get_objects())
    ours = ("wsprism_", "websockets.", "builtins.frame", "builtins.traceback")
    return Counter(name for name in names if name.startswith(ours))


@pytest.mark.parametrize("make", [Ws, Tcp])
async def test_connects_and_closes_leave_nothing_to_collect(
    make: type[Ws | Tcp],
) -> None:
    times = int(os.environ.get("WSPRISM_TEST_CONNECTS", "100"))
    transport = make()
    async with started(transport):
        await visit(transport, 50)
        gc.collect()
        gc.disable()
        try:
            before = census()
            await visit(transport, times)
            left = census() - before
        finally:
            gc.enable()
    # What is kept has a bound, such as the last messages of a room; a cycle has none.
    assert {name: count for name, count in left.items() if count > times // 10} == {}
