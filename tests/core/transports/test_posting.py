"""What is posted on a port of its own; what else it does, it does as plain HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from support.peers import Stream
from support.raw_http import ask, parse_answer, plain
from support.transport_host import EchoHost
from support.transport_stage import Stage, running
from wsprism_core.transports.port import HttpRequest, HttpResponse, TransportTimeouts
from wsprism_core.transports.posting import MAX_BODY_BYTES, PostTransport


class Taker(EchoHost):
    """Takes what is posted, and answers at once unless it is told to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.posts: list[HttpRequest] = []
        self.answers: list[Callable[[HttpResponse], None]] = []
        self.waits = False
        self.verdict: HttpResponse | None = None

    def judge(self, request: HttpRequest) -> HttpResponse | None:
        assert request.body == b""
        return self.verdict

    def post(
        self, request: HttpRequest, answer: Callable[[HttpResponse], None]
    ) -> None:
        self.posts.append(request)
        self.answers.append(answer)
        self.log.add("post")
        if not self.waits:
            answer(HttpResponse(200, b"done\n"))


@pytest.fixture
def host() -> Taker:
    return Taker()


@pytest.fixture
async def http(host: Taker) -> AsyncIterator[Stage]:
    transport = PostTransport(port=0)

    async def no_peer() -> None:
        raise AssertionError("no client connects here")

    async with running((transport, no_peer), host) as stage:  # type: ignore[arg-type]
        yield stage


def post(body: bytes, *fields: str, length: str | None = None) -> bytes:
    told = f"Content-Length: {len(body) if length is None else length}"
    return plain("/do?a=b", "POST", told, *fields) + body


@pytest.mark.parametrize("body", [b"", b"{}", b"x" * MAX_BODY_BYTES])
async def test_a_body_is_handed_on_whole(http: Stage, host: Taker, body: bytes) -> None:
    answer = await ask(http, post(body, "Content-Type: text/plain"))
    assert (answer.status, answer.body) == (200, b"done\n")
    (request,) = host.posts
    assert (request.method, request.path, request.query) == ("POST", "/do", {"a": "b"})
    assert request.body == body
    assert request.headers["content-type"] == "text/plain"
    assert request.address == "127.0.0.1"


async def test_a_body_may_come_in_pieces(http: Stage, host: Taker) -> None:
    stream = await http.connect_socket()
    for piece in (post(b"", length="4"), b"ab", b"c"):
        await stream.send_raw(piece)
    assert not host.posts
    await stream.send_raw(b"d")
    assert parse_answer(await stream.read_all()).status == 200
    assert [one.body for one in host.posts] == [b"abcd"]


async def test_what_comes_behind_the_body_is_not_read(http: Stage, host: Taker) -> None:
    again = post(b"second")
    assert (await ask(http, post(b"first") + again)).status == 200
    assert [one.body for one in host.posts] == [b"first"]


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (plain("/do", "POST"), 411),
        (plain("/do", "POST", "Transfer-Encoding: chunked") + b"0\r\n\r\n", 411),
        (post(b"", length=str(MAX_BODY_BYTES + 1)), 413),
        (post(b"x" * (MAX_BODY_BYTES + 1)), 413),
        (post(b"", length="-1"), 400),
        (post(b"", length="x"), 400),
        (post(b"ab", "Content-Length: 3"), 400),
        (plain("/do?%ff", "POST", "Content-Length: 0"), 400),
        (plain("/do", "GET", "Content-Length: 2") + b"ab", 400),
    ],
)
async def test_what_has_no_bound_or_no_sense_is_refused(
    http: Stage, host: Taker, request_: bytes, status: int
) -> None:
    assert (await ask(http, request_)).status == status
    assert not host.posts
    assert [refusal.status for refusal in host.refusals] == [status]


@pytest.mark.parametrize(
    "request_",
    [
        post(b"", length="5"),
        post(b"x" * MAX_BODY_BYTES),
        post(b"", length="99999999"),
        plain("/do", "POST"),
        post(b"", "Expect: 100-continue", length="5"),
    ],
)
async def test_who_may_not_ask_is_answered_before_the_body(
    http: Stage, host: Taker, request_: bytes
) -> None:
    host.verdict = HttpResponse(401, b"no\n")
    answer = await ask(http, request_)
    assert (answer.status, answer.body) == (401, b"no\n")
    assert not host.posts


async def test_who_waits_to_be_told_to_go_on_is_told(http: Stage, host: Taker) -> None:
    stream = await http.connect_socket()
    await stream.send_raw(post(b"", "Expect: 100-continue", length="2"))
    assert await stream.read_head() == b"HTTP/1.1 100 Continue\r\n\r\n"
    await stream.send_raw(b"ok")
    assert parse_answer(await stream.read_all()).status == 200
    assert host.posts[0].body == b"ok"


async def test_who_does_not_wait_is_not_told(http: Stage) -> None:
    assert (await ask(http, post(b"ok", "Expect: 100-continue"))).status == 200


async def test_reading_is_as_on_any_port(http: Stage, host: Taker) -> None:
    host.response = HttpResponse(200, b"read\n")
    assert (await ask(http, plain("/a"))).body == b"read\n"
    assert (await ask(http, plain("/a", "HEAD"))).body == b""


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "BREW"])
async def test_other_methods_are_for_the_host_to_judge(
    http: Stage, host: Taker, method: str
) -> None:
    host.response = HttpResponse(405, b"no\n", headers={"Allow": "GET"})
    answer = await ask(http, plain("/a", method))
    assert (answer.status, answer.headers["Allow"]) == (405, "GET")
    assert [one.method for one in host.http_requests] == [method]


async def posted(http: Stage, host: Taker) -> Stream:
    """Return a stream of somebody whose wish is being done."""
    host.waits = True
    stream = await http.connect_socket()
    await stream.send_raw(post(b"{}"))
    await host.log.until("post")
    return stream


async def test_an_answer_may_take_a_while(http: Stage, host: Taker) -> None:
    stream = await posted(http, host)
    await stream.send_raw(b"more that is not read")
    host.answers[0](HttpResponse(200, b"at last\n"))
    assert parse_answer(await stream.read_all()).body == b"at last\n"
    assert len(host.posts) == 1


async def test_an_answer_to_somebody_who_left_goes_nowhere(
    http: Stage, host: Taker
) -> None:
    stream = await posted(http, host)
    stream.drop()
    await host.log.wait_for(lambda: not http.stream.connections or gone(http, host))
    host.answers[0](HttpResponse())


def gone(http: Stage, host: Taker) -> bool:
    """Whether nobody is connected; looked at again a little later."""
    host.after(0.01, lambda: host.log.add("looked"))
    return not http.stream.connections


async def test_what_is_not_done_in_time_is_said_to_be_late(
    http: Stage, host: Taker
) -> None:
    host.timeouts = TransportTimeouts(handshake=0.05)
    stream = await posted(http, host)
    answer = parse_answer(await stream.read_all())
    assert (answer.status, answer.body) == (503, b"not done in time\n")
    host.answers[0](HttpResponse())
    assert [refusal.status for refusal in host.refusals] == [503]


async def test_a_body_that_does_not_end_is_cut_in_time(
    http: Stage, host: Taker
) -> None:
    host.timeouts = TransportTimeouts(handshake=0.05)
    stream = await http.connect_socket()
    await stream.send_raw(post(b"a", length="2"))
    assert await stream.read_all() == b""
    assert [refusal.status for refusal in host.refusals] == [408]
    assert not host.posts
