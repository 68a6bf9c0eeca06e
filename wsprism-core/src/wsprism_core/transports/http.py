"""HTTP heads and answers: what a connection says before it is anything else.

The grammar is h11's. The bounds stand here, and they come first: each takes time in
proportion to what arrived, and what passes them holds no byte that makes h11's patterns
backtrack. Heads of the usual kind are taken apart here too, in a tenth of h11's time;
whatever is odd is h11's to judge.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl

import h11

from wsprism_core.protocol.errors import WsPrismError
from wsprism_core.transports.port import HttpResponse, Refusal

__all__ = (
    "MAX_HEADERS",
    "MAX_HEAD_BYTES",
    "MAX_LINE_BYTES",
    "Head",
    "HeadReader",
    "Rejected",
    "encode_response",
    "parse_head",
    "parse_query",
    "refusal_response",
)

MAX_HEAD_BYTES: Final = 16 * 1024
MAX_LINE_BYTES: Final = 8 * 1024
MAX_HEADERS: Final = 100
MAX_QUERY_FIELDS: Final = 64

_END: Final = b"\r\n\r\n"
_BARE_LF: Final = re.compile(rb"(?<!\r)\n")
#: Control characters, a CR that ends no line, and a line that continues the one before.
_ILLEGAL: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|\n[ \t]")
_USUAL_LINE: Final = re.compile(r"(GET) ([!->@-~]+)(?:\?([!-~]*))? HTTP/1\.1")
#: A field's name (RFC 9110, section 5.1).
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: Fields that say more than what they say: whether there is a body, and whose it is.
_FOR_H11: Final = frozenset({"content-length", "transfer-encoding", "expect"})


class Rejected(WsPrismError):
    """A request that is answered with an error before anything is asked of the host.

    Args:
        status: The HTTP status.
        reason: One line for people.
        headers: Header fields of the answer beside the usual ones.
    """

    def __init__(
        self, status: int, reason: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason
        self.headers = headers or {}


class HeadReader:
    """Collects the bytes of one head, up to its blank line."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> tuple[bytes, bytes] | None:
        """Take the next bytes; return the head and what came behind it, once it ends.

        Raises:
            Rejected: It is too long, or cannot become a head any more.
        """
        buffer = self._buffer
        seen = len(buffer)
        buffer += data
        if not buffer[:1].isalpha():
            raise Rejected(400, "not an HTTP request")
        found = buffer.find(_END, max(0, seen - len(_END) + 1))
        end = len(buffer) if found < 0 else found + len(_END)
        if end > MAX_HEAD_BYTES:
            if buffer.find(b"\n", 0, MAX_HEAD_BYTES) < 0:
                raise Rejected(414, f"a request line over {MAX_LINE_BYTES} bytes")
            raise Rejected(431, f"a request head over {MAX_HEAD_BYTES} bytes")
        if _BARE_LF.search(buffer, seen, end):
            raise Rejected(400, "a line that does not end in CR LF")
        if found < 0:
            return None
        return bytes(buffer[:end]), bytes(buffer[end:])


@dataclass(frozen=True, slots=True, repr=False)
class Head:
    """The head of a request; `repr` is off, for it may hold a ticket.

    Args:
        method: As sent, upper case by custom.
        path: The target up to its `?`, not decoded.
        query: The target behind its `?`, not decoded.
        version: `1.0` or `1.1`.
        headers: Names in lower case, values without surrounding white space.
    """

    method: str
    path: str
    query: str
    version: str
    headers: tuple[tuple[str, str], ...]

    def values(self, name: str) -> list[str]:
        """Return every value of a header, in the order in which they came."""
        return [value for header, value in self.headers if header == name]

    def tokens(self, name: str) -> set[str]:
        """Return the members of a header that is a list of tokens, in lower case."""
        return {
            token.strip().lower()
            for value in self.values(name)
            for token in value.split(",")
        }

    @property
    def has_body(self) -> bool:
        """Whether it announces a body."""
        lengths = self.values("content-length")
        return bool(self.values("transfer-encoding")) or lengths not in ([], ["0"])


def parse_head(raw: bytes) -> Head:
    """Return a head taken apart.

    Args:
        raw: A head with its blank line, and nothing behind it.

    Raises:
        Rejected: It breaks the grammar or a bound.
    """
    return _usual_head(_lines(raw)) or _any_head(raw)


