from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
import ssl

import pytest
from support.peers import MemoryPeer, Peer, Stream, TcpPeer, WebSocketPeer
from support.transport_host import EchoHost

from wsprism_core.transports.memory import MemoryTransport
from wsprism_core.transports.tcp import TcpTransport
from wsprism_core.transports.websocket import WebSocketTransport

StreamTransports = WebSocketTransport | TcpTransport


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every test here on each event loop that there is."""
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
        "asyncio": asyncio.new_event_loop
    }
    if sys.platform != "win32":
        import uvloop

        loops["uvloop"] = uvloop.new_event_loop
    return loops


@dataclass
class Stage:
    """A transport that runs, its host, and how to connect to it."""

    transport: WebSocketTransport | TcpTransport | MemoryTransport
    host: EchoHost
    connect: Callable[[], Awaitable[Peer]]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for localhost, with its key."""
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
        f" -subj /CN=localhost -addext subjectAltName=DNS:localhost"
        f" -keyout {path} -out {path}.crt"
    )
    try:
        subprocess.run(command.split(), check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs openssl")
    path.write_bytes(path.read_bytes() + Path(f"{path}.crt").read_bytes())
    return path


@pytest.fixture
async def host() -> EchoHost:
    return EchoHost()


@pytest.fixture(params=["websocket", "wss", "tcp", "memory"])
async def stage(request: pytest.FixtureRequest, host: EchoHost) -> AsyncIterator[Stage]:
    """Each transport in turn."""
    built = build(request, host)
    await built.transport.start(host)
    peers: list[Peer] = []
    connect = built.connect

    async def connect_and_remember() -> Peer:
        peers.append(await connect())
        return peers[-1]

    built.connect = connect_and_remember
    yield built
    for peer in peers:
        peer.drop()
    await built.transport.stop()


def build(request: pytest.FixtureRequest, host: EchoHost) -> Stage:
    """Put a transport and the way to it together."""
    server_tls, client_tls = None, None
    if request.param == "wss":
        pem = request.getfixturevalue("certificate")
        server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server_tls.load_cert_chain(pem)
        client_tls = ssl.create_default_context(cafile=str(pem))
    if request.param == "memory":
        memory = MemoryTransport()

        async def connect_memory() -> Peer:
            return MemoryPeer(memory.connect())

        return Stage(memory, host, connect_memory)
    if request.param == "tcp":
        tcp = TcpTransport()

        async def connect_tcp() -> Peer:
            stream = await Stream.connect(tcp.port)
            return TcpPeer(stream._reader, stream._writer)

        return Stage(tcp, host, connect_tcp)
    websocket = WebSocketTransport(port=0, ssl_context=server_tls)

    async def connect_websocket() -> Peer:
        return await WebSocketPeer.open(websocket.port, tls=client_tls)

    return Stage(websocket, host, connect_websocket)
