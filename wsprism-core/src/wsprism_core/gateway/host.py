"""The gateway as transports see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from wsprism_core.api import Identity
from wsprism_core.gateway.boundary import After, Connect
from wsprism_core.gateway.connection import ConnectionParts
from wsprism_core.gateway.http import HttpRoutes
from wsprism_core.policy.tenant import Tenant
from wsprism_core.realtime.clock import Timer
from wsprism_core.transports.port import (
    ConnectRequest,
    Grant,
    HttpRequest,
    HttpResponse,
    Link,
    Receiver,
    Refusal,
    TransportTimeouts,
)

__all__ = ("GatewayHost",)


class GatewayHost:
    """Judges connections for transports and answers plain requests.

    Args:
        parts: What connections share.
        connect: Makes a connection.
        after: Puts off what comes of a transport's deadlines.
        http: The plain routes.
        timeouts: Deadlines that transports keep.
    """

    def __init__(
        self,
        parts: ConnectionParts,
        connect: Connect,
        after: After,
        http: HttpRoutes,
        timeouts: TransportTimeouts,
    ) -> None:
        self._parts = parts
        self._connect = connect
        self._after = after
        self._http = http
        self.timeouts = timeouts

    def after(self, seconds: float, work: Callable[[], None]) -> Timer:
        """Run `work` once, on the gateway's wheel."""
        return self._after(seconds, work)

    def greet(self, transport: str, address: str) -> Refusal | None:
        """Count a handshake from `address`; say whether it is one too many."""
        return self._parts.admission.greet(transport, address)

    def check_origin(self, origins: Sequence[str]) -> Refusal | None:
        """Judge the Origin headers of a handshake."""
        return self._parts.admission.check_origin(origins)

    def admit(
        self,
        request: ConnectRequest,
        decided: Callable[[Grant | Refusal], None],
    ) -> None:
        """Judge a connection; `decided` is called once, now or in a later turn."""
        admission = self._parts.admission
        if request.ticket is None:
            refusal = admission.before_ticket(request)
            if refusal is not None:
                admission.note_refusal(request, refusal.status, refusal.reason)
            decided(self._grant(request, None) if refusal is None else refusal)
            return

        def judged(verdict: tuple[Tenant, Identity] | Refusal) -> None:
            if isinstance(verdict, Refusal):
                admission.note_refusal(request, verdict.status, verdict.reason)
                decided(verdict)
            else:
                decided(self._grant(request, verdict))

        admission.judge(request, request.ticket, judged)

    def _grant(
        self, request: ConnectRequest, verdict: tuple[Tenant, Identity] | None
    ) -> _Grant:
        return _Grant(self._parts, self._connect, request, verdict)

    def http(self, request: HttpRequest) -> HttpResponse:
        """Answer a plain request."""
        return self._http.answer(request)

    def refused(self, transport: str, address: str, refusal: Refusal) -> None:
        """Note a connection that a transport turned away by itself."""
        request = ConnectRequest(transport=transport, address=address)
        self._parts.admission.note_refusal(request, refusal.status, refusal.reason)


class _Grant:
    """Leave to complete the handshake, with or without a ticket that was good."""

    def __init__(
        self,
        parts: ConnectionParts,
        connect: Connect,
        request: ConnectRequest,
        verdict: tuple[Tenant, Identity] | None,
    ) -> None:
        self._connect = connect
        self._request = request
        self._verdict = verdict
        self.max_message_bytes = (
            parts.admission.pre_auth_bytes
            if verdict is None
            else verdict[0].limits.max_frame_bytes
        )

    def open(self, link: Link) -> Receiver:
        """Attach the link."""
        connection = self._connect(link, self._request)
        if self._verdict is None:
            connection.await_ticket()
        else:
            connection.begin(*self._verdict, ref=None)
        return connection

    def release(self) -> None:
        """Give it back unused: nothing was set aside for it."""
