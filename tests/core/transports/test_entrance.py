"""Accepting for TLS: what never becomes a connection, and what a late one may do."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from support.certificates import Files, write_certificate
from support.peers import Got, TcpPeer, WebSocketPeer
from support.raw_http import plain
from support.transport_host import EchoHost
from support.transport_stage import Stage, running
from support.waiting import until
from wsprism_core.realtime.clock import Timer
from wsprism_core.testing.clock import VirtualTimer
from wsprism_core.transports.half_open import HalfOpen
from wsprism_core.transports.port import TransportTimeouts
from wsprism_core.transports.tcp import TcpTransport
from wsprism_core.transports.websocket import WebSocketTransport


def context_of(files: Files) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    return context


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return write_certificate(tmp_path)


@pytest.fixture
async def wss(host: EchoHost, files: Files) -> AsyncIterator[Stage]:
    transport = WebSocketTransport(port=0, ssl_context=context_of(files))
    trusted = files.trusted()

    async def connect() -> WebSocketPeer:
        return await WebSocketPeer.open(transport.port, tls=trusted)

    async with running((transport, connect), host) as stage:
        yield stage


async def over(stage: Stage) -> None:
    """See that no handshake is under way any more."""
    assert await until(lambda: stage.stream.half_open.count == 0)


async def test_it_says_where_it_listens(wss: Stage) -> None:
    assert wss.transport.address == f"wss://127.0.0.1:{wss.stream.port}"


async def test_plain_http_is_answered_over_tls(wss: Stage, files: Files) -> None:
    stream = await WebSocketPeer.connect(wss.stream.port, files.trusted())
    wss.peers.append(stream)
    await stream.send_raw(plain("/healthz"))
    assert (await stream.read_all()).startswith(b"HTTP/1.1 404 ")


async def test_what_speaks_no_tls_is_refused(wss: Stage) -> None:
    stream = await wss.connect_socket()
    await stream.send_raw(plain("/healthz"))
    await stream.read_all()
    await over(wss)
    assert [(one.status, one.reason) for one in wss.host.refusals] == [
        (400, "no TLS handshake")
    ]


async def test_a_client_that_takes_no_such_certificate_is_refused(wss: Stage) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        await WebSocketPeer.connect(wss.stream.port, ssl.create_default_context())
    await over(wss)
    assert not wss.host.requests


async def test_silence_ends_at_the_deadline(wss: Stage) -> None:
    wss.host.timeouts = TransportTimeouts(handshake=0.05)
    stream = await wss.connect_socket()
    assert await stream.read_all() == b""
    await over(wss)
    assert [one.status for one in wss.host.refusals] == [408]


async def test_the_deadline_runs_from_accept(
    wss: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter = wss.stream.half_open.enter
    # A second passes between accept and the end of TLS's handshake.
    monkeypatch.setattr(HalfOpen, "enter", lambda _, now: enter(now - 1.0))
    armed: list[float] = []
    after = wss.host.after

    def noted(seconds: float, work: Callable[[], None]) -> Timer:
        armed.append(seconds)
        return after(seconds, work)

    monkeypatch.setattr(wss.host, "after", noted)
    await wss.connect()
    assert await until(lambda: bool(armed))
    assert armed[0] <= wss.host.timeouts.handshake - 1.0


async def test_whoever_only_looks_is_not_noted(wss: Stage) -> None:
    for _ in range(3):
        (await wss.connect_socket()).drop()
    await over(wss)
    assert not wss.host.refusals


async def test_other_handshakes_go_on_beside_one_that_hangs(wss: Stage) -> None:
    await wss.connect_socket()
    peer = await wss.connect()
    await peer.send("text", b"hi")
    assert await peer.frame() == Got("text", b"hi")
    assert wss.stream.half_open.count == 1


async def test_stopping_cuts_handshakes_under_way(host: EchoHost, files: Files) -> None:
    transport = WebSocketTransport(port=0, ssl_context=context_of(files))
    await transport.start(host)
    reader, writer = await asyncio.open_connection("127.0.0.1", transport.port)
    assert await until(lambda: transport.half_open.count == 1)
    await transport.stop()
    assert transport.half_open.count == 0
    async with asyncio.timeout(10):
        assert await reader.read() == b""
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", transport.port)


async def test_after_it_stopped_accepting_a_handshake_goes_on(
    host: EchoHost, files: Files
) -> None:
    transport = WebSocketTransport(port=0, ssl_context=context_of(files))
    await transport.start(host)
    peer = await WebSocketPeer.open(transport.port, tls=files.trusted())
    await transport.stop_accepting()
    await peer.send("text", b"hi")
    assert await peer.frame() == Got("text", b"hi")
    peer.drop()
    await transport.stop()


async def test_another_certificate_is_for_who_comes_then(
    wss: Stage, files: Files, tmp_path: Path
) -> None:
    before = await wss.connect()
    await before.send("text", b"1")
    assert await before.frame() == Got("text", b"1")
    other = tmp_path / "other"
    other.mkdir()
    renewed = write_certificate(other)
    wss.stream.ssl_context = context_of(renewed)
    with pytest.raises(ssl.SSLCertVerificationError):
        await wss.connect()
    after = await WebSocketPeer.open(wss.stream.port, tls=renewed.trusted())
    wss.peers.append(after)
    for peer in (before, after):
        await peer.send("text", b"2")
        assert await peer.frame() == Got("text", b"2")


async def test_tcp_speaks_tls_too(host: EchoHost, files: Files) -> None:
    transport = TcpTransport(ssl_context=context_of(files))
    await transport.start(host)
    assert transport.address == f"tls://127.0.0.1:{transport.port}"
    peer = await TcpPeer.connect(transport.port, files.trusted())
    await peer.send("text", b"hi")
    assert await peer.frame() == Got("text", b"hi")
    # Its handshake is TLS's alone, and that is over.
    assert transport.half_open.count == 0
    peer.drop()
    await transport.stop()


class OutOfDescriptors(socket.socket):
    """Listens, and cannot accept."""

    def __init__(self) -> None:
        super().__init__()
        self.attempts = 0

    def accept(self) -> tuple[socket.socket, object]:
        self.attempts += 1
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


async def test_without_descriptors_it_waits_a_while(wss: Stage) -> None:
    entrance = wss.stream._entrance
    assert entrance is not None
    delays: list[float] = []
    resume: list[Callable[[], None]] = []

    def after(seconds: float, work: Callable[[], None]) -> Timer:
        delays.append(seconds)
        resume.append(work)
        return VirtualTimer(0, 0, work)

    wss.host.after = after  # type: ignore[method-assign]
    with OutOfDescriptors() as listener:
        entrance._accept(listener)
        assert (delays, listener.attempts) == ([1.0], 1)
    # Nobody is accepted meanwhile, and whoever waited is afterwards.
    waiting = asyncio.ensure_future(wss.connect())
    await asyncio.sleep(0)
    assert wss.stream.half_open.count == 0
    del wss.host.after
    resume[0]()
    peer = await waiting
    await peer.send("text", b"hi")
    assert await peer.frame() == Got("text", b"hi")


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors by /proc")
async def test_it_leaves_no_descriptor_behind(host: EchoHost, files: Files) -> None:
    before = 0
    # The first round opens what the event loop keeps.
    for _ in range(3):
        host.refusals.clear()
        transport = WebSocketTransport(
            port=0, ssl_context=context_of(files), half_open=HalfOpen(2, 2)
        )
        await transport.start(host)
        writers = []
        for _ in range(5):
            _, writer = await asyncio.open_connection("127.0.0.1", transport.port)
            writers.append(writer)
        assert await until(lambda: len(host.refusals) == 3)
        for writer in writers:
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            writer.close()
        await transport.stop()
        before = before or descriptors()
    assert await until(lambda: descriptors() <= before)
