"""WebSocket handshakes on a raw socket: completed, or refused in order."""

from __future__ import annotations

import time

import pytest

from support.peers import END, KEY, Got, WebSocketPeer, client_frame, handshake
from support.raw_http import ask, plain, refusal, upgrade
from support.transport_stage import Stage
from wsprism_core.protocol.layout import SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK
from wsprism_core.transports.handshake import MAX_OFFERS_BYTES

ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


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
    started = time.process_time()
    stream = await ws.connect_socket()
    await stream.send_raw(request)
    head = await stream.read_head()
    # The client's side and the round trip count too.
    assert time.process_time() - started < 0.1
    refused = name == "Protocol" or len(value.strip()) > MAX_OFFERS_BYTES
    assert head.startswith(b"HTTP/1.1 400 " if refused else b"HTTP/1.1 101 ")


async def test_megabytes_without_a_newline_are_refused_early(ws: Stage) -> None:
    stream = await ws.connect_socket()
    try:
        await stream.send_raw(b"GET /" + b"x" * 5_000_000)
    except ConnectionError:
        return
    assert (await stream.read_all()).startswith(b"HTTP/1.1 414 ")
