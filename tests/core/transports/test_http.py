from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsprism_core.transports import http
from wsprism_core.transports.http import (
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    MAX_LINE_BYTES,
    Head,
    HeadReader,
    Rejected,
    encode_response,
    parse_head,
    parse_query,
    refusal_response,
)
from wsprism_core.transports.port import HttpResponse, Refusal


def head(*fields: str, line: str = "GET / HTTP/1.1") -> bytes:
    return "\r\n".join([line, "Host: localhost", *fields, "", ""]).encode("latin-1")


def status_of(work: Callable[[], object]) -> int:
    with pytest.raises(Rejected) as caught:
        work()
    return caught.value.status


# ---------------------------------------------------------------- the reader


@given(st.lists(st.integers(0, 60), max_size=8))
def test_a_head_is_found_however_it_is_cut(cuts: list[int]) -> None:
    whole = head("A: b") + b"\x81\x85behind\r\n\r\n"
    reader = HeadReader()
    places = sorted({0, *(cut for cut in cuts if cut < len(whole)), len(whole)})
    found = None
    for start, end in itertools.pairwise(places):
        if found is None:
            found = reader.feed(whole[start:end])
            behind = whole[end:]
    assert found is not None
    assert found[0] == head("A: b")
    assert found[1] + behind == b"\x81\x85behind\r\n\r\n"


@pytest.mark.parametrize(
    "first", [b"\x16\x03\x01\x02\x00\x01", b"\x00", b"\r\n", b" GET", b"\xff"]
)
def test_what_begins_like_no_request_is_refused_at_once(first: bytes) -> None:
    assert status_of(lambda: HeadReader().feed(first)) == 400


def test_a_bare_newline_is_refused_before_the_head_ends() -> None:
    assert status_of(lambda: HeadReader().feed(b"GET / HTTP/1.1\nHost: x")) == 400
    reader = HeadReader()
    assert reader.feed(b"GET / HTTP/1.1\r") is None
    assert reader.feed(b"\nHost: x\r") is None
    assert status_of(lambda: reader.feed(b"\rfoo\n")) == 400


def test_newlines_behind_the_head_are_not_looked_at() -> None:
    assert HeadReader().feed(head() + b"\n\n") == (head(), b"\n\n")


def test_a_head_has_a_largest_size() -> None:
    filler = "x" * (MAX_HEAD_BYTES - len(head("A: ")))
    assert HeadReader().feed(head(f"A: {filler}")) is not None
    assert status_of(lambda: HeadReader().feed(head(f"A: {filler}x"))) == 431
    assert status_of(lambda: HeadReader().feed(b"GET /" + b"x" * 20_000)) == 414


