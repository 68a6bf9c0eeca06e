from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest

from wsprism_cli.admin_client import AdminClient, AdminError


class Answers(BaseHTTPRequestHandler):
    """Answers as a test says, and keeps what was asked."""

    status = 200
    body = b"{}"
    headers_sent: ClassVar[dict[str, str]] = {}
    asked: ClassVar[list[tuple[str, str | None]]] = []
    posted: ClassVar[list[bytes]] = []
    kinds: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers["Authorization"]))
        self.send_response(self.status)
        for name, value in self.headers_sent.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.body)

    def do_POST(self) -> None:
        self.posted.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.kinds.append(self.headers["Content-Type"])
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def answering(status: int, body: bytes, **headers: str) -> Iterator[str]:
    Answers.status, Answers.body, Answers.headers_sent = status, body, headers
    Answers.asked = []
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def why(url: str, key: str | None = None) -> AdminError:
    with pytest.raises(AdminError) as caught:
        AdminClient(url, key).get("overview")
    return caught.value


def test_it_asks_with_the_key() -> None:
    with answering(200, b'{"a":1}') as url:
        assert AdminClient(url, "k").get("sessions", limit=5) == {"a": 1}
        assert AdminClient(url.removeprefix("http://") + "/").get("overview")
    assert Answers.asked == [
        ("/v1/admin/sessions?limit=5", "Bearer k"),
        ("/v1/admin/overview", None),
    ]


def test_what_it_posts_has_what_is_wanted_and_no_more() -> None:
    Answers.posted, Answers.kinds = [], []
    with answering(200, b'{"kicked":1}') as url:
        done = AdminClient(url, "k").post("kick", user="u", sid=None, reconnect=False)
    assert done == {"kicked": 1}
    assert Answers.asked == [("/v1/kick", "Bearer k")]
    assert Answers.kinds == ["application/json"]
    assert [json.loads(one) for one in Answers.posted] == [
        {"user": "u", "reconnect": False}
    ]


def test_what_is_wrong_with_a_wish_is_a_usage_error() -> None:
    with (
        answering(400, b'{"error":"user: too long"}') as url,
        pytest.raises(AdminError, match="answered 400: user: too long") as caught,
    ):
        AdminClient(url).post("kick", user="u")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "url",
    [
        "ws://127.0.0.1:8081",
        "http://",
        "http://h:x",
        "http://h/path",
        "",
        "http://h:1x",
    ],
)
def test_what_is_no_address_is_a_usage_error(url: str) -> None:
    error = why(url)
    assert error.exit_code == 2
    assert "is no address of an admin listener" in str(error)


@pytest.mark.parametrize("key", ["line\nbreak", "k\xe4y"])
def test_a_key_that_cannot_be_sent_is_a_usage_error(key: str) -> None:
    error = why("http://127.0.0.1:1", key)
    assert error.exit_code == 2
    assert key not in str(error)


def test_where_nothing_listens_it_says_what_where_and_what_to_do() -> None:
    error = why("127.0.0.1:1")
    assert error.exit_code == 1
    assert str(error).startswith("nothing listens on http://127.0.0.1:1; start a")
    assert "wsprism run" in str(error)


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (
            401,
            b'{"error":"an API key is needed"}',
            "answered 401: an API key is needed",
        ),
        (401, b"{}", "WSPRISM_ADMIN_KEY"),
        (403, b'{"error":"no"}', "on the machine that the gateway runs on"),
        (404, b"not found\n", "which no gateway does; is it the admin listener's"),
        (500, b"<html>", "answered 500, which no gateway does"),
        (200, b"<html>", "answered 200, which no gateway does"),
        (200, b"\xff", "answered 200, which no gateway does"),
    ],
)
def test_a_refusal_says_what_to_do(status: int, body: bytes, text: str) -> None:
    with answering(status, body) as url:
        error = why(url, "the-secret-key-0")
        assert text in str(error)
        assert "the-secret-key" not in str(error)


def test_the_key_follows_no_redirect() -> None:
    with answering(302, b"", Location="http://127.0.0.1:1/elsewhere") as url:
        assert "answered 302" in str(why(url, "k"))
    assert len(Answers.asked) == 1


def test_no_proxy_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with answering(200, b'{"a":1}') as url:
        assert AdminClient(url).get("overview") == {"a": 1}
