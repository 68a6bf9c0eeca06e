"""What the memory transport has beyond the others: no event loop, and slow pipes."""

from __future__ import annotations

import pytest

from support.transport_host import EchoGrant, EchoHost, EchoReceiver
from wsprism_core.protocol.layout import FrameKind
from wsprism_core.transports.framed import TCP_FRAMING
from wsprism_core.transports.memory import MemoryClient, MemoryTransport
from wsprism_core.transports.port import NO_CLOSE_FRAME, Refusal


@pytest.fixture
def transport(host: EchoHost) -> MemoryTransport:
    transport = MemoryTransport()
    transport.listen(host)
    return transport


@pytest.fixture
def client(transport: MemoryTransport) -> MemoryClient:
    return transport.connect()


def test_bytes_move_within_the_call(host: EchoHost, client: MemoryClient) -> None:
    client.send_text(b"one")
    client.send_binary(b"two")
    assert host.log.entries[-2:] == [("text", b"one"), ("binary", b"two")]
    assert client.received() == [(FrameKind.TEXT, b"one"), (FrameKind.BINARY, b"two")]
    assert client.received() == []


def test_nobody_listens_at_first(host: EchoHost) -> None:
    with pytest.raises(ConnectionRefusedError):
        MemoryTransport().connect()


def test_what_a_client_says_while_connecting(
    host: EchoHost, transport: MemoryTransport
) -> None:
    transport.connect(address="10.0.0.1", tenant="acme", ticket="dev", resume="r")
    (request,) = host.requests
    assert (request.transport, request.address) == ("memory", "10.0.0.1")
    assert (request.tenant, request.ticket, request.resume) == ("acme", "dev", "r")
    assert host.log.of("greet") == [("greet", "10.0.0.1")]


def test_pings_and_pongs(host: EchoHost, client: MemoryClient) -> None:
    client.send_ping(b"x")
    client.send_pong()
    assert client.received() == [(FrameKind.PONG, b"x")]
    assert host.log.of("pong")


def test_a_refusal_is_on_the_client(host: EchoHost, transport: MemoryTransport) -> None:
    host.refusal = Refusal(401, 4503, "no")
    client = transport.connect()
    assert client.refusal is host.refusal
    assert client.ended is None, "not read yet"
    client.received()
    assert client.ended == (4503, "no")
    assert not transport.links


def test_an_end_is_seen_once_everything_is_read(
    host: EchoHost, client: MemoryClient
) -> None:
    client.send_text(b"x")
    host.receiver.link.abort()
    assert client.ended is None
    client.received()
    assert client.ended == (NO_CLOSE_FRAME, "")


def test_a_dropped_link_takes_what_waits_with_it(
    host: EchoHost, transport: MemoryTransport, client: MemoryClient
) -> None:
    client.send_text(b"x")
    client.drop()
    assert client.received() == []
    assert client.ended == (NO_CLOSE_FRAME, "")
    assert host.log.of("closed") == [("closed", 1006, "the connection was lost")]
    assert not transport.links
    client.send_text(b"nobody hears it")
    assert len(host.log.of("text")) == 1


def test_a_pipe_is_full_by_the_byte(host: EchoHost, client: MemoryClient) -> None:
    link = host.receiver.link
    client.capacity = 10
    assert link.write(b"x" * 10)
    assert not host.log.of("pause")
    assert not link.write(b"x")
    assert host.log.of("pause") == [("pause",)]
    assert not link.write(b"x")
    assert client.waiting == 12
    assert len(host.log.of("pause")) == 1
    client.received(1)
    assert not host.log.of("resume")
    client.received(1)
    assert host.log.of("resume") == [("resume",)]
    assert link.write(b"") is True


def test_a_slow_reader_gets_all_of_it_in_order(
    host: EchoHost, client: MemoryClient
) -> None:
    client.capacity = 20
    sent = [b"%03d" % n for n in range(50)]
    for payload in sent:
        client.send_text(payload)
    assert host.receiver.waiting, "some of it waits in the core"
    assert client.waiting <= 28
    got = []
    while client.waiting:
        got += client.received(3)
    assert [payload for _, payload in got] == sent


def test_reading_all_reads_what_is_written_meanwhile(
    host: EchoHost, client: MemoryClient
) -> None:
    client.capacity = 20
    for n in range(50):
        client.send_text(b"%03d" % n)
    assert len(client.received()) == 50


def test_a_wider_pipe_resumes(host: EchoHost, client: MemoryClient) -> None:
    client.capacity = 0
    client.send_text(b"one")
    client.send_text(b"two")
    assert host.receiver.waiting
    client.capacity = None
    assert not host.receiver.waiting
    assert len(client.received()) == 2


def test_a_frame_is_read_once_it_is_whole(client: MemoryClient) -> None:
    client.send_text(b"abc")
    size = len(TCP_FRAMING.text(b"abc"))
    assert client.received(size - 1) == []
    assert client.received(1) == [(FrameKind.TEXT, b"abc")]


def test_a_link_filled_while_opening_is_paused(
    host: EchoHost, transport: MemoryTransport
) -> None:
    undecided = host.undecided = []
    client = transport.connect()
    client.capacity = 5
    host.on_open = lambda receiver: receiver.send(b"x" * 6)
    undecided[0](EchoGrant(host))
    assert host.log.of("pause")


def test_reading_may_be_paused_while_opening(
    host: EchoHost, transport: MemoryTransport
) -> None:
    host.on_open = lambda receiver: receiver.link.pause_reading()
    client = transport.connect()
    client.send_text(b"x")
    assert not host.log.of("text")
    host.receiver.link.resume_reading()
    assert host.log.of("text")


def test_a_link_that_the_core_cannot_open_is_cut(
    host: EchoHost, transport: MemoryTransport
) -> None:
    def fail(receiver: EchoReceiver) -> None:
        raise RuntimeError("on purpose")

    host.on_open = fail
    with pytest.raises(RuntimeError, match="on purpose"):
        transport.connect()
    assert not transport.links


async def test_links_end_oldest_first(
    host: EchoHost, transport: MemoryTransport
) -> None:
    for _ in range(5):
        transport.connect()
    ended: list[int] = []
    for n, receiver in enumerate(host.receivers):
        receiver.on_closed = lambda n=n: ended.append(n)  # type: ignore[misc]
    await transport.stop()
    assert ended == [0, 1, 2, 3, 4]
    with pytest.raises(ConnectionRefusedError):
        transport.connect()
