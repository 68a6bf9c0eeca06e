"""The admin listener: what operators may read, and who is one.

It listens on an address of its own, so that no client of the gateway reaches it by
chance. What is read is the inspector's, as JSON.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from wsprism_core.gateway.inspector import Inspector
from wsprism_core.logs import EventLog
from wsprism_core.metrics import Metrics
from wsprism_core.policy.origins import OriginPolicy, is_loopback
from wsprism_core.protocol.layout import CloseCode
from wsprism_core.realtime.clock import Timer
from wsprism_core.realtime.wheel import Wheel
from wsprism_core.transports.port import (
    ConnectRequest,
    Grant,
    HttpRequest,
    HttpResponse,
    Refusal,
    Transport,
    TransportTimeouts,
)

__all__ = ("ADMIN_PREFIX", "AdminGuard", "AdminHost", "AdminListener")

#: What the path of every request begins with.
ADMIN_PREFIX: Final = "/v1/admin"
_SESSION: Final = f"{ADMIN_PREFIX}/sessions/"
_HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class AdminGuard:
    """Tells operators from others.

    Args:
        key: What a request must bring as `Authorization: Bearer KEY`. None lets in
            whoever is on this machine, but no web page: neither one of another site nor
            one whose name was made to lead here (DNS rebinding).
    """

    def __init__(self, key: str | None) -> None:
        self._key = None if key is None else key.encode()
        self._origins = OriginPolicy(None, loopback_only=True)

    def refusal(self, headers: Mapping[str, str]) -> tuple[int, str] | None:
        """Return status and reason where a request is refused.

        Args:
            headers: Names in lower case.
        """
        if self._key is not None:
            scheme, _, given = headers.get("authorization", "").partition(" ")
            # A header's bytes are kept as Latin-1.
            found = given.strip().encode("latin-1", "replace")
            if scheme.lower() == "bearer" and hmac.compare_digest(found, self._key):
                return None
            return 401, "an API key is needed: Authorization: Bearer KEY"
        host, _, port = headers.get("host", "").rpartition(":")
        if not port.isdigit():
            # No port, or the end of an IPv6 address.
            host = headers.get("host", "")
        if not is_loopback(host.removeprefix("[").removesuffix("]")):
            return 403, "without an API key, only names of this machine are answered"
        origins = [headers["origin"]] if "origin" in headers else []
        if not self._origins.allows(origins):
            return 403, "without an API key, no page of another site is answered"
        return None


@dataclass(frozen=True, slots=True)
class AdminListener:
    """Where operators are let in.

    Args:
        transport: What listens for HTTP.
        guard: Who is let in.
    """

    transport: Transport
    guard: AdminGuard


class AdminHost:
    """Answers the requests of operators; a transport's host that admits no connection.

    Args:
        inspector: What is read.
        guard: Who may.
        metrics: Where requests are counted.
        timeouts: Deadlines that the transport keeps.
        wheel: Where they are put off.
    """

    def __init__(
        self,
        inspector: Inspector,
        guard: AdminGuard,
        metrics: Metrics,
        timeouts: TransportTimeouts,
        wheel: Wheel,
    ) -> None:
        self._inspector = inspector
        self._wheel = wheel
        self._guard = guard
        self._metrics = metrics
        self.timeouts = timeouts
        self._log = EventLog("admin")
        self._routes: dict[str, Callable[[HttpRequest], object]] = {
            f"{ADMIN_PREFIX}/overview": lambda request: inspector.overview(),
            f"{ADMIN_PREFIX}/sessions": lambda request: inspector.sessions(
                **_page(request)
            ),
            f"{ADMIN_PREFIX}/rooms": lambda request: inspector.rooms(**_page(request)),
        }

    def http(self, request: HttpRequest) -> HttpResponse:
        """Answer a request."""
        refusal = self._guard.refusal(request.headers)
        if refusal is not None:
            return self._refuse(request, *refusal)
        try:
            found = self._find(request)
        except ValueError as error:
            return self._answer(400, {"error": str(error)})
        if found is None:
            return self._answer(404, {"error": "there is nothing by this path"})
        return self._answer(200, found)

    def refused(self, transport: str, address: str, refusal: Refusal) -> None:
        """Note a request that the transport turned away by itself."""
        self._note(address, refusal.status, refusal.reason)

    def after(self, seconds: float, work: Callable[[], None]) -> Timer:
        """Run `work` once, on the gateway's wheel."""
        return self._wheel.after(seconds, work)

    def greet(self, transport: str, address: str) -> Refusal | None:
        """Let it go on: there is no limit of handshakes here."""

    def check_origin(self, origins: Sequence[str]) -> Refusal | None:
        """Let it go on: requests are judged as a whole."""

    def admit(
        self, request: ConnectRequest, decided: Callable[[Grant | Refusal], None]
    ) -> None:
        """Admit no connection."""
        decided(Refusal(404, CloseCode.POLICY_VIOLATION, "not found"))

    def _find(self, request: HttpRequest) -> object:
        """Return what a request asks for; None where there is nothing by its path.

        Raises:
            ValueError: A field of its query is wrong.
        """
        read = self._routes.get(request.path)
        if read is not None:
            return read(request)
        if request.path.startswith(_SESSION):
            return self._inspector.session(request.path.removeprefix(_SESSION))
        return None

    def _refuse(self, request: HttpRequest, status: int, reason: str) -> HttpResponse:
        self._note(request.address, status, reason)
        headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
        return self._encode(status, {"error": reason}, headers)

    def _note(self, address: str, status: int, reason: str) -> None:
        self._metrics.admin_requests[status] += 1
        self._log.warning("refused", address=address, status=status, reason=reason)

    def _answer(self, status: int, content: object) -> HttpResponse:
        self._metrics.admin_requests[status] += 1
        return self._encode(status, content, {})

    def _encode(
        self, status: int, content: object, headers: Mapping[str, str]
    ) -> HttpResponse:
        return HttpResponse(
            status,
            orjson.dumps(content) + b"\n",
            "application/json",
            {**_HEADERS, **headers},
        )


def _page(request: HttpRequest) -> dict[str, Any]:
    """Return which page a query asks for.

    Raises:
        ValueError: It does not say so as it should.
    """
    page: dict[str, Any] = {"cursor": request.query.get("cursor")}
    limit = request.query.get("limit")
    if limit is not None:
        if not (limit.isascii() and limit.isdigit() and len(limit) < 10):
            raise ValueError("limit must be a number")
        page["limit"] = int(limit)
    return page
