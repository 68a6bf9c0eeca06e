from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from support.peers import Stream
from support.raw_http import Answer, parse_answer
from support.services import Lab
from wsprism_core.client import connect
from wsprism_core.clock import LoopClock
from wsprism_core.gateway import Gateway
from wsprism_core.gateway.admin import AdminGuard, AdminListener
from wsprism_core.plugins import PluginSet
from wsprism_core.testing import config_with
from wsprism_core.transports.plain import HttpTransport
from wsprism_core.transports.websocket import WebSocketTransport

KEY = "k3y-0123456789abcdef"


# ------------------------------------------------------------------------- the guard


def refused(guard: AdminGuard, **headers: str) -> int | None:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    refusal = guard.refusal({"host": "127.0.0.1:8081", **fields})
    return None if refusal is None else refusal[0]


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        KEY,
        f"Basic {KEY}",
        "Bearer",
        "Bearer ",
        f"Bearer {KEY[:-1]}",
        f"Bearer {KEY}x",
        f"Bearer {KEY.upper()}",
        f"Bearer {KEY}, Bearer {KEY}",
        "Bearer \xe4",
        "Bearer \u2028",
    ],
)
def test_without_the_key_nobody_is_let_in(authorization: str) -> None:
    guard = AdminGuard(KEY)
    assert refused(guard) == 401
    assert refused(guard, authorization=authorization) == 401


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_the_key_lets_in_whatever_the_host(scheme: str) -> None:
    guard = AdminGuard(KEY)
    header = f"{scheme} {KEY}"
    assert refused(guard, authorization=header) is None
    assert refused(guard, authorization=header, host="gateway.example.com") is None


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:8081", "127.0.0.1", "localhost", "LOCALHOST:1", "[::1]:8081", "[::1]"],
)
def test_without_a_key_names_of_this_machine_are_answered(host: str) -> None:
    assert refused(AdminGuard(None), host=host) is None


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example.com",
        "evil.example.com:8081",
        "127.0.0.1.evil.example.com",
        "localhost.evil.example.com:8081",
        "10.0.0.1:8081",
        "0.0.0.0:8081",
        "[::]:8081",
        "[2001:db8::1]",
        "localhost:8081:8081",
        "user@localhost",
    ],
)
def test_without_a_key_a_foreign_host_is_refused(host: str) -> None:
    assert refused(AdminGuard(None), host=host) == 403


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:3000", None),
        ("http://127.0.0.1:8081", None),
        ("https://evil.example.com", 403),
        ("http://localhost.evil.example.com", 403),
        ("null", 403),
        ("http://localhost, https://evil.example.com", 403),
    ],
)
def test_without_a_key_pages_of_other_sites_are_refused(
    origin: str, status: int | None
) -> None:
    assert refused(AdminGuard(None), origin=origin) == status


# ----------------------------------------------------------------------- the listener


@dataclass
class Watched:
    gateway: Gateway
    port: int
    ws: str

    async def ask(self, path: str, *fields: str, method: str = "GET") -> Answer:
        stream = await Stream.connect(self.port)
        lines = [f"{method} {path} HTTP/1.1", f"Host: localhost:{self.port}", *fields]
        await stream.send_raw("\r\n".join([*lines, "", ""]).encode())
        answer = parse_answer(await stream.read_all())
        stream.drop()
        return answer

    async def read(self, path: str) -> Any:
        answer = await self.ask(f"/v1/admin/{path}")
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["Cache-Control"] == "no-store"
        return orjson.loads(answer.body)


@asynccontextmanager
async def watched(key: str | None = None) -> AsyncIterator[Watched]:
    websocket, http = WebSocketTransport(port=0), HttpTransport(port=0)
    gateway = Gateway(
        config_with(),
        PluginSet.load([], extra=[Lab()]),
        LoopClock(asyncio.get_running_loop()),
        transports=[websocket],
        development=True,
        admin=AdminListener(http, AdminGuard(key)),
    )
    await gateway.start()
    try:
        yield Watched(gateway, http.port, websocket.address)
    finally:
        await gateway.stop()


