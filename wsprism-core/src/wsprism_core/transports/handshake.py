"""What a WebSocket handshake says, judged in the order in which it is refused.

The order is the protocol's: the limiter (429), no upgrade (426), the Origin (403), a
malformed handshake or query (400); the rest is the host's to judge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from websockets.exceptions import InvalidHandshake, InvalidHeader, NegotiationError

from wsprism_core.transports.frames import FrameParser
from wsprism_core.transports.http import Head, Rejected, parse_query
from wsprism_core.transports.port import ConnectRequest

if TYPE_CHECKING:
    from websockets.http11 import Request

__all__ = (
    "MAX_OFFERS_BYTES",
    "accept_handshake",
    "check_upgrade",
    "connect_request",
    "read_handshake",
)

_MAX_NAME: Final = 256
#: The longest list of extensions that is looked at.
MAX_OFFERS_BYTES: Final = 1024
#: The longest of each query field that is ours, in characters.
_FIELDS: Final = {"tenant": _MAX_NAME, "ticket": 8 * 1024, "resume": _MAX_NAME}


def check_upgrade(head: Head) -> None:
    """Check that a request for the WebSocket path asks for a WebSocket.

    Raises:
        Rejected: 405, 426 or 505.
    """
    if head.method != "GET":
        raise Rejected(405, "only GET is answered here", {"Allow": "GET"})
    if head.version != "1.1":
        raise Rejected(505, "a WebSocket wants HTTP/1.1")
    if "websocket" not in head.tokens("upgrade") or "upgrade" not in head.tokens(
        "connection"
    ):
        raise Rejected(
            426, "this path wants a WebSocket client", {"Upgrade": "websocket"}
        )


def read_handshake(parser: FrameParser, raw: bytes) -> tuple[Request, Head] | None:
    """Return what a head asks for, where it is a WebSocket handshake.

    The parser of the handshake reads it then, and no other does it again.

    Args:
        parser: A new parser.
        raw: A head with its blank line, within the bounds of `check_bounds`.

    Returns:
        None where it is malformed or speaks of a body: who reads heads of all kinds
        says what is wrong with it.
    """
    request = parser.read_request(raw)
    if request is None:
        return None
    path, _, query = request.path.partition("?")
    fields = tuple((name.lower(), value) for name, value in request.headers.raw_items())
    head = Head(request.method, path, query, request.protocol[-3:], fields)
    return (request, head) if len(head.values("host")) == 1 else None


def accept_handshake(parser: FrameParser, request: Request) -> bytes:
    """Return the 101 for a handshake; `parser.subprotocol` is what it selected.

    Args:
        parser: Has read it.
        request: What it read.

    Raises:
        Rejected: 400.
    """
    offers = request.headers.get_all("Sec-WebSocket-Extensions")
    if sum(map(len, offers)) > MAX_OFFERS_BYTES:
        # To take it apart costs time in proportion, and nobody has that many.
        raise Rejected(400, f"Sec-WebSocket-Extensions over {MAX_OFFERS_BYTES} bytes")
    try:
        return parser.accept_request(request)
    except InvalidHandshake as error:
        raise Rejected(400, _fault(error)) from None


def _fault(error: Exception | None) -> str:
    """Say what is wrong with a handshake; a header's value may be a secret."""
    if isinstance(error, InvalidHeader):
        return f"malformed WebSocket handshake: {error.name}"
    if isinstance(error, NegotiationError):
        return f"WebSocket handshake: {error}"
    return "malformed WebSocket handshake"


def connect_request(head: Head, transport: str, address: str) -> ConnectRequest:
    """Return what the client said while connecting.

    Args:
        head: A handshake.
        transport: The transport's name.
        address: The client's address, without the port.

    Raises:
        Rejected: 400: a field comes twice or is too long, or is no UTF-8.
    """
    fields: dict[str, str] = {}
    for name, value in parse_query(head.query):
        longest = _FIELDS.get(name)
        if longest is None:
            continue
        if name in fields:
            raise Rejected(400, f"{name} is given twice")
        if len(value) > longest:
            raise Rejected(400, f"{name} is over {longest} characters")
        fields[name] = value
    return ConnectRequest(
        transport=transport,
        address=address,
        tenant=fields.get("tenant"),
        ticket=fields.get("ticket", _bearer(head)),
        resume=fields.get("resume"),
    )


def _bearer(head: Head) -> str | None:
    """Return the ticket of an Authorization header (RFC 6750), None without one."""
    values = head.values("authorization")
    if len(values) > 1:
        raise Rejected(400, "two Authorization headers")
    scheme, _, ticket = (values or [""])[0].partition(" ")
    return ticket.strip() if scheme.lower() == "bearer" else None
