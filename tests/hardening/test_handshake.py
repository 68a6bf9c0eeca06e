"""Rows H1, H3 to H6 and H9 to H12: handshakes that nobody should send, or end."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import sys
import time
from collections.abc import AsyncIterator

import pytest

from support.gateway_process import PATIENT, TICKET, GatewayProcess, Gateways
from support.listener import Listener
from support.oracle import FULL, MIB, SECRET, SLACK, Row
from support.peers import (
    KEY,
    Stream,
    StreamPeer,
    TcpPeer,
    WebSocketPeer,
    handshake,
    read_to_end,
)
from support.waiting import until

# In seconds; short, so that nobody waits for them long.
HANDSHAKE_TIMEOUT = 1.0
AUTH_TIMEOUT = 0.7
CLOSE_TIMEOUT = 0.5
#: The largest message before the ticket; the tenant's is eight times as large.
PRE_AUTH = 8 * 1024

ECHO = b'{"svc":"probe","type":"echo","data":"early"}'
TEXT_KINDS = ("WebSocket", "TCP")


@pytest.fixture
def gateway(gateways: Gateways) -> GatewayProcess:
    return gateways(
        {
            "gateway": {
                "handshake_timeout_ms": round(1000 * HANDSHAKE_TIMEOUT),
                "auth_timeout_ms": round(1000 * AUTH_TIMEOUT),
                "close_timeout_ms": round(1000 * CLOSE_TIMEOUT),
                # Lists of extensions are taken apart only where there are some.
                "deflate": {"enabled": True, "min_bytes": 1_000_000},
            }
        }
    )


def auth(size: int = 0) -> bytes:
    """Return a first message with a good ticket, of so many bytes at least."""
    head = b'{"svc":"sys","type":"auth","data":{"tenant":"main","ticket":"dev:mallory"'
    filler = b',"x":"' + b"." * max(0, size - len(head) - len(b',"x":""}}')) + b'"}}'
    return head + (filler if size else b"}}")


async def open_socket(gateway: GatewayProcess) -> Stream:
    return await Stream.connect(gateway.port)


async def status_of(stream: Stream) -> int:
    """Read the answer and the end behind it; return the status, 0 for a reset."""
    answer = await stream.read_all()
    if not answer:
        return 0
    head, blank, body = answer.partition(b"\r\n\r\n")
    assert blank, answer
    assert SECRET.encode() not in answer
    if b"Content-Length: 0" not in head:
        assert body.count(b"\n") == 1, answer
    return int(head.split()[1])


@contextlib.asynccontextmanager
async def turned_away(row: Row, status: int) -> AsyncIterator[Stream]:
    """Give a socket; what is sent on it must be answered so, and ended."""
    stream = await open_socket(row.gateway)
    try:
        yield stream
        assert await status_of(stream) == status
    finally:
        stream.drop()


async def in_session(peer: StreamPeer) -> None:
    """See that there is a session, and that it works."""
    assert b'"authed"' in (await peer.frame()).payload
    await peer.send("text", ECHO)
    assert b'"early"' in (await peer.frame()).payload


async def send_for_ever(peer: StreamPeer, data: bytes) -> None:
    while True:
        await peer.send_raw(data)


async def leave(peer: StreamPeer) -> None:
    await peer.close(1000, "")
    assert [got.code for got in await read_to_end(peer)] == [1000]


# ------------------------------------------------------------------------------- H1


SILENCES = {
    "nothing": (b"", None),
    "half a request line": (b"GET /v1/ws?ticket=" + SECRET.encode(), None),
    "a header now and then": (b"GET /v1/ws HTTP/1.1\r\n", b"A: b\r\n"),
}


@pytest.mark.parametrize("how", SILENCES)
async def test_h1_no_request_in_time(gateway: GatewayProcess, how: str) -> None:
    first, more = SILENCES[how]
    async with Row(gateway, refusals={408: 1}):
        began = time.monotonic()
        stream = await open_socket(gateway)
        await stream.send_raw(first)
        ended = asyncio.ensure_future(stream.read_all())
        while more and not ended.done():
            # No header moves the deadline.
            with contextlib.suppress(ConnectionError):
                await stream.send_raw(more)
            await asyncio.wait([ended], timeout=0.1)
        assert await ended == b""
        took = time.monotonic() - began
        assert HANDSHAKE_TIMEOUT - 0.1 <= took < HANDSHAKE_TIMEOUT + SLACK
        stream.drop()


# ------------------------------------------------------------------------------- H3


def with_headers(*fields: str) -> bytes:
    return handshake("/v1/ws?ticket=" + SECRET, *fields)


BIG = {
    "200 headers": (431, with_headers(*["A: b"] * 200)),
    "5,000 headers": (431, with_headers(*["A: b"] * 5_000)),
    "a header of 9 kB": (431, with_headers("A: " + "b" * 9_000)),
    "a header of 1 MB": (431, with_headers("A: " + "b" * 1_000_000)),
    "a URL of 9 kB": (414, handshake("/" + "x" * 9_000)),
    "a URL of 20 kB": (414, handshake("/" + "x" * 20_000)),
    "5 MB without a line": (414, b"GET /" + b"x" * 5_000_000),
}


@pytest.mark.parametrize("name", BIG)
async def test_h3_too_much_of_it(gateway: GatewayProcess, name: str) -> None:
    status, request = BIG[name]
    times = 10
    async with Row(gateway, refusals={status: times}) as row:
        cpu = gateway.cpu_seconds()
        for _ in range(times):
            async with turned_away(row, status) as stream:
                with contextlib.suppress(ConnectionError):
                    await stream.send_raw(request)
        # What is over a bound is not read as a head any more, however much comes. (The
        # time in proportion to the rest: tests/core/transports/test_http.py.)
        assert gateway.cpu_seconds() - cpu < 0.05 * times
        assert row.peak_growth < 2 * MIB


# ------------------------------------------------------------------------------- H4

LISTS = {
    "spaces": " " * 8_000,
    "commas": "," * 1_000,
    "quotes": '"' * 999,
    "an open quote": 'permessage-deflate; a="' + "b" * 900,
    "parameters": "a;" * 2_000,
    "names": "a, " * 2_000,
}


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("field", ["Protocol", "Extensions"])
async def test_h4_a_hostile_list(
    gateway: GatewayProcess, field: str, name: str
) -> None:
    request = handshake(
        gateway.target("mallory"), f"Sec-WebSocket-{field}: {LISTS[name]}"
    )
    times = 20
    async with Row(gateway, refusals={400: times}):
        cpu = gateway.cpu_seconds()
        for _ in range(times):
            stream = await open_socket(gateway)
            await stream.send_raw(request)
            head = await stream.read_head()
            assert head.startswith(b"HTTP/1.1 400 ")
            stream.drop()
        assert (gateway.cpu_seconds() - cpu) / times < 0.01


# ------------------------------------------------------------------------------- H5


def without_cr(request: bytes) -> bytes:
    return request.replace(b"\r\n", b"\n")


BODY = b"the body"
ODD = {
    "POST": (405, handshake().replace(b"GET", b"POST")),
    "HTTP/1.0": (505, handshake().replace(b"HTTP/1.1", b"HTTP/1.0")),
    "HTTP/2 preface": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "TLS hello": (400, b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + bytes(158)),
    "bare LF": (400, without_cr(handshake())),
    "bare CR": (400, handshake("/v1/ws", "A: b\rc")),
    "a folded line": (400, handshake("/v1/ws", "A: b", " c")),
    "NUL in a value": (400, handshake("/v1/ws", "A: \0")),
    "space before a colon": (400, handshake("/v1/ws", "A : b")),
    "no colon": (400, handshake("/v1/ws", "A")),
    "space in the path": (400, handshake("/v1/ws /")),
    "no Host": (400, handshake(host=None)),
    "two Hosts": (400, handshake("/v1/ws", "Host: other")),
    "Content-Length": (400, handshake("/v1/ws", "Content-Length: 8") + BODY),
    "two lengths": (
        400,
        handshake("/v1/ws", "Content-Length: 8", "Content-Length: 9") + BODY,
    ),
    "negative length": (400, handshake("/v1/ws", "Content-Length: -1")),
    "chunked": (
        400,
        handshake("/v1/ws", "Transfer-Encoding: chunked")
        + b"8\r\nthe body\r\n0\r\n\r\n",
    ),
    "length and chunks": (
        400,
        handshake("/v1/ws", "Content-Length: 8", "Transfer-Encoding: chunked") + BODY,
    ),
    "two keys": (400, handshake("/v1/ws", f"Sec-WebSocket-Key: {KEY}")),
    "no key": (400, handshake(sec_websocket_key=None)),
    "a key of 3 bytes": (400, handshake(sec_websocket_key="AAAA")),
    "a key that is no base64": (400, handshake(sec_websocket_key="!" * 24)),
    "version 12": (400, handshake(sec_websocket_version="12")),
    "two versions": (400, handshake("/v1/ws", "Sec-WebSocket-Version: 13")),
    "another upgrade": (426, handshake(upgrade="h2c")),
    "no upgrade": (426, handshake(upgrade=None)),
    "no connection upgrade": (426, handshake(connection="keep-alive")),
}


@pytest.mark.parametrize("name", ODD)
async def test_h5_no_handshake(gateway: GatewayProcess, name: str) -> None:
    status, request = ODD[name]
    # The ticket of what is refused is in no log and in no answer.
    request = request.replace(b"/v1/ws", b"/v1/ws?ticket=" + SECRET.encode(), 1)
    async with Row(gateway, refusals={status: 1}) as row:
        began = time.monotonic()
        async with turned_away(row, status) as stream:
            await stream.send_raw(request)
        assert time.monotonic() - began < HANDSHAKE_TIMEOUT


# ------------------------------------------------------------------------------- H6

USUAL = {
    "two connection tokens": {"connection": "keep-alive, Upgrade"},
    "capitals": {"connection": "UPGRADE", "upgrade": "WebSocket"},
    "small letters": {"connection": "upgrade", "upgrade": "websocket"},
}


@pytest.mark.parametrize("name", USUAL)
async def test_h6_however_it_is_written(gateway: GatewayProcess, name: str) -> None:
    async with Row(gateway, closes={1000: 1}) as row:
        peer = row.keep(await WebSocketPeer.connect(gateway.port))
        await peer.send_raw(handshake(gateway.target("mallory"), **USUAL[name]))
        await in_session(peer)
        await leave(peer)


async def test_h6_in_any_order(gateway: GatewayProcess) -> None:
    line, *fields = handshake(gateway.target("mallory")).strip().split(b"\r\n")
    async with Row(gateway, closes={1000: 2}) as row:
        for names in (bytes.upper, bytes.lower):
            fields = [
                names(name) + b":" + value
                for name, _, value in (field.partition(b":") for field in fields)
            ][::-1]
            peer = row.keep(await WebSocketPeer.connect(gateway.port))
            await peer.send_raw(b"\r\n".join([line, *fields, b"", b""]))
            await in_session(peer)
            await leave(peer)


# ------------------------------------------------------------------------------- H9


async def test_h9_frames_in_the_packet_of_the_handshake(
    gateway: GatewayProcess,
) -> None:
    async with Row(gateway, closes={1000: 2}) as row:
        for target, first in ((gateway.target("mallory"), b""), ("/v1/ws", auth())):
            peer = row.keep(await WebSocketPeer.connect(gateway.port))
            frames = [peer.framed("text", one) for one in (first, ECHO) if one]
            await peer.send_raw(handshake(target) + b"".join(frames))
            # They wait for the ticket, whichever way it comes.
            assert b'"authed"' in (await peer.frame()).payload
            assert b'"early"' in (await peer.frame()).payload
            await leave(peer)


@pytest.mark.parametrize("more", [0, 1], ids=["as large as may be", "a byte more"])
async def test_h9_a_large_message_before_the_ticket(
    gateway: GatewayProcess, more: int
) -> None:
    is_over = Row(gateway, refusals={1009: 1})
    async with is_over if more else Row(gateway, closes={1000: 1}) as row:
        peer = row.keep(await WebSocketPeer.connect(gateway.port))
        first = auth(PRE_AUTH + more)
        assert len(first) == PRE_AUTH + more
        await peer.send_raw(handshake() + peer.framed("text", first))
        if more:
            got = await peer.frame()
            assert (got.kind, got.code) == ("close", 1009)
        else:
            await in_session(peer)
            # From now on the tenant's limit holds.
            await peer.send("text", ECHO.replace(b"early", b"early" + b"." * PRE_AUTH))
            assert b'"early' in (await peer.frame()).payload
            await leave(peer)


async def test_h9_anything_but_a_ticket_is_not_done(gateway: GatewayProcess) -> None:
    async with Row(gateway, refusals={4503: 1}) as row:
        peer = row.keep(await WebSocketPeer.connect(gateway.port))
        frames = [peer.framed("text", one) for one in (ECHO, auth(), ECHO)]
        await peer.send_raw(handshake() + b"".join(frames))
        error, closed = await read_to_end(peer)
        assert b'"AUTH_FAILED"' in error.payload
        assert (closed.kind, closed.code) == ("close", 4503)


# ------------------------------------------------------------------------------ H10


async def before_the_ticket(row: Row, transport: str) -> StreamPeer:
    if transport == "TCP":
        return row.keep(await TcpPeer.connect(row.gateway.tcp_port))
    return row.keep(await WebSocketPeer.open(row.gateway.port, tls=None))


@pytest.mark.parametrize("trickle", [False, True], ids=["silence", "pings"])
@pytest.mark.parametrize("transport", TEXT_KINDS)
async def test_h10_no_ticket_in_time(
    gateway: GatewayProcess, transport: str, trickle: bool
) -> None:
    async with Row(gateway, refusals={4503: 1}) as row:
        began = time.monotonic()
        peer = await before_the_ticket(row, transport)
        ended = asyncio.ensure_future(read_to_end(peer))
        while trickle and not ended.done():
            with contextlib.suppress(ConnectionError):
                await peer.send("ping", b"")
            await asyncio.wait([ended], timeout=0.1)
        error, closed = [got for got in await ended if got.kind != "pong"]
        assert time.monotonic() - began < AUTH_TIMEOUT + SLACK
        assert b'"AUTH_FAILED"' in error.payload
        assert (closed.kind, closed.code) == ("close", 4503)


# ------------------------------------------------------------------------------ H11


@pytest.mark.parametrize("transport", TEXT_KINDS)
async def test_h11_a_refused_client_that_stays(
    gateway: GatewayProcess, transport: str
) -> None:
    async with Row(gateway, refusals={4503: 1}) as row:
        peer = await before_the_ticket(row, transport)
        await peer.send("text", auth().replace(b"dev:", b"no:"))
        assert b'"AUTH_FAILED"' in (await peer.frame()).payload
        assert (await peer.frame()).code == 4503
        # It does not answer, and does not go.
        await gateway.settles(fds=row.before.fds, within=CLOSE_TIMEOUT + SLACK)


async def test_h11_a_refused_handshake_that_stays(gateway: GatewayProcess) -> None:
    target = gateway.target("mallory").replace(TICKET, "no:")
    async with Row(gateway, refusals={401: 1}) as row:
        stream = await open_socket(gateway)
        await stream.send_raw(handshake(target))
        assert (await stream.read_head()).startswith(b"HTTP/1.1 401 ")
        await gateway.settles(fds=row.before.fds, within=CLOSE_TIMEOUT + SLACK)
        stream.drop()


async def test_h11_a_refused_client_that_never_reads(gateway: GatewayProcess) -> None:
    # What it sends after the close is read, and thrown away.
    async with Row(gateway, refusals={4503: 1}) as row:
        peer = await before_the_ticket(row, "WebSocket")
        flood = peer.framed("text", auth().replace(b"dev:", b"no:")) * 2_000
        with pytest.raises(ConnectionError):
            await send_for_ever(peer, flood)
        await gateway.settles(fds=row.before.fds, within=CLOSE_TIMEOUT + SLACK)
        assert row.peak_growth < 2 * MIB


# ------------------------------------------------------------------------------ H12


@pytest.mark.skipif(sys.platform != "linux", reason="sets a limit of another process")
async def test_h12_more_clients_than_descriptors(gateways: Gateways) -> None:
    import resource

    limit, clients = 64, 200
    # It stays as it is for nobody else.
    gateway = gateways({**PATIENT, "gateway": {"handshake_timeout_ms": 30_001}})
    async with Row(gateway, closes={1000: 1}) as row:
        kind = resource.RLIMIT_NOFILE
        usual = resource.prlimit(gateway.pid, kind)
        resource.prlimit(gateway.pid, kind, (limit, usual[1]))
        streams = [await open_socket(gateway) for _ in range(clients)]
        began, cpu = time.monotonic(), gateway.cpu_seconds()
        # Those that were there before are served as ever.
        gateway.echoes(at_least=1_000 if FULL else 200)
        assert gateway.cpu_seconds() - cpu < 0.7 * (time.monotonic() - began)
        for stream in streams:
            stream.drop()
        # Newcomers are let in as soon as there is room.
        assert await until(lambda: answers(gateway), 5.0)
        async with Listener(await row.connect("late")) as late:
            await late.send("probe", "echo")
            await late.until("probe.echoed")
            await late.leave()
        resource.prlimit(gateway.pid, kind, usual)


def answers(gateway: GatewayProcess) -> bool:
    with contextlib.suppress(OSError, http.client.HTTPException):
        return gateway.is_up
    return False
