"""One HTTP request on a raw socket: served, refused, or made a WebSocket."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import NamedTuple

import pytest

from support.peers import END, KEY, Got, WebSocketPeer, client_frame, handshake
from support.transport_host import EchoHost
from support.transport_stage import ManualTimers, Stage
from wsprism_core.protocol.layout import SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK
from wsprism_core.transports.port import HttpResponse, Refusal, TransportTimeouts
from wsprism_core.transports.websocket import WebSocketTransport

ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


async def ask(stage: Stage, request: bytes) -> Answer:
    """Send a request; return the answer, once the server has ended."""
    stream = await stage.connect_socket()
    await stream.send_raw(request)
    raw = await stream.read_all()
    head, blank, body = raw.partition(b"\r\n\r\n")
    assert blank, raw
    status, *fields = head.decode("latin-1").split("\r\n")
    headers = dict(field.split(": ", 1) for field in fields)
    return Answer(int(status.split()[1]), headers, body)


async def upgrade(stage: Stage, request: bytes) -> tuple[WebSocketPeer, str]:
    """Send a handshake that succeeds; return the peer and the head of the answer."""
    peer = await WebSocketPeer.connect(stage.stream.port)
    stage.peers.append(peer)
    await peer.send_raw(request)
    head = (await peer.read_head()).decode()
    assert head.startswith("HTTP/1.1 101 "), head
    peer._answered = True
    return peer, head


def plain(
    path: str, method: str = "GET", *fields: str, version: str = "HTTP/1.1"
) -> bytes:
    lines = [f"{method} {path} {version}", "Host: localhost", *fields, "", ""]
    return "\r\n".join(lines).encode()


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


# -------------------------------------------------------------- good handshakes


async def test_a_handshake_is_completed(ws: Stage) -> None:
    peer, head = await upgrade(ws, handshake())
    assert f"Sec-WebSocket-Accept: {ACCEPT}\r\n" in head
    assert "Sec-WebSocket-Protocol" not in head
    assert "Sec-WebSocket-Extensions" not in head
    await peer.send("text", b"x")
    assert await peer.frame() == Got("text", b"x")
    assert ws.host.receiver.link.wire.codec.name == "json"
    assert not ws.host.refusals


@pytest.mark.parametrize(
    "request_",
    [
        handshake(connection="keep-alive, Upgrade"),
        handshake(connection="UPGRADE", upgrade="WebSocket"),
        handshake("/v1/ws", "Origin: https://good.com", "X-Any: thing"),
        b"\r\n".join(
            [
                b"GET /v1/ws HTTP/1.1",
                b"sec-websocket-version:13",
                b"SEC-WEBSOCKET-KEY:  " + KEY.encode() + b"  ",
                b"connection:Upgrade",
                b"upgrade:websocket",
                b"host:x",
                b"",
                b"",
            ]
        ),
    ],
)
async def test_headers_come_in_any_case_and_order(ws: Stage, request_: bytes) -> None:
    await upgrade(ws, request_)


@pytest.mark.parametrize(
    ("offers", "selected"),
    [
        ((SUBPROTOCOL_JSON,), SUBPROTOCOL_JSON),
        ((SUBPROTOCOL_MSGPACK,), SUBPROTOCOL_MSGPACK),
        ((f"{SUBPROTOCOL_MSGPACK}, {SUBPROTOCOL_JSON}",), SUBPROTOCOL_MSGPACK),
        (("other", SUBPROTOCOL_JSON), SUBPROTOCOL_JSON),
    ],
)
async def test_the_first_subprotocol_that_is_known_is_taken(
    ws: Stage, offers: tuple[str, ...], selected: str
) -> None:
    lines = [f"Sec-WebSocket-Protocol: {offer}" for offer in offers]
    _, head = await upgrade(ws, handshake("/v1/ws", *lines))
    assert f"Sec-WebSocket-Protocol: {selected}\r\n" in head
    assert f"wsprism.v1.{ws.host.receiver.link.wire.codec.name}" == selected


async def test_a_handshake_may_come_byte_by_byte(ws: Stage) -> None:
    peer = await WebSocketPeer.connect(ws.stream.port)
    ws.peers.append(peer)
    for byte in handshake() + client_frame(1, b"x"):
        await peer.send_raw(bytes([byte]))
    assert await peer.frame() == Got("text", b"x")


async def test_frames_in_the_packet_of_the_request_have_the_grants_limit(
    ws: Stage,
) -> None:
    # The library's own limit, 1 MiB, would let it pass.
    ws.host.max_message_bytes = 1000
    frames = client_frame(1, b"x" * 1000) + client_frame(1, b"x" * 1001)
    peer, _ = await upgrade(ws, handshake() + frames)
    assert await peer.frame() == Got("text", b"x" * 1000)
    assert (await peer.frame()).code == 1009
    assert await peer.frame() == END


async def test_the_query_reaches_the_host(ws: Stage) -> None:
    await upgrade(ws, handshake("/v1/ws?tenant=acme&ticket=a%2Bb&resume=r&sid=1&x=y"))
    (request,) = ws.host.requests
    assert request.transport == "websocket"
    assert request.address == "127.0.0.1"
    assert (request.tenant, request.ticket, request.resume) == ("acme", "a+b", "r")


async def test_without_a_query_nothing_is_given(ws: Stage) -> None:
    await upgrade(ws, handshake("/v1/ws"))
    (request,) = ws.host.requests
    assert (request.tenant, request.ticket, request.resume) == (None, None, None)


@pytest.mark.parametrize(
    ("target", "header", "ticket"),
    [
        ("/v1/ws", "Bearer secret", "secret"),
        ("/v1/ws", "bearer  secret ", "secret"),
        ("/v1/ws?ticket=query", "Bearer header", "query"),
        ("/v1/ws", "Basic c2VjcmV0", None),
        ("/v1/ws?ticket=", "Bearer header", ""),
    ],
)
async def test_a_ticket_may_be_a_bearer_token(
    ws: Stage, target: str, header: str, ticket: str | None
) -> None:
    await upgrade(ws, handshake(target, f"Authorization: {header}"))
    assert ws.host.requests[0].ticket == ticket


async def test_the_client_does_not_choose_its_address(ws: Stage) -> None:
    forged = (
        "X-Forwarded-For: 1.2.3.4",
        "Forwarded: for=1.2.3.4",
        "X-Real-IP: 1.2.3.4",
    )
    await upgrade(ws, handshake("/v1/ws", *forged))
    assert ws.host.log.of("greet") == [("greet", "127.0.0.1")]
    assert ws.host.requests[0].address == "127.0.0.1"


# ------------------------------------------------------------------- refusals


def refusal(status: int) -> Refusal:
    return Refusal(status, 1013, f"refused with {status}", retry_after=9)


async def test_refusals_come_in_the_protocols_order(ws: Stage) -> None:
    """Everything is wrong; one fault after the other is mended."""
    host = ws.host
    target = "/other?tenant=%ff"
    changed: dict[str, str | None] = {"upgrade": None, "sec_websocket_key": "short"}
    host.greeting = refusal(429)
    host.origin = refusal(403)
    host.refusal = refusal(401)

    async def status() -> int:
        return (await ask(ws, handshake(target, **changed))).status

    # A query that cannot be read is malformed on any path.
    assert await status() == 400
    target = "/other"
    assert await status() == 404
    target = "/v1/ws?tenant=%ff"
    assert await status() == 429
    host.greeting = None
    assert await status() == 426
    del changed["upgrade"]
    assert await status() == 403
    host.origin = None
    assert await status() == 400
    del changed["sec_websocket_key"]
    assert await status() == 400
    target = "/v1/ws"
    assert await status() == 401
    host.refusal = None
    await upgrade(ws, handshake(target))


@pytest.mark.parametrize("status", [400, 401, 429, 503])
async def test_a_refusal_is_a_line_of_text(ws: Stage, status: int) -> None:
    ws.host.refusal = refusal(status)
    answer = await ask(ws, handshake())
    assert answer.status == status
    assert answer.body == f"refused with {status}\n".encode()
    assert answer.headers["Retry-After"] == "9"
    assert answer.headers["Connection"] == "close"
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert not ws.host.receivers
    # The host knows; it is told of what it did not decide.
    assert not ws.host.refusals


async def test_the_host_judges_one_origin_at_most(ws: Stage) -> None:
    ws.host.origin = refusal(403)
    one, two = "Origin: https://evil.com", "Origin: https://good.com"
    assert (await ask(ws, handshake("/v1/ws", one))).status == 403
    assert (await ask(ws, handshake("/v1/ws", one, two))).status == 400
    assert (await ask(ws, handshake())).status == 403
    assert ws.host.origins == [["https://evil.com"], []]


async def test_no_upgrade_is_426(ws: Stage) -> None:
    answer = await ask(ws, plain("/v1/ws"))
    assert answer.status == 426
    assert answer.headers["Upgrade"] == "websocket"
    assert ws.host.log.of("greet")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        pytest.param(handshake(upgrade="h2c"), 426, id="other upgrade"),
        pytest.param(handshake(connection="close"), 426, id="no connection upgrade"),
        pytest.param(handshake(sec_websocket_key=None), 400, id="no key"),
        pytest.param(handshake(sec_websocket_key="AAAA"), 400, id="3-byte key"),
        pytest.param(handshake(sec_websocket_key="!" * 24), 400, id="key no base64"),
        pytest.param(
            handshake("/v1/ws", f"Sec-WebSocket-Key: {KEY}"), 400, id="two keys"
        ),
        pytest.param(handshake(sec_websocket_version="12"), 400, id="version 12"),
        pytest.param(handshake(sec_websocket_version=None), 400, id="no version"),
        pytest.param(
            handshake("/v1/ws", "Origin: https://a", "Origin: https://a"),
            400,
            id="two origins",
        ),
        pytest.param(
            handshake("/v1/ws", "Sec-WebSocket-Protocol: mqtt"), 400, id="subprotocol"
        ),
        pytest.param(
            handshake("/v1/ws", "Sec-WebSocket-Protocol: ,"), 400, id="empty offer"
        ),
        pytest.param(handshake().replace(b"GET", b"POST"), 405, id="POST"),
        pytest.param(handshake().replace(b"GET", b"HEAD"), 405, id="HEAD"),
        pytest.param(handshake().replace(b"HTTP/1.1", b"HTTP/1.0"), 505, id="HTTP/1.0"),
        pytest.param(handshake("/v1/ws", "Content-Length: 5"), 400, id="length"),
        pytest.param(
            handshake("/v1/ws", "Transfer-Encoding: chunked"), 400, id="chunks"
        ),
        pytest.param(handshake("/v1/ws?ticket=%ff"), 400, id="ticket no UTF-8"),
        pytest.param(handshake("/v1/ws?ticket=a&ticket=b"), 400, id="two tickets"),
        pytest.param(handshake(f"/v1/ws?tenant={'x' * 257}"), 400, id="a long tenant"),
        pytest.param(
            handshake(f"/v1/ws?resume={'x' * 257}"), 400, id="a long resume token"
        ),
        pytest.param(
            handshake("/v1/ws", "Authorization: Bearer a", "Authorization: Bearer b"),
            400,
            id="two bearers",
        ),
        pytest.param(handshake("/v1/ws", " folded"), 400, id="obs-fold"),
        pytest.param(handshake("/v1/ws", "A : b"), 400, id="space before colon"),
        pytest.param(handshake("/v1/ws", "A: \x00"), 400, id="NUL"),
        pytest.param(handshake().replace(b"\r\n", b"\n"), 400, id="bare LF"),
        pytest.param(handshake("http://localhost/v1/ws"), 404, id="absolute form"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, id="HTTP/2 preface"),
        pytest.param(b"\x16\x03\x01\x00\xa5\x01\x00", 400, id="TLS hello"),
        pytest.param(handshake("/v1/ws", *["A: b"] * 200), 431, id="200 headers"),
        pytest.param(handshake("/v1/ws", *["A: b"] * 5000), 431, id="5,000 headers"),
        pytest.param(handshake("/v1/ws", f"A: {'b' * 9000}"), 431, id="9 kB header"),
        pytest.param(
            handshake("/v1/ws", f"A: {'b' * 1_000_000}"), 431, id="1 MB header"
        ),
        pytest.param(handshake(f"/{'x' * 9000}"), 414, id="9 kB URL"),
        pytest.param(handshake(f"/{'x' * 20_000}"), 414, id="20 kB URL"),
    ],
)
async def test_a_bad_handshake_is_refused(
    ws: Stage, request_: bytes, status: int
) -> None:
    answer = await ask(ws, request_)
    assert answer.status == status
    if status != 404:
        assert [refusal.status for refusal in ws.host.refusals] == [status]
    assert not ws.host.requests
    if answer.headers["Content-Length"] != "0" and b"HEAD" not in request_:
        assert answer.body.count(b"\n") == 1


async def test_a_refusal_quotes_no_secret(ws: Stage) -> None:
    secret = "Sec-WebSocket-Protocol: ticket.secret, @"
    answer = await ask(ws, handshake("/v1/ws?ticket=secret", secret))
    assert answer.status == 400
    assert b"secret" not in answer.body
    assert "secret" not in ws.host.refusals[0].reason


@pytest.mark.parametrize(
    "value", [" " * 8000, "," * 1000, '"' * 999, "a;" * 2000, "a, " * 2000]
)
@pytest.mark.parametrize("name", ["Protocol", "Extensions"])
async def test_a_hostile_list_costs_no_time(ws: Stage, name: str, value: str) -> None:
    request = handshake("/v1/ws", f"Sec-WebSocket-{name}: {value}")
    started = time.perf_counter()
    stream = await ws.connect_socket()
    await stream.send_raw(request)
    head = await stream.read_head()
    # The round trip counts too.
    assert time.perf_counter() - started < 0.1
    assert head.startswith(b"HTTP/1.1 400 " if name == "Protocol" else b"HTTP/1.1 101 ")


async def test_megabytes_without_a_newline_are_refused_early(ws: Stage) -> None:
    stream = await ws.connect_socket()
    try:
        await stream.send_raw(b"GET /" + b"x" * 5_000_000)
    except ConnectionError:
        return
    assert (await stream.read_all()).startswith(b"HTTP/1.1 414 ")


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