def _lines(raw: bytes) -> list[str]:
    """Return the lines of a head that is fit to be parsed at all.

    Raises:
        Rejected: It is over a bound, or holds characters that no head may.
    """
    if _ILLEGAL.search(raw):
        raise Rejected(400, "a request head with illegal characters")
    lines = raw[: -len(_END)].decode("latin-1").split("\r\n")
    request_line, *fields = lines
    if "\t" in request_line:
        raise Rejected(400, "a request line with illegal characters")
    if len(request_line) > MAX_LINE_BYTES:
        raise Rejected(414, f"a request line over {MAX_LINE_BYTES} bytes")
    if len(fields) > MAX_HEADERS:
        raise Rejected(431, f"over {MAX_HEADERS} header fields")
    if max(map(len, fields), default=0) > MAX_LINE_BYTES:
        raise Rejected(431, f"a header field over {MAX_LINE_BYTES} bytes")
    return lines


def _usual_head(lines: list[str]) -> Head | None:
    """Return the head of a GET without a body and without anything odd, else None."""
    line, *fields = lines
    start = _USUAL_LINE.fullmatch(line)
    if start is None:
        return None
    headers = []
    hosts = 0
    for field in fields:
        name, colon, value = field.partition(":")
        if not colon or _TOKEN.fullmatch(name) is None:
            return None
        name = name.lower()
        if name in _FOR_H11:
            return None
        hosts += name == "host"
        headers.append((name, value.strip(" \t")))
    if hosts != 1:
        return None
    method, path, query = start.groups("")
    return Head(method, path, query, "1.1", tuple(headers))


def _any_head(raw: bytes) -> Head:
    """Return a head taken apart by h11.

    Raises:
        Rejected: It breaks the grammar.
    """
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(raw)
    try:
        request = connection.next_event()
    except h11.RemoteProtocolError as error:
        # Its text quotes the request, which may hold a ticket.
        raise Rejected(error.error_status_hint, "malformed HTTP request") from None
    assert isinstance(request, h11.Request)
    version = request.http_version.decode("ascii")
    if version not in ("1.0", "1.1"):
        raise Rejected(505, "only HTTP/1.1 is spoken here")
    path, _, query = request.target.decode("ascii").partition("?")
    return Head(
        method=request.method.decode("ascii"),
        path=path,
        query=query,
        version=version,
        headers=tuple(
            (name.decode("ascii"), value.decode("latin-1"))
            for name, value in request.headers
        ),
    )


def parse_query(query: str) -> list[tuple[str, str]]:
    """Return the fields of a query string, decoded, in order.

    Raises:
        Rejected: It is not UTF-8, or has more than 64 fields.
    """
    try:
        return parse_qsl(
            query,
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAX_QUERY_FIELDS,
        )
    except ValueError:
        raise Rejected(400, "malformed query") from None


def refusal_response(
    refusal: Refusal, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    """Return a refusal as an answer: one line of text."""
    fields = dict(headers or {})
    if refusal.retry_after is not None:
        fields["Retry-After"] = str(refusal.retry_after)
    return HttpResponse(refusal.status, f"{refusal.reason}\n".encode(), headers=fields)


def encode_response(response: HttpResponse, *, with_body: bool = True) -> bytes:
    """Return the bytes of an answer after which the connection is closed.

    Args:
        response: The answer; where its header fields break the grammar, 500 is sent.
        with_body: False to answer HEAD.
    """
    try:
        reason = HTTPStatus(response.status).phrase
    except ValueError:
        reason = ""
    headers = [
        ("Date", formatdate(usegmt=True)),
        ("Connection", "close"),
        ("Content-Type", response.content_type),
        ("Content-Length", str(len(response.body))),
        *response.headers.items(),
    ]
    try:
        head = h11.Connection(h11.SERVER).send(
            h11.Response(
                status_code=response.status, headers=headers, reason=reason.encode()
            )
        )
    except h11.LocalProtocolError:
        broken = HttpResponse(500, b"the answer could not be sent\n")
        return encode_response(broken, with_body=with_body)
    assert head is not None
    return head + response.body if with_body else head
