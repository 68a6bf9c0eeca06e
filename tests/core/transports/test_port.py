from __future__ import annotations

from support.transport_host import EchoHost
from wsprism_core.transports.memory import MemoryLink, MemoryTransport
from wsprism_core.transports.port import ConnectRequest, Host, Link, Transport
from wsprism_core.transports.stream import StreamTransport
from wsprism_core.transports.tcp import TcpLink, TcpTransport
from wsprism_core.transports.websocket import WebSocketLink, WebSocketTransport


def test_a_request_shows_no_ticket() -> None:
    request = ConnectRequest("websocket", "127.0.0.1", ticket="secret", resume="secret")
    assert "secret" not in repr(request)


def test_transports_have_names_of_their_own_and_no_address_at_first() -> None:
    # That these are transports is for the type checker to say.
    transports: list[Transport] = [
        WebSocketTransport(),
        TcpTransport(),
        MemoryTransport(),
    ]
    assert len({transport.name for transport in transports}) == 3
    assert {transport.address for transport in transports} == {""}


def links(tcp: TcpLink, websocket: WebSocketLink, memory: MemoryLink) -> list[Link]:
    """Type-check that each is a link."""
    return [tcp, websocket, memory]


def test_the_fake_host_is_a_host() -> None:
    host: Host = EchoHost()
    assert host.timeouts.handshake > 0


async def test_a_transport_that_never_started_stops() -> None:
    transports: list[StreamTransport] = [WebSocketTransport(), TcpTransport()]
    for transport in transports:
        await transport.stop_accepting()
        await transport.stop()
