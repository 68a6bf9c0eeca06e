"""Plain HTTP that also takes what is posted: for a port where operators write.

A body has a length that is told before it comes, and a bound; the deadline is the one
that runs from accept. Who posts is answered when what he wants is done, which may be in
a later turn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, cast

from wsprism_core.protocol.layout import CloseCode
from wsprism_core.transports.http import Head, Rejected, parse_head
from wsprism_core.transports.plain import HttpDoor, HttpTransport
from wsprism_core.transports.port import Host, HttpRequest, HttpResponse, Refusal
from wsprism_core.transports.stream import StreamConnection

__all__ = ("MAX_BODY_BYTES", "PostDoor", "PostHost", "PostTransport")

MAX_BODY_BYTES: Final = 64 * 1024
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class PostHost(Host, Protocol):
    """A host that is also asked to do something."""

    def judge(self, request: HttpRequest) -> HttpResponse | None:
        """Return the answer to a POST that is refused before its body is read."""

    def post(
        self, request: HttpRequest, answer: Callable[[HttpResponse], None]
    ) -> None:
        """Do what a POST wants; `answer` is called once, now or in a later turn."""


class PostDoor(HttpDoor):
    """Reads one request, with its body where it is a POST, and answers it."""

    __slots__ = ("_body", "_head", "_is_asked", "_length")

    def __init__(self, home: PostTransport) -> None:
        super().__init__(home)
        self._head: Head | None = None
        self._body = bytearray()
        self._length = 0
        self._is_asked = False

    def data_received(self, data: bytes) -> None:
        """Read on until the head is there, and then the body."""
        if self._head is None:
            super().data_received(data)
        elif not (self._answered or self._is_asked):
            self._take(self._head, data)

    def _serve(self, raw: bytes, rest: bytes) -> None:
        head = parse_head(raw)
        if head.method != "POST":
            self._answer(self._plain(head), head.method)
            return
        # Whoever may not ask makes nobody hold a body.
        refused = cast("PostHost", self._home.host).judge(self._request(head))
        if refused is not None:
            self._answer(refused)
            self._abort_in(self._home.host.timeouts.close)
            return
        self._length = _announced_length(head)
        self._head = head
        if len(rest) < self._length and "100-continue" in head.tokens("expect"):
            assert self._socket is not None
            self._socket.write(_CONTINUE)
        self._take(head, rest)

    def _plain(self, head: Head) -> HttpResponse:
        if head.method in ("GET", "HEAD") and head.has_body:
            raise Rejected(400, f"a {head.method} with a body")
        return self._home.host.http(self._request(head))

    def _take(self, head: Head, data: bytes) -> None:
        """Add to the body, and ask the host once it is whole."""
        # What comes behind the body is not read.
        self._body += data[: self._length - len(self._body)]
        if len(self._body) < self._length:
            return
        self._is_asked = True
        request = self._request(head, bytes(self._body))
        cast("PostHost", self._home.host).post(request, self._done)

    def _done(self, response: HttpResponse) -> None:
        """Answer, unless the deadline has passed meanwhile."""
        if not self._answered:
            self._answer(response)

    def _late(self) -> None:
        if self._answered or not self._is_asked:
            super()._late()
            return
        refusal = Refusal(503, CloseCode.TRY_AGAIN_LATER, "not done in time")
        self._home.host.refused(self._home.name, self.address, refusal)
        self._refuse(refusal)


class PostTransport(HttpTransport):
    """Plain HTTP with POST on a port of its own, for a `PostHost`."""

    def connection(self) -> StreamConnection:
        """Return the protocol for a socket that was just accepted."""
        return PostDoor(self)


def _announced_length(head: Head) -> int:
    """Return how long a body is, in bytes.

    Raises:
        Rejected: 411 where that is not said, 413 where it is too long.
    """
    lengths = head.values("content-length")
    if head.values("transfer-encoding") or not lengths:
        raise Rejected(411, "a POST needs a Content-Length")
    length = int(lengths[0])
    if length > MAX_BODY_BYTES:
        raise Rejected(413, f"a body over {MAX_BODY_BYTES} bytes")
    return length
