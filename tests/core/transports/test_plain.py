"""A listener for plain HTTP alone; what else it does, it does as the door."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from support.raw_http import ask, plain
from support.transport_host import EchoHost
from support.transport_stage import Stage, running
from wsprism_core.transports.plain import HttpTransport
from wsprism_core.transports.port import HttpResponse, TransportTimeouts


@pytest.fixture
async def http() -> AsyncIterator[Stage]:
    transport = HttpTransport(port=0)

    async def no_peer() -> None:
        raise AssertionError("no client connects here")

    async with running((transport, no_peer), EchoHost()) as stage:  # type: ignore[arg-type]
        yield stage


async def test_it_says_where_it_listens(http: Stage) -> None:
    assert http.transport.address == f"http://127.0.0.1:{http.stream.port}"


async def test_a_request_is_answered_and_closed(http: Stage) -> None:
    http.host.response = HttpResponse(200, b"ok\n", headers={"X-A": "b"})
    answer = await ask(http, plain("/a?b=c"))
    assert (answer.status, answer.body, answer.headers["X-A"]) == (200, b"ok\n", "b")
    (request,) = http.host.http_requests
    assert (request.path, dict(request.query)) == ("/a", {"b": "c"})


async def test_a_handshake_is_a_plain_request(http: Stage) -> None:
    fields = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
    answer = await ask(http, plain("/v1/ws?ticket=dev:ann", "GET", *fields))
    assert answer.status == 404
    assert not http.host.requests


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (plain("/a", "POST"), 405),
        (plain("/a", "GET", "Content-Length: 5") + b"hello", 400),
        (b"\x00\r\n\r\n", 400),
        (plain("/" + "a" * 9_000), 414),
    ],
)
async def test_what_is_no_plain_read_is_refused(
    http: Stage, request_: bytes, status: int
) -> None:
    http.host.response = HttpResponse(200, b"ok\n")
    assert (await ask(http, request_)).status == status


async def test_what_asks_nothing_is_cut_in_time(http: Stage) -> None:
    http.host.timeouts = TransportTimeouts(handshake=0.05)
    stream = await http.connect_socket()
    await stream.send_raw(b"GET / HT")
    assert await stream.read_all() == b""
    assert [refusal.status for refusal in http.host.refusals] == [408]
