"""What a WebSocket handshake says, judged in the order in which it is refused.

The order is the protocol's: the limiter (429), no upgrade (426), the Origin (403), a
malformed handshake or query (400); the rest is the host's to judge.
"""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from websockets.datastructures import Headers
from websockets.exceptions import InvalidHandshake, InvalidHeader
from websockets.headers import parse_subprotocol
from websockets.server import ServerProtocol
from websockets.utils import accept_key

from wsprism_core.transports.frames import WIRE_BY_SUBPROTOCOL
from wsprism_core.transports.http import Head, Rejected, parse_query
from wsprism_core.transports.port import ConnectRequest

if TYPE_CHECKING:
    from websockets.extensions import Extension, ServerExtensionFactory

__all__ = (
    "MAX_OFFERS_BYTES",
    "Handshake",
    "accept_handshake",
    "check_upgrade",
    "connect_request",
)

_MAX_NAME: Final = 256
#: The longest list of extensions that is looked at.
MAX_OFFERS_BYTES: Final = 1024
#: The longest of each query field that is ours, in characters.
_FIELDS: Final = {"tenant": _MAX_NAME, "ticket": 8 * 1024, "resume": _MAX_NAME}
_KEY_BYTES: Final = 16
_SWITCHING: Final = (
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
)


class Handshake(NamedTuple):
    """What a handshake has come to.

    Args:
        response: The 101.
        subprotocol: The one that is selected, None where none was offered.
        extensions: Those that hold for the connection.
    """

    response: bytes
    subprotocol: str | None
    extensions: Sequence[Extension]


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


def accept_handshake(
    head: Head, available: Sequence[ServerExtensionFactory] | None = None
) -> Handshake:
    """Return what a handshake comes to (RFC 6455, section 4.2.2).

    `websockets` says the same of a request that its own parser has read, and with it
    takes four times as long, which was a fifth of a connection.

    Args:
        head: Has passed `check_upgrade`.
        available: Extensions that may be negotiated.

    Raises:
        Rejected: 400.
    """
    if head.has_body:
        raise Rejected(400, "a WebSocket handshake has no body")
    key = _only(head, "Sec-WebSocket-Key")
    try:
        is_key = len(binascii.a2b_base64(key, strict_mode=True)) == _KEY_BYTES
    except ValueError:
        is_key = False
    if not is_key:
        raise _malformed("Sec-WebSocket-Key")
    if _only(head, "Sec-WebSocket-Version") != "13":
        raise _malformed("Sec-WebSocket-Version")
    answer = [_SWITCHING, "Sec-WebSocket-Accept: ", accept_key(key)]
    extensions, described = _extensions(head, available)
    if described is not None:
        answer += ["\r\nSec-WebSocket-Extensions: ", described]
    subprotocol = _subprotocol(head)
    if subprotocol is not None:
        answer += ["\r\nSec-WebSocket-Protocol: ", subprotocol]
    answer.append("\r\n\r\n")
    return Handshake("".join(answer).encode("ascii"), subprotocol, extensions)


def _only(head: Head, name: str) -> str:
    """Return the value of a header that comes once."""
    values = head.values(name.lower())
    if len(values) != 1:
        raise _malformed(name)
    return values[0]


def _extensions(
    head: Head, available: Sequence[ServerExtensionFactory] | None
) -> tuple[Sequence[Extension], str | None]:
    """Return what is agreed on, and the header that says so."""
    offers = head.values("sec-websocket-extensions")
    if sum(map(len, offers)) > MAX_OFFERS_BYTES:
        # To take it apart costs time in proportion, and nobody has that many.
        raise Rejected(400, f"Sec-WebSocket-Extensions over {MAX_OFFERS_BYTES} bytes")
    if not offers or not available:
        return (), None
    headers = Headers([("Sec-WebSocket-Extensions", offer) for offer in offers])
    try:
        described, agreed = ServerProtocol(extensions=available).process_extensions(
            headers
        )
    except InvalidHandshake as error:
        raise _as_rejected(error) from None
    return agreed, described


def _subprotocol(head: Head) -> str | None:
    """Return the first that is offered and known; none offered means JSON."""
    offers = head.values("sec-websocket-protocol")
    if not offers:
        return None
    try:
        names = [name for offer in offers for name in parse_subprotocol(offer)]
    except InvalidHandshake as error:
        raise _as_rejected(error) from None
    for name in names:
        if name in WIRE_BY_SUBPROTOCOL:
            return name
    raise Rejected(400, "WebSocket handshake: no subprotocol that is offered is known")


def _malformed(name: str) -> Rejected:
    """Say which header is wrong; its value may be a secret."""
    return Rejected(400, f"malformed WebSocket handshake: {name}")


def _as_rejected(error: InvalidHandshake) -> Rejected:
    if isinstance(error, InvalidHeader):
        return _malformed(error.name)
    return Rejected(400, "malformed WebSocket handshake")


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
