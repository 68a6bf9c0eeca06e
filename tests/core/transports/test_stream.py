"""Deadlines, bounds and sockets, of the transports that have them."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
import weakref
from collections.abc import Awaitable, Callable, Iterator

import pytest

from support.peers import END, Got, Peer, StreamPeer, read_to_end
from support.transport_host import EchoHost, EchoReceiver, Log
from support.transport_stage import ManualTimers, Stage, running, websocket
from wsprism_core.protocol.layout import CloseCode
from wsprism_core.transports.bounds import UnfinishedBytes
from wsprism_core.transports.link import StreamLink
from wsprism_core.transports.port import TransportTimeouts
from wsprism_core.transports.stream import UNSENT_LOW_WATER, StreamTransport
from wsprism_core.transports.tcp import TcpTransport
from wsprism_core.transports.websocket import WebSocketLink, WebSocketTransport


async def fill_up(stage: Stage, link: StreamLink) -> None:
    """Write until the peer has taken all that it takes without being asked to read."""
    resumed = -1
    while resumed < len(stage.host.log.of("resume")):
        resumed = len(stage.host.log.of("resume"))
        while link.write(link.wire.frame_hot(b"x" * 60_000)):
            pass
        await stage.settle()


class WatchedPool(UnfinishedBytes):
    """Notes every change."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self.log = log

    def change(self, by: int) -> bool:
        fits = super().change(by)
        self.log.add("held", self.held)
        return fits


@pytest.fixture
def pool(socket_stage: Stage) -> WatchedPool:
    socket_stage.stream.unfinished = WatchedPool(socket_stage.host.log)
    return socket_stage.stream.unfinished


async def arrived(pool: WatchedPool, size: int) -> None:
    """Wait until so many unfinished bytes are held."""
    await pool.log.wait_for(lambda: pool.held == size)


# ------------------------------------------------------------------ deadlines


@pytest.mark.interpreted
async def test_a_message_must_be_finished_in_time(
    socket_stage: Stage, pool: WatchedPool, timers: ManualTimers
) -> None:
    peer, _ = await socket_stage.open_link()
    message = peer.framed("text", b"a message")
    for size in (1, 2, 3):
        # No byte moves the deadline.
        await peer.send_raw(message[size - 1 : size])
        await arrived(pool, size)
        timers.advance(2.0)
    assert await read_to_end(peer) == [
        Got("close", b"a message unfinished after 5 s", 1008)
    ]
    assert socket_stage.host.log.of("closed")[0][1] == CloseCode.POLICY_VIOLATION
    assert pool.held == 0


@pytest.mark.interpreted
async def test_the_deadline_is_each_message_s_own(
    socket_stage: Stage, pool: WatchedPool, timers: ManualTimers
) -> None:
    peer, _ = await socket_stage.open_link()
    message = peer.framed("text", b"a message")
    await peer.send_raw(message[:5])
    for n in range(5):
        await arrived(pool, 5)
        timers.advance(4.0)
        # The end of one and the beginning of the next in one read.
        await peer.send_raw(message[5:] + message[:5])
        await socket_stage.host.log.until("text", n + 1)
    assert not socket_stage.host.log.of("closed")
    timers.advance(5.0)
    assert socket_stage.host.log.of("closed")


async def test_whole_messages_set_no_timer(
    socket_stage: Stage, timers: ManualTimers
) -> None:
    peer, _ = await socket_stage.open_link()
    for _ in range(3):
        await peer.send("text", b"x")
        await peer.frame()
    assert timers.pending == 0
    timers.advance(3600.0)
    await peer.send("text", b"x")
    assert await peer.frame() == Got("text", b"x")


@pytest.mark.interpreted
async def test_a_timer_that_finds_nothing_unfinished_does_nothing(
    socket_stage: Stage, pool: WatchedPool, timers: ManualTimers
) -> None:
    peer, _ = await socket_stage.open_link()
    message = peer.framed("text", b"a message")
    await peer.send_raw(message[:5])
    await arrived(pool, 5)
    await peer.send_raw(message[5:])
    await peer.frame()
    timers.advance(3600.0)
    assert timers.pending == 0
    assert not socket_stage.host.log.of("closed")


async def test_no_timer_outlives_its_connection(
    socket_stage: Stage, timers: ManualTimers
) -> None:
    silent = await socket_stage.connect_socket()
    dropping, _ = await socket_stage.open_link()
    await dropping.send_raw(dropping.framed("text", b"x")[:1])
    closing, link = await socket_stage.open_link()
    link.close(4000, "over")
    for peer in (silent, dropping, closing):
        peer.drop()
    async with asyncio.timeout(10):
        await socket_stage.transport.stop()
    assert timers.pending == 0


@pytest.mark.parametrize("who", ["peer", "core"])
async def test_both_closes_end_the_socket(
    socket_stage: Stage, timers: ManualTimers, who: str
) -> None:
    peer, link = await socket_stage.open_link()
    if who == "core":
        link.close(4000, "over")
        # What was under way meanwhile is dropped.
        await peer.send("text", b"crossed")
    await peer.close(4000, "over")
    assert await peer.frame() == Got("close", b"over", 4000)
    assert await peer.frame() == END
    # Neither does the peer close its end nor does time pass.
    async with asyncio.timeout(10):
        await socket_stage.transport.stop()
    assert not socket_stage.host.log.of("text")