def test_reading_takes_time_in_proportion() -> None:
    def seconds(size: int) -> float:
        reader, best = HeadReader(), 9.9
        chunk = b"x" * 64
        for _ in range(5):
            reader = HeadReader()
            started = time.process_time()
            reader.feed(b"GET / HTTP/1.1\r\nA: ")
            for _ in range(size // len(chunk)):
                reader.feed(chunk)
            best = min(best, time.process_time() - started)
        return best

    assert seconds(MAX_HEAD_BYTES - 100) < 6 * seconds(MAX_HEAD_BYTES // 2)


# ------------------------------------------------------------------ the head


def test_a_head_is_taken_apart() -> None:
    found = parse_head(
        head(
            "X-A:  one ",
            "x-a: two",
            "Upgrade: WebSocket, h2c",
            line="GET /p?q HTTP/1.0",
        )
    )
    assert (found.method, found.path, found.query, found.version) == (
        "GET",
        "/p",
        "q",
        "1.0",
    )
    assert found.values("x-a") == ["one", "two"]
    assert found.tokens("upgrade") == {"websocket", "h2c"}
    assert found.values("missing") == []
    assert not found.has_body


names = st.sampled_from(
    ["A", "x-b", "Content-Length", "Expect", "HOST", "a b", "é", ""]
)
colons = st.sampled_from([":", ": ", ":\t ", " :", "="])
values = st.text(
    st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=9
)
fields = st.builds("{}{}{}".format, names, colons, st.one_of(values, st.just("0")))
lines = st.builds(
    "{} {}{}".format,
    st.sampled_from(["GET", "POST", "get", "G T", ""]),
    st.sampled_from(["/", "/p?q=1?2", "?", "*", "/a b", "/é", "http://h/p?", ""]),
    st.sampled_from([" HTTP/1.1", " HTTP/1.0", " HTTP/11", " http/1.1", ""]),
)


@settings(max_examples=500)
@given(line=lines, fields=st.lists(fields, max_size=4))
def test_a_usual_head_is_what_h11_would_have_said(line: str, fields: list[str]) -> None:
    raw = "\r\n".join([line, *fields, "", ""]).encode("latin-1")

    def outcome() -> Head | int:
        try:
            return parse_head(raw)
        except Rejected as rejected:
            return rejected.status

    found = outcome()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http, "_usual_head", lambda raw: None)
        assert found == outcome()


def test_its_repr_holds_no_ticket() -> None:
    found = parse_head(head(line="GET /v1/ws?ticket=secret HTTP/1.1"))
    assert "secret" not in repr(found)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        pytest.param(head("A: b\x00c"), 400, id="NUL in a value"),
        pytest.param(head("A: b\x1bc"), 400, id="escape in a value"),
        pytest.param(head("A: b\rc"), 400, id="bare CR"),
        pytest.param(head("A: b", " folded"), 400, id="obs-fold"),
        pytest.param(head("A : b"), 400, id="space before colon"),
        pytest.param(head(line="GET /?a\t=1 HTTP/1.1"), 400, id="tab in the target"),
        pytest.param(head("no colon"), 400, id="no colon"),
        pytest.param(head(": b"), 400, id="no name"),
        pytest.param(head("Host: other"), 400, id="two hosts"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", 400, id="no host"),
        pytest.param(head(line="GET  / HTTP/1.1"), 400, id="two spaces"),
        pytest.param(
            head(line="GET /\xe9 HTTP/1.1"), 400, id="raw UTF-8 in the target"
        ),
        pytest.param(head(line="GET /"), 400, id="no version"),
        pytest.param(head(line="GET / HTTP/1.9"), 505, id="HTTP/1.9"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\n", 505, id="HTTP/2 preface"),
        pytest.param(head("Content-Length: x"), 400, id="bad length"),
        pytest.param(head("Transfer-Encoding: gzip"), 501, id="bad coding"),
        pytest.param(head(*["A: b"] * MAX_HEADERS), 431, id="too many fields"),
        pytest.param(head("A: " + "b" * MAX_LINE_BYTES), 431, id="a field too long"),
        pytest.param(
            head(line=f"GET /{'x' * MAX_LINE_BYTES} HTTP/1.1"), 414, id="a long line"
        ),
    ],
)
def test_a_bad_head_is_refused(raw: bytes, status: int) -> None:
    assert status_of(lambda: parse_head(raw)) == status


@pytest.mark.parametrize(
    "value",
    [
        " " * 8000,
        " " * 8000 + "\x00",
        "a" + " " * 8000 + "b",
        "," * 1000,
        '"' * 999,
        "a " * 4000,
    ],
)
def test_no_value_makes_the_grammar_backtrack(value: str) -> None:
    raw = head(f"Sec-WebSocket-Protocol:{value}")
    started = time.process_time()
    for _ in range(10):
        with contextlib.suppress(Rejected):
            parse_head(raw)
    assert (time.process_time() - started) / 10 < 0.01


def test_a_refused_head_is_not_quoted() -> None:
    with pytest.raises(Rejected) as caught:
        parse_head(head("bad header", line="GET /v1/ws?ticket=secret HTTP/1.1"))
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


@given(st.binary(max_size=300))
def test_any_bytes_are_a_head_or_refused(data: bytes) -> None:
    with contextlib.suppress(Rejected):
        found = HeadReader().feed(data + b"\r\n\r\n")
        assert found is not None
        parse_head(found[0])


@pytest.mark.parametrize(
    ("field", "has_body"),
    [
        ("Content-Length: 0", False),
        ("Content-Length: 5", True),
        ("Transfer-Encoding: chunked", True),
    ],
)
def test_a_body_is_announced(field: str, has_body: bool) -> None:
    assert parse_head(head(field)).has_body is has_body


# ----------------------------------------------------------------- the query


def test_a_query_is_decoded() -> None:
    assert parse_query("a=1&b=%C3%BC+x&a=&c") == [
        ("a", "1"),
        ("b", "ü x"),
        ("a", ""),
        ("c", ""),
    ]
    assert parse_query("") == []


@pytest.mark.parametrize("query", ["a=%ff", "&".join(["a=1"] * 65)])
def test_a_bad_query_is_refused(query: str) -> None:
    assert status_of(lambda: parse_query(query)) == 400


# ---------------------------------------------------------------- the answer


def test_an_answer_has_a_length_and_closes() -> None:
    raw = encode_response(
        HttpResponse(200, b"ok\n", content_type="text/x", headers={"X-A": "b"})
    )
    top, _, body = raw.partition(b"\r\n\r\n")
    lines = top.decode().split("\r\n")
    assert lines[0] == "HTTP/1.1 200 OK"
    assert {"Connection: close", "Content-Length: 3", "Content-Type: text/x"} < set(
        lines
    )
    assert "X-A: b" in lines
    assert body == b"ok\n"


def test_an_answer_to_head_has_the_length_and_no_body() -> None:
    raw = encode_response(HttpResponse(200, b"ok\n"), with_body=False)
    assert b"Content-Length: 3\r\n" in raw
    assert raw.endswith(b"\r\n\r\n")


def test_a_status_without_a_name_is_sent() -> None:
    assert encode_response(HttpResponse(299)).startswith(b"HTTP/1.1 299 ")


@pytest.mark.parametrize("headers", [{"X": "a\r\nSet-Cookie: b"}, {"a b": "c"}])
def test_an_answer_that_breaks_the_grammar_is_not_sent(headers: dict[str, str]) -> None:
    raw = encode_response(HttpResponse(200, b"secret", headers=headers))
    assert raw.startswith(b"HTTP/1.1 500 ")
    assert b"secret" not in raw
    assert b"Set-Cookie" not in raw


def test_a_refusal_is_one_line_of_text() -> None:
    response = refusal_response(Refusal(429, 1013, "too many", retry_after=7))
    assert response.status == 429
    assert response.body == b"too many\n"
    assert response.headers == {"Retry-After": "7"}
    assert refusal_response(Refusal(403, 1008, "no")).headers == {}