async def test_what_the_inspector_reads_is_served_as_json() -> None:
    async with watched() as it, connect(it.ws, ticket="dev:ann") as ann:
        await ann.join("lobby")
        overview = await it.read("overview")
        assert (overview["sessions"], overview["rooms"]) == (1, 1)
        assert overview["lanes"][0]["lane"] == "control"
        page = await it.read("sessions")
        (session,) = page["items"]
        assert (page["total"], page["next"]) == (1, None)
        assert (session["user"], session["rooms"]) == ("user:ann", ["lobby"])
        assert session["transport"] == "websocket"
        one = await it.read(f"sessions/{session['id']}")
        assert one["user"] == "user:ann"
        rooms = await it.read("rooms")
        assert rooms["items"][0]["name"] == "lobby"
        assert it.gateway.metrics.admin_requests == {200: 4}


async def test_pages_follow_their_cursor() -> None:
    async with watched() as it:
        async with connect(it.ws, ticket="dev:a"), connect(it.ws, ticket="dev:b"):
            first = await it.read("sessions?limit=1")
            second = await it.read(f"sessions?limit=1&cursor={first['next']}")
            users = [page["items"][0]["user"] for page in (first, second)]
            assert users == ["user:a", "user:b"]
            assert second["next"] is None


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        ("/v1/admin/sessions?limit=x", 400, "limit must be a number"),
        ("/v1/admin/sessions?limit=-1", 400, "limit must be a number"),
        ("/v1/admin/rooms?cursor=x", 400, "the cursor is none that a page gave"),
        ("/v1/admin/sessions/none", 404, "there is nothing by this path"),
        ("/v1/admin/sessions/", 404, "there is nothing by this path"),
        ("/v1/admin", 404, "there is nothing by this path"),
        ("/healthz", 404, "there is nothing by this path"),
        ("/v1/ws", 404, "there is nothing by this path"),
    ],
)
async def test_what_is_wrong_is_said(path: str, status: int, error: str) -> None:
    async with watched() as it:
        answer = await it.ask(path)
        assert (answer.status, orjson.loads(answer.body)) == (status, {"error": error})
        assert it.gateway.metrics.admin_requests == {status: 1}


async def test_nothing_is_written_here() -> None:
    async with watched() as it:
        answer = await it.ask("/v1/admin/overview", method="POST")
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
        assert (await it.ask("/v1/admin/overview", method="HEAD")).body == b""


@pytest.mark.parametrize("given", ["", "Authorization: Bearer wr0ng-key-of-somebody"])
async def test_a_refusal_is_counted_and_logged_without_any_key(
    given: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with watched(KEY) as it:
        with caplog.at_level(logging.DEBUG):
            answer = await it.ask("/v1/admin/overview", *filter(None, [given]))
            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"] == "Bearer"
            good = await it.ask("/v1/admin/overview", f"Authorization: Bearer {KEY}")
            assert good.status == 200
        assert it.gateway.metrics.admin_requests == {401: 1, 200: 1}
        (line,) = [one for one in caplog.records if one.name == "wsprism.admin"]
        assert line.getMessage() == "refused"
        said = repr([vars(one) for one in caplog.records]) + repr(answer)
        assert KEY not in said
        assert "wr0ng" not in said


async def test_a_foreign_page_is_refused_on_the_wire() -> None:
    async with watched() as it:
        answer = await it.ask("/v1/admin/overview", "Origin: https://evil.example.com")
        assert answer.status == 403


async def test_no_client_is_let_in_by_it() -> None:
    async with watched() as it:
        answer = await it.ask(
            "/v1/ws?ticket=dev:ann",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        )
        assert answer.status == 404
        assert len(it.gateway.sessions) == 0


async def test_a_malformed_request_is_counted() -> None:
    async with watched() as it:
        stream = await Stream.connect(it.port)
        await stream.send_raw(b"\x16\x03\x01")
        assert (await stream.read_all()).startswith(b"HTTP/1.1 400 ")
        stream.drop()
        assert it.gateway.metrics.admin_requests == {400: 1}
