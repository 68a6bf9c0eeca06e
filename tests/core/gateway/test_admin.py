from __future__ import annotations

import logging
from typing import NoReturn

import orjson
import pytest

from support.peers import Stream
from support.watched import watched
from wsprism_core.client import connect
from wsprism_core.gateway.admin import AdminGuard
from wsprism_core.gateway.operator import KickRequest, Operator

KEY = "k3y-0123456789abcdef"
LIMITS = "limit must be a number from 1 to 1000"


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


async def test_metrics_are_read_with_the_key() -> None:
    async with watched(KEY) as it:
        assert (await it.ask("/metrics")).status == 401
        answer = await it.ask("/metrics", f"Authorization: Bearer {KEY}")
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert b'wsprism_sessions{tenant="default"} 0.0' in answer.body
        posted = await it.send("/metrics", b"{}", f"Authorization: Bearer {KEY}")
        assert posted.status == 405


async def test_what_an_operator_may_do_is_counted_from_0() -> None:
    async with watched() as it:
        text = (await it.ask("/metrics")).body.decode()
    for action in ("publish", "broadcast", "kick", "ticket", "revoke", "reload"):
        for outcome in ("done", "refused", "failed"):
            labels = f'action="{action}",outcome="{outcome}"'
            assert f"wsprism_admin_actions_total{{{labels}}} 0.0" in text
    assert 'action="metrics"' not in text


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
        *(
            (
                f"/v1/admin/sessions?limit={limit}",
                400,
                "limit must be a number from 1 to 1000",
            )
            for limit in ("x", "", "-1", "0", "1001", "1e2", "9" * 5000)
        ),
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


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/v1/admin/overview", "GET, HEAD"),
        ("PUT", "/v1/admin/overview", "GET, HEAD"),
        ("GET", "/v1/kick", "POST"),
        ("HEAD", "/v1/kick", "POST"),
        ("DELETE", "/v1/kick", "POST"),
    ],
)
async def test_another_method_is_told_which(
    method: str, path: str, allowed: str
) -> None:
    async with watched() as it:
        answer = await it.ask(path, "Content-Length: 0", method=method)
        assert (answer.status, answer.headers["Allow"]) == (405, allowed)
        assert it.gateway.metrics.admin_actions == {}


async def test_head_is_answered_without_what_is_read() -> None:
    async with watched() as it:
        answer = await it.ask("/v1/admin/overview", method="HEAD")
        assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"", 400, "bad JSON"),
        (b"{", 400, "bad JSON"),
        (b"[]", 400, "valid dictionary"),
        (b'{"room":"r"}', 400, "svc: Field required"),
        (b'{"user":"u","svc":"lab","type":"said","rom":"r"}', 400, "did you mean"),
        (b'{"sid":"1","reason":"' + b"x" * 66_000 + b'"}', 413, "a body over 65536"),
    ],
)
async def test_a_body_that_is_wrong_is_said_to_be(
    body: bytes, status: int, error: str
) -> None:
    async with watched() as it:
        answer = await it.send("/v1/publish", body)
        assert answer.status == status
        assert error in answer.body.decode()
        assert it.gateway.metrics.admin_requests == {status: 1}
        refused = {} if status == 413 else {("publish", "refused"): 1}
        assert it.gateway.metrics.admin_actions == refused


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded"]
)
async def test_what_a_form_could_send_is_refused(kind: str) -> None:
    async with watched() as it:
        answer = await it.send("/v1/kick", b'{"sid":"1"}', kind=kind)
        assert answer.status == 415


async def test_what_is_posted_is_behind_the_guard() -> None:
    async with watched(KEY) as it:
        answer = await it.send("/v1/kick", b'{"sid":"1"}')
        assert answer.status == 401
        key = f"Authorization: Bearer {KEY}"
        assert (await it.send("/v1/kick", b'{"sid":"1"}', key)).status == 200
        assert it.gateway.metrics.admin_actions == {("kick", "done"): 1}


async def test_whoever_has_no_key_is_answered_before_the_body() -> None:
    async with watched(KEY) as it:
        told = ("Content-Type: application/json", "Content-Length: 60000")
        answer = await it.ask("/v1/kick", *told, method="POST")
        assert answer.status == 401
        assert it.gateway.metrics.admin_requests == {401: 1}


async def test_a_defect_is_counted_and_says_nothing_of_what_was_posted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(operator: Operator, wanted: KickRequest) -> NoReturn:
        raise LookupError(wanted.reason)

    monkeypatch.setattr(Operator, "kick", fail)
    async with watched() as it:
        answer = await it.send("/v1/kick", b'{"sid":"1","reason":"hush"}')
        assert answer.status == 500
        assert it.gateway.metrics.admin_actions == {("kick", "failed"): 1}
    assert "hush" not in repr([vars(one) for one in caplog.records])


async def test_what_was_done_is_logged_without_its_payload(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with watched() as it, connect(it.ws, ticket="dev:ann"):
        with caplog.at_level(logging.DEBUG):
            done = await it.do(
                "publish", user="user:ann", svc="lab", type="said", data="hush"
            )
        assert done == {"delivered": 1, "seq": None, "ts": None}
    (line,) = [one for one in caplog.records if one.name == "wsprism.admin"]
    assert line.getMessage() == "acted"
    fields = vars(line)["fields"]
    assert fields["action"] == "publish"
    assert fields["address"] == "127.0.0.1"
    assert fields["user"] == "user:ann"
    assert fields["delivered"] == 1
    assert "hush" not in repr([vars(one) for one in caplog.records])


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
