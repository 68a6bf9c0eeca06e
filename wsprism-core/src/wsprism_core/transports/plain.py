"""Plain HTTP: one request, one answer, and the connection ends."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from wsprism_core.protocol.layout import CloseCode
from wsprism_core.transports.http import (
    Head,
    HeadReader,
    Rejected,
    encode_response,
    parse_head,
    parse_query,
    refusal_response,
)
from wsprism_core.transports.port import HttpRequest, HttpResponse, Refusal
from wsprism_core.transports.stream import StreamConnection, StreamTransport

__all__ = ("HttpDoor", "HttpTransport")


class HttpDoor(StreamConnection):
    """Reads one request head and answers it.

    The deadline runs from accept and no byte moves it: in time the request is there and
    answered, or the socket is cut.
    """

    __slots__ = ("_answered", "_client", "_reader")

    def __init__(self, home: StreamTransport) -> None:
        super().__init__(home)
        self._reader = HeadReader()
        self._answered = False
        # What a trusted proxy says of the peer that it stands for.
        self._client: str | None = None

    @property
    def address(self) -> str:
        """The client's address, without the port, as far as that is known yet."""
        return super().address if self._client is None else self._client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket, and start the deadline, unless there are too many."""
        super().connection_made(transport)
        now = self._home.loop.time()
        refusal = None if self.place is not None else self._take_place(now)
        if refusal is not None:
            # At once, with nothing kept for the time that it may take to end.
            self._home.host.refused(self._home.name, self.address, refusal)
            self._answer(refusal_response(refusal))
            transport.close()
            return
        since = now if self.place is None else self.place.since
        self._arm(self._home.host.timeouts.handshake - (now - since), self._late)

    def _take_place(self, now: float) -> Refusal | None:
        """Count the handshake that begins; say whether it is one too many.

        The clients of a trusted proxy are counted apart, each once it is known.
        """
        place = self._home.half_open.enter(now)
        if isinstance(place, Refusal):
            return place
        self.place = place
        address = self.address
        return None if self._home.proxies.trusts(address) else place.belongs_to(address)

    def data_received(self, data: bytes) -> None:
        """Read on until the head is there."""
        if self._answered:
            return
        try:
            complete = self._reader.feed(data)
            if complete is not None:
                self._serve(*complete)
        except Rejected as rejected:
            self._reject(rejected)

    def cut(self) -> None:
        """End at once, unless it is answered and has a deadline for the rest."""
        if not self._answered and self._socket is not None:
            self._socket.abort()

    def _serve(self, raw: bytes, rest: bytes) -> None:
        """Do what a request wants.

        Args:
            raw: Its head.
            rest: What came behind it.

        Raises:
            Rejected: It is answered with an error.
        """
        head = self._parse_head(raw)
        self._answer(self._plain(head), head.method)

    def _parse_head(self, raw: bytes) -> Head:
        """Return a head taken apart, and find out whose it is.

        Raises:
            Rejected: It breaks the grammar or a bound, or its client has too many
                handshakes under way.
        """
        head = parse_head(raw)
        self._client = self._home.proxies.client_of(
            self.address, head.values("forwarded"), head.values("x-forwarded-for")
        )
        refusal = None if self.place is None else self.place.belongs_to(self._client)
        if refusal is not None:
            wait = {"Retry-After": str(refusal.retry_after)}
            raise Rejected(refusal.status, refusal.reason, wait)
        return head

    def _plain(self, head: Head) -> HttpResponse:
        """Return the answer to a plain request.

        Raises:
            Rejected: 400 or 405.
        """
        is_read = head.method in ("GET", "HEAD")
        if is_read and head.has_body:
            raise Rejected(400, f"a {head.method} with a body")
        request = self._request(head)
        if not is_read:
            request = replace(request, method="HEAD")
        response = self._home.host.http(request)
        if not is_read and response.status != 404:
            raise Rejected(405, "only GET and HEAD", {"Allow": "GET, HEAD"})
        return response

    def _request(self, head: Head, body: bytes = b"") -> HttpRequest:
        """Return what the host is asked.

        Raises:
            Rejected: The query is malformed.
        """
        headers: dict[str, str] = {}
        for name, value in head.headers:
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return HttpRequest(
            method=head.method,
            path=head.path,
            query=dict(parse_query(head.query)),
            headers=headers,
            address=self.address,
            body=body,
        )

    def _late(self) -> None:
        """End what is not served in time."""
        if not self._answered:
            refusal = Refusal(408, CloseCode.POLICY_VIOLATION, "no request in time")
            self._home.host.refused(self._home.name, self.address, refusal)
        if self._socket is not None:
            self._socket.abort()

    def _reject(self, rejected: Rejected) -> None:
        """Turn a request away that the host has not judged."""
        refusal = Refusal(rejected.status, CloseCode.PROTOCOL_ERROR, rejected.reason)
        self._home.host.refused(self._home.name, self.address, refusal)
        self._refuse(refusal, rejected)

    def _refuse(self, refusal: Refusal, rejected: Rejected | None = None) -> None:
        """Answer with a refusal; a peer that does not end then is cut."""
        headers = rejected.headers if rejected is not None else None
        self._answer(refusal_response(refusal, headers))
        self._abort_in(self._home.host.timeouts.close)

    def _answer(self, response: HttpResponse, method: str = "GET") -> None:
        """Write the one answer that a connection gets."""
        self._answered = True
        if self._socket is not None:
            self._socket.write(encode_response(response, with_body=method != "HEAD"))
            self._half_close()


class HttpTransport(StreamTransport):
    """Plain HTTP on a port of its own; arguments as in `StreamTransport`."""

    name = "http"
    schemes = ("http", "https")

    def connection(self) -> StreamConnection:
        """Return the protocol for a socket that was just accepted."""
        return HttpDoor(self)