async def test_a_peer_that_does_not_answer_a_close_is_cut(
    socket_stage: Stage, timers: ManualTimers
) -> None:
    peer, link = await socket_stage.open_link()
    link.close(CloseCode.KICKED, "out")
    assert (await peer.frame()).code == CloseCode.KICKED
    assert socket_stage.stream.connections
    timers.advance(socket_stage.host.timeouts.close)
    assert await peer.frame() == END
    await socket_stage.transport.stop()


async def test_a_peer_that_reads_nothing_is_cut_at_its_close(
    socket_stage: Stage, timers: ManualTimers
) -> None:
    _, link = await socket_stage.open_link()
    await fill_up(socket_stage, link)
    link.close(CloseCode.SLOW_CONSUMER, "too slow")
    timers.advance(socket_stage.host.timeouts.close)
    await socket_stage.transport.stop()
    assert not socket_stage.stream.connections


async def test_a_half_close_is_the_end(socket_stage: Stage) -> None:
    peer, _ = await socket_stage.open_link()
    assert isinstance(peer, StreamPeer)
    await peer.send("text", b"bye")
    assert await peer.frame() == Got("text", b"bye")
    peer.send_eof()
    assert await peer.frame() == END
    (closed,) = socket_stage.host.log.of("closed")
    assert closed[1] == 1006


async def test_a_half_close_of_one_that_reads_nothing_has_a_deadline(
    socket_stage: Stage, timers: ManualTimers
) -> None:
    peer, link = await socket_stage.open_link()
    assert isinstance(peer, StreamPeer)
    await fill_up(socket_stage, link)
    peer.send_eof()
    await socket_stage.host.log.until("closed")
    assert socket_stage.stream.connections
    timers.advance(socket_stage.host.timeouts.close)
    await socket_stage.transport.stop()


async def test_an_admission_that_takes_too_long_is_refused(
    socket_stage: Stage, timers: ManualTimers
) -> None:
    host = socket_stage.host
    undecided = host.undecided = []
    peer = await socket_stage.connect()
    await host.log.until("undecided")
    timers.advance(host.timeouts.handshake)
    assert isinstance(peer, StreamPeer)
    answer = await peer.read_all()
    assert b"not decided in time" in answer
    host.undecided = None
    undecided[0](host.decision())
    assert host.log.entries[-1] == ("release",)


# --------------------------------------------------------------------- bounds


@pytest.mark.interpreted
async def test_all_connections_together_hold_so_much_unfinished(
    socket_stage: Stage, pool: WatchedPool
) -> None:
    pool.limit = 100_000
    peers = [await socket_stage.connect() for _ in range(3)]
    half = peers[0].framed("binary", b"x" * 60_000)[:40_000]
    for n, peer in enumerate(peers[:2], 1):
        await peer.send_raw(half)
        await arrived(pool, n * 40_000)
    # The newest is refused, the others go on.
    await peers[2].send_raw(half)
    (closed,) = await read_to_end(peers[2])
    assert closed.code == CloseCode.TRY_AGAIN_LATER
    assert pool.held == 80_000
    await peers[0].send_raw(peers[0].framed("binary", b"x" * 60_000)[40_000:])
    peers[1].drop()
    await socket_stage.host.log.until("closed", 2)
    await socket_stage.host.log.until("binary")
    assert pool.held == 0


@pytest.mark.parametrize("reads", [True, False])
@pytest.mark.parametrize("kind", ["ping", "pong"])
async def test_a_flood_of_control_frames_closes(
    socket_stage: Stage, timers: ManualTimers, kind: str, reads: bool
) -> None:
    peer, _ = await socket_stage.open_link()
    frame = peer.framed(kind, b"x" * 125)
    if reads:
        for _ in range(100):
            await peer.send_raw(frame)
            if kind == "ping":
                assert (await peer.frame()).kind == "pong"
        await peer.send_raw(frame)
        assert (await peer.frame()).code == CloseCode.POLICY_VIOLATION
    else:
        await peer.send_raw(frame * 10_000)
    closed = await socket_stage.host.log.until("closed")
    assert closed == ("closed", 1008, "too many control frames")
    heard = socket_stage.host.log.of("heard") + socket_stage.host.log.of("pong")
    assert len(heard) == 100


async def test_control_frames_are_counted_by_the_second(
    socket_stage: Stage, timers: ManualTimers
) -> None:
    peer, _ = await socket_stage.open_link()
    for n in range(3):
        await peer.send_raw(peer.framed("pong", b"") * 100)
        await socket_stage.host.log.until("pong", 100 * (n + 1))
        timers.advance(1.0)
    assert not socket_stage.host.log.of("closed")


# -------------------------------------------------------------------- sockets


