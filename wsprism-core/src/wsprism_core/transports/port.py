"""The port between the core and anything that carries bytes.

Three parties meet here:

- a **transport** listens and makes links (WebSocket, TCP, memory, a plugin's own);
- a **link** is one connection as the core sees it: bytes go out, a close goes out;
- the **host** is the gateway as a transport sees it: it admits connections, and each
  admitted one gets a **receiver** for what arrives.

Everything is synchronous; a transport calls its receiver from the event loop's thread
only. Neither the receiver nor the host raises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from wsprism_core.protocol.layout import ErrorCode
from wsprism_core.realtime.clock import Timer
from wsprism_core.realtime.wire import Wire

__all__ = (
    "NO_CLOSE_FRAME",
    "ConnectRequest",
    "Grant",
    "Host",
    "HttpRequest",
    "HttpResponse",
    "Link",
    "Receiver",
    "Refusal",
    "Transport",
    "TransportTimeouts",
)

#: The close code of a link that ended without one; it is never sent (RFC 6455, 7.4.1).
NO_CLOSE_FRAME: Final = 1006


@dataclass(frozen=True, slots=True)
class Refusal:
    """A connection or request that is turned away before it becomes a session.

    Args:
        status: The HTTP status where the transport speaks HTTP.
        close_code: The close code where it does not.
        reason: One line for people; never holds the ticket.
        retry_after: Seconds, sent as `Retry-After`, or as `retry_after_ms` in band.
        code: What `sys.error` says where the client is told in band.
    """

    status: int
    close_code: int
    reason: str
    retry_after: int | None = None
    code: ErrorCode = field(default=ErrorCode.BAD_REQUEST, kw_only=True)


@dataclass(frozen=True, slots=True, repr=False)
class ConnectRequest:
    """What a client said while connecting; `repr` is off, for it holds the ticket.

    Args:
        transport: The transport's name.
        address: The client's address, without the port.
        tenant: As given, or None.
        ticket: As given, or None where it comes as the first message.
        resume: A resume token, or None.
    """

    transport: str
    address: str
    tenant: str | None = None
    ticket: str | None = None
    resume: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class HttpRequest:
    """A plain request; `repr` is off, for its headers may hold a key.

    Args:
        method: GET or HEAD on the gateway's port; any on a port for operators.
        path: Not decoded.
        query: Its fields, decoded.
        headers: Names in lower case.
        address: The client's address, without the port.
        body: What was posted.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    address: str
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """The whole answer to a plain request."""

    status: int = 200
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


class Link(Protocol):
    """One connection, as the core sees it."""

    #: Which bytes this connection wants; may change until the session is open.
    wire: Wire

    def write(self, data: bytes) -> bool:
        """Hand framed bytes over.

        Returns:
            Whether the socket took them and takes more. After False the transport calls
            the receiver's `resume` when it does again.
        """

    def unsent(self) -> int:
        """Return how many of the bytes handed over the socket has not taken yet."""

    def limit(self, max_message_bytes: int) -> None:
        """Set the largest inbound message, inflated, in bytes."""

    def use_codec(self, name: str) -> bool:
        """Switch to the codec `name`; return False where there is none such."""

    def pause_reading(self) -> None:
        """Take no more bytes from the socket; what was read already still comes."""

    def resume_reading(self) -> None:
        """Take bytes from the socket again."""

    def is_behind(self) -> bool:
        """Whether something of the client waits unread for the transport's own sake.

        It may be the pong that nobody has heard yet.
        """

    def close(self, code: int, reason: str) -> None:
        """Send a close, behind what was written, and end.

        The receiver's `closed` is called before this returns. A peer that does not
        answer in time is cut.

        Args:
            code: A `CloseCode`.
            reason: A few words for people; what is over 123 bytes of UTF-8 is cut off.
        """

    def abort(self) -> None:
        """End at once, without a close; `closed` is called before this returns."""


class Receiver(Protocol):
    """What a transport calls with what arrives on one link."""

    def text(self, payload: bytes) -> None:
        """Take a whole text message, valid UTF-8."""

    def binary(self, payload: bytes) -> None:
        """Take a whole binary message."""

    def heard(self) -> None:
        """Note a frame that is no message: a ping, a fragment. It ends nothing."""

    def pong(self) -> None:
        """Note a pong."""

    def control(self, data: bytes) -> None:
        """Send framed control bytes (a pong) on the control lane."""

    def pause(self) -> None:
        """Note that the socket takes no bytes."""

    def resume(self) -> None:
        """Note that the socket takes bytes again."""

    def closed(self, code: int, reason: str) -> None:
        """Note the end of the link; called exactly once, and nothing after it.

        It is called before a close frame is written or answered, so that a session has
        left its rooms by then. From here on the link writes nothing more.

        Args:
            code: The close code received or sent (1005 where the peer gave none),
                `NO_CLOSE_FRAME` where there was no close.
            reason: The reason that came with it, for the log.
        """


class Grant(Protocol):
    """Leave to complete the handshake; used at once or released."""

    #: The largest inbound message until the core says otherwise, in bytes.
    max_message_bytes: int

    def open(self, link: Link) -> Receiver:
        """Attach the link; the first messages to the client are written here."""

    def release(self) -> None:
        """Give it back unused: the peer went away meanwhile."""


@dataclass(frozen=True, slots=True)
class TransportTimeouts:
    """Deadlines that every transport keeps, in seconds."""

    #: From accept to the end of the handshake; no byte extends it.
    handshake: float = 10.0
    #: From the first to the last fragment of one message.
    message: float = 30.0
    #: From our close to the peer's.
    close: float = 2.0


class Host(Protocol):
    """The gateway, as a transport sees it."""

    timeouts: TransportTimeouts

    def after(self, seconds: float, work: Callable[[], None]) -> Timer:
        """Run `work` once, `seconds` from now or a little later.

        For deadlines: they cost little, and are put off where the event loop is late.
        """

    def greet(self, transport: str, address: str) -> Refusal | None:
        """Count a handshake from `address`; say whether it is one too many.

        A refusal is noted already.
        """

    def check_origin(self, origins: Sequence[str]) -> Refusal | None:
        """Judge the Origin headers of a handshake, in the order in which they came."""

    def admit(
        self,
        request: ConnectRequest,
        decided: Callable[[Grant | Refusal], None],
    ) -> None:
        """Judge a connection; `decided` is called once, now or in a later turn."""

    def http(self, request: HttpRequest) -> HttpResponse:
        """Answer a plain request; 404 where nothing is known by its path."""

    def refused(self, transport: str, address: str, refusal: Refusal) -> None:
        """Note a connection that a transport turned away by itself, as malformed."""


class Transport(Protocol):
    """Something that listens and makes links."""

    name: str
    #: Where it listens, for people: `ws://127.0.0.1:8080`. Empty before `start`.
    address: str

    async def start(self, host: Host) -> None:
        """Listen.

        Raises:
            OSError: The address cannot be bound.
        """

    async def stop_accepting(self) -> None:
        """Accept no further connection; those that exist go on."""

    async def stop(self) -> None:
        """Stop accepting, cut whatever is open, and wait for the closes under way."""
