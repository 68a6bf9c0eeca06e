"""What a WebSocket handshake says, judged in the order in which it is refused.

The order is the protocol's: the limiter (429), no upgrade (426), the Origin (403), a
malformed handshake or query (400); the rest is the host's to judge.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from websockets.exceptions import InvalidHeader, NegotiationError
from websockets.http11 import Request, Response

from wsprism_core.transports.frames import FrameParser
from wsprism_core.transports.http import Head, Rejected, parse_query
from wsprism_core.transports.port import ConnectRequest

__all__ = ("accept_handshake", "check_upgrade", "connect_request")

_MAX_NAME: Final = 256
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


def accept_handshake(parser: FrameParser, raw: bytes) -> Response:
    """Return the 101 for a handshake; `parser.subprotocol` is what it selected.

    Args:
        parser: A new parser; it is fed the head alone, for what it reads behind it
            would be judged by the wrong limit.
        raw: The head with its blank line.

    Raises:
        Rejected: 400.
    """
    parser.receive_data(raw)
    request = next(iter(parser.events_received()), None)
    if not isinstance(request, Request):
        raise Rejected(400, "malformed WebSocket handshake")
    response = parser.accept(request)
    if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
        raise Rejected(response.status_code, _fault(parser.handshake_exc))
    # What was counted so far is the head's.
    parser.partial = 0
    return response


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