async def test_the_kernel_keeps_little_and_waits_for_nothing(
    socket_stage: Stage,
) -> None:
    _, link = await socket_stage.open_link()
    transport = link._socket
    assert transport is not None
    assert transport.get_write_buffer_limits() == (0, 0)
    sock = transport.get_extra_info("socket")
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    if sys.platform == "linux":
        assert sock.getsockopt(socket.IPPROTO_TCP, 25) == UNSENT_LOW_WATER


async def test_a_socket_that_fills_up_while_opening_pauses(
    socket_stage: Stage,
) -> None:
    def fill(receiver: EchoReceiver) -> None:
        while receiver.link.write(receiver.link.wire.frame_hot(b"x" * 9000)):
            pass

    socket_stage.host.on_open = fill
    await socket_stage.connect()
    await socket_stage.host.log.until("pause")


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def peer_closes(peer: Peer, receiver: EchoReceiver) -> None:
    await peer.close(1000, "")


async def core_closes(peer: Peer, receiver: EchoReceiver) -> None:
    receiver.link.close(4000, "")


async def core_aborts(peer: Peer, receiver: EchoReceiver) -> None:
    receiver.link.abort()


async def peer_drops(peer: Peer, receiver: EchoReceiver) -> None:
    peer.drop()


async def bad_text(peer: Peer, receiver: EchoReceiver) -> None:
    await peer.send("text", b"\xff")


async def too_big(peer: Peer, receiver: EchoReceiver) -> None:
    await peer.send("binary", b"x" * 100_000)


async def half_a_message(peer: Peer, receiver: EchoReceiver) -> None:
    await peer.send_raw(peer.framed("binary", b"x" * 1000)[:500])
    peer.drop()


ENDINGS = [
    peer_closes,
    core_closes,
    core_aborts,
    peer_drops,
    bad_text,
    too_big,
    half_a_message,
]


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("end", ENDINGS)
async def test_a_closed_connection_is_freed_without_the_collector(
    socket_stage: Stage, end: Callable[[Peer, EchoReceiver], Awaitable[None]]
) -> None:
    peer = await socket_stage.connect()
    await peer.send("text", b"x")
    await peer.frame()
    receiver = socket_stage.host.receivers.pop()
    gone: list[weakref.ref[object]] = [weakref.ref(receiver)]
    gone.append(weakref.ref(receiver.link))
    if isinstance(receiver.link, WebSocketLink):
        # It is made once something odd has come, the end at the latest.
        gone.append(weakref.ref(receiver.link._frames()))
    await end(peer, receiver)
    await read_to_end(peer)
    peer.drop()
    await socket_stage.transport.stop()
    del receiver
    assert all(ref() is None for ref in gone)


async def test_stop_waits_for_no_more_than_a_close(host: EchoHost) -> None:
    host.timeouts = TransportTimeouts(close=0.05)
    async with running(websocket(), host) as stage:
        peer, link = await stage.open_link()
        link.close(CloseCode.GOING_AWAY, "draining")
        async with asyncio.timeout(5):
            await stage.transport.stop()
        assert (await peer.frame()).code == CloseCode.GOING_AWAY


async def test_stop_cuts_a_socket_that_said_nothing(socket_stage: Stage) -> None:
    peer = await socket_stage.connect_socket()
    await socket_stage.settle()
    await socket_stage.transport.stop()
    assert await peer.read_all() == b""


async def test_an_address_that_is_taken_is_an_error(socket_stage: Stage) -> None:
    second = type(socket_stage.stream)(port=socket_stage.stream.port)
    with pytest.raises(OSError, match="address already in use"):
        await second.start(socket_stage.host)


@pytest.mark.parametrize(
    ("transport", "scheme"), [(WebSocketTransport, "ws"), (TcpTransport, "tcp")]
)
async def test_an_ipv6_address_is_in_brackets(
    host: EchoHost, transport: type[StreamTransport], scheme: str
) -> None:
    listening = transport("::1", 0)
    try:
        await listening.start(host)
    except OSError:
        pytest.skip("needs IPv6")
    assert listening.address == f"{scheme}://[::1]:{listening.port}"
    await listening.stop()


# ------------------------------------------------------------------ one turn's share


async def test_who_sends_much_at_once_holds_up_nobody_else(
    socket_stage: Stage,
) -> None:
    greedy, _ = await socket_stage.open_link()
    modest, _ = await socket_stage.open_link()
    log = socket_stage.host.log
    one = greedy.framed("text", b"g" * 90)
    await greedy.send_raw(one * 2_000)
    await log.until("text")
    await modest.send("text", b"modest")
    await log.until("text", 2_001)
    heard = [entry[1] for entry in log.of("text")]
    assert heard.count(b"g" * 90) == 2_000
    # It is heard while the other's are still coming: well before the last of them.
    assert heard.index(b"modest") < 1_900


async def test_what_is_put_off_comes_before_the_end(socket_stage: Stage) -> None:
    peer, _ = await socket_stage.open_link()
    one = peer.framed("text", b"x" * 200)
    await peer.send_raw(one * 500)
    await peer.close(1000, "done")
    await socket_stage.host.log.until("closed")
    assert len(socket_stage.host.log.of("text")) == 500
