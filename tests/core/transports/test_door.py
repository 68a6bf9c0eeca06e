"""The first phase of a connection: plain requests, and its deadlines."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from support.peers import Got, WebSocketPeer, client_frame, handshake
from support.raw_http import ask, plain, refusal, upgrade
from support.transport_host import EchoHost
from support.transport_stage import ManualTimers, Stage
from wsprism_core.transports.port import HttpResponse, TransportTimeouts
from wsprism_core.transports.websocket import WebSocketTransport

# ------------------------------------------------------------- plain requests


async def test_a_plain_request_is_answered_and_closed(ws: Stage) -> None:
    ws.host.response = HttpResponse(200, b"ok\n", headers={"X-A": "b"})
    answer = await ask(ws, plain("/healthz?a=%C3%BC", "GET", "X-B: c", "x-b: d"))
    assert answer.status == 200
    assert answer.body == b"ok\n"
    assert answer.headers["Connection"] == "close"
    assert answer.headers["X-A"] == "b"
    (request,) = ws.host.http_requests
    assert (request.method, request.path, request.address) == (
        "GET",
        "/healthz",
        "127.0.0.1",
    )
    assert request.query == {"a": "ü"}
    assert request.headers["x-b"] == "c, d"
    # The handshake limiter does not count it.
    assert not ws.host.log.of("greet")
    assert not ws.host.refusals


async def test_head_gets_no_body(ws: Stage) -> None:
    ws.host.response = HttpResponse(200, b"ok\n")
    answer = await ask(ws, plain("/healthz", "HEAD"))
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Content-Length"] == "3"
    assert ws.host.http_requests[0].method == "HEAD"


async def test_an_http_1_0_request_is_answered(ws: Stage) -> None:
    ws.host.response = HttpResponse(200, b"ok\n")
    answer = await ask(ws, plain("/healthz", version="HTTP/1.0"))
    assert (answer.status, answer.body) == (200, b"ok\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "BREW"])
async def test_other_methods_are_405_where_something_is_known(
    ws: Stage, method: str
) -> None:
    assert (await ask(ws, plain("/nothing", method))).status == 404
    ws.host.response = HttpResponse(200, b"ok\n")
    answer = await ask(ws, plain("/healthz", method, "Content-Length: 5") + b"hello")
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD"


async def test_an_unknown_path_is_404_upgrade_or_not(ws: Stage) -> None:
    assert (await ask(ws, plain("/nothing"))).status == 404
    assert (await ask(ws, handshake("/v1/ws/"))).status == 404
    assert (await ask(ws, handshake("/"))).status == 404
    assert not ws.host.log.of("greet")


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(plain("/h", "GET", "Content-Length: 2") + b"hi", id="length"),
        pytest.param(
            plain("/h", "GET", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
            id="chunked",
        ),
        pytest.param(plain("/h?a=%ff"), id="query"),
    ],
)
async def test_a_bad_plain_request_is_400(ws: Stage, request_: bytes) -> None:
    assert (await ask(ws, request_)).status == 400
    assert not ws.host.http_requests
    assert [refusal.status for refusal in ws.host.refusals] == [400]


async def test_only_the_first_request_is_answered(ws: Stage) -> None:
    ws.host.response = HttpResponse(200, b"ok\n")
    answer = await ask(ws, plain("/healthz") + plain("/healthz"))
    assert answer.body == b"ok\n"
    assert len(ws.host.http_requests) == 1


async def test_a_large_answer_arrives_whole(ws: Stage) -> None:
    ws.host.response = HttpResponse(200, b"x" * 2_000_000)
    assert len((await ask(ws, plain("/metrics"))).body) == 2_000_000


# ------------------------------------------------------------------ deadlines


@pytest.mark.parametrize(
    "sent", [b"", b"GET", plain("/healthz")[:-2], handshake("/v1/ws")[:-4]]
)
async def test_a_request_must_be_there_in_time(
    ws: Stage, timers: ManualTimers, sent: bytes
) -> None:
    stream = await ws.connect_socket()
    await stream.send_raw(sent)
    await ws.settle()
    timers.advance(ws.host.timeouts.handshake)
    assert await stream.read_all() == b""
    assert ws.host.log.of("refused") == [("refused", 408)]


async def test_no_byte_extends_the_deadline(ws: Stage, timers: ManualTimers) -> None:
    stream = await ws.connect_socket()
    for byte in b"GET /":
        await stream.send_raw(bytes([byte]))
        await ws.settle()
        timers.advance(ws.host.timeouts.handshake / 5)
    assert await stream.read_all() == b""


async def test_a_refused_client_that_stays_is_cut(
    ws: Stage, timers: ManualTimers
) -> None:
    ws.host.refusal = refusal(401)
    stream = await ws.connect_socket()
    await stream.send_raw(handshake())
    assert (await stream.read_head()).startswith(b"HTTP/1.1 401 ")
    # It does not close its end.
    assert ws.stream.connections
    timers.advance(ws.host.timeouts.close)
    await ws.transport.stop()


async def test_a_client_that_does_not_read_its_answer_is_cut(
    ws: Stage, timers: ManualTimers
) -> None:
    ws.host.response = HttpResponse(200, b"x" * 20_000_000)
    stream = await ws.connect_socket()
    await stream.send_raw(plain("/metrics"))
    await ws.settle()
    assert ws.stream.connections
    timers.advance(ws.host.timeouts.handshake)
    await ws.transport.stop()
    assert not ws.host.log.of("refused")


async def test_an_open_connection_has_no_deadline(
    ws: Stage, timers: ManualTimers
) -> None:
    peer, _ = await upgrade(ws, handshake())
    assert timers.pending == 0
    timers.advance(3600.0)
    await peer.send("text", b"x")
    assert await peer.frame() == Got("text", b"x")


async def test_the_real_clock_ends_it_too(host: EchoHost) -> None:
    host.timeouts = TransportTimeouts(handshake=0.05)
    transport = WebSocketTransport(port=0)
    await transport.start(host)
    reader, writer = await asyncio.open_connection("127.0.0.1", transport.port)
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()
    await transport.stop()


async def test_while_undecided_nothing_is_read(ws: Stage) -> None:
    undecided = ws.host.undecided = []
    peer = await WebSocketPeer.connect(ws.stream.port)
    ws.peers.append(peer)
    await peer.send_raw(handshake())
    await ws.host.log.until("undecided")
    (door,) = ws.stream.connections
    assert door._socket is not None
    assert not door._socket.is_reading()
    undecided[0](refusal(401))
    assert door._socket.is_reading()
    # What it still sends is read and dropped, until it ends or is cut.
    with contextlib.suppress(ConnectionError):
        await peer.send_raw(client_frame(2, b"x" * 60_000) * 400)
    assert (await peer.read_all()).startswith(b"HTTP/1.1 401 ")
