"""The admin listener: who is an operator, and how he is answered.

It listens on an address of its own, so that no client of the gateway reaches it by
chance. What it answers stands in the table of `admin_routes`.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import orjson
from pydantic import ValidationError

from wsprism_core.gateway.admin_routes import ActionRoute, AdminRoute, TextRoute
from wsprism_core.logs import EventLog
from wsprism_core.metrics import Metrics
from wsprism_core.policy.origins import OriginPolicy, is_loopback
from wsprism_core.protocol.codecs import load_json
from wsprism_core.protocol.errors import ProtocolError
from wsprism_core.protocol.layout import CloseCode, ErrorCode
from wsprism_core.realtime.clock import Timer
from wsprism_core.realtime.wheel import Wheel
from wsprism_core.settings.faults import faults_of
from wsprism_core.transports.port import (
    ConnectRequest,
    Grant,
    HttpRequest,
    HttpResponse,
    Refusal,
    Transport,
    TransportTimeouts,
)

__all__ = ("AdminGuard", "AdminHost", "AdminListener")

_NOT_FOUND: Final = "there is nothing by this path"
_HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class _Outcome(StrEnum):
    """What came of what an operator wanted done."""

    DONE = "done"
    #: What was asked for is wrong.
    REFUSED = "refused"
    #: There was no room for it, or a defect.
    FAILED = "failed"


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
        routes: What it answers.
        guard: Who may.
        metrics: Where requests and actions are counted.
        timeouts: Deadlines that the transport keeps.
        wheel: Where they are put off.
    """

    def __init__(
        self,
        routes: Iterable[AdminRoute],
        guard: AdminGuard,
        metrics: Metrics,
        timeouts: TransportTimeouts,
        wheel: Wheel,
    ) -> None:
        self._wheel = wheel
        self._guard = guard
        self._metrics = metrics
        self.timeouts = timeouts
        self._log = EventLog("admin")
        self._routes = {_pattern(route.path): route for route in routes}
        metrics.admin_actions.foresee(
            (route.name, outcome)
            for route in self._routes.values()
            if isinstance(route, ActionRoute)
            for outcome in _Outcome
        )

    def http(self, request: HttpRequest) -> HttpResponse:
        """Answer what reads, and what is neither GET nor POST."""
        found = self._find(request)
        if isinstance(found, HttpResponse):
            return found
        route, name = found
        if isinstance(route, ActionRoute) or request.method not in ("GET", "HEAD"):
            return self._wrong_method(route)
        if isinstance(route, TextRoute):
            return self._text(*route.read())
        try:
            content = route.read(request, name)
        except ValueError as error:
            return self._error(400, str(error))
        if content is None:
            return self._error(404, _NOT_FOUND)
        return self._answer(200, content)

    def judge(self, request: HttpRequest) -> HttpResponse | None:
        """Refuse a POST of somebody else, or to nothing, before its body is read."""
        found = self._find(request)
        return found if isinstance(found, HttpResponse) else None

    def post(
        self, request: HttpRequest, answer: Callable[[HttpResponse], None]
    ) -> None:
        """Do what is posted; `answer` is called once, now or in a later turn."""
        found = self._find(request)
        if isinstance(found, HttpResponse):
            answer(found)
            return
        route, _ = found
        if not isinstance(route, ActionRoute):
            answer(self._wrong_method(route))
            return
        kind = request.headers.get("content-type", "").partition(";")[0]
        if kind.strip().lower() != "application/json":
            answer(self._turn_down(route, request, 415, "post application/json"))
            return
        try:
            wanted = route.body.model_validate(load_json(request.body))
            route.act(
                wanted,
                lambda content: answer(self._outcome(route, request, wanted, content)),
            )
        except ValidationError as error:
            lines = [str(fault) for fault in faults_of(error, route.body)]
            # What is wrong as a whole has no path.
            text = "; ".join(line.removeprefix("the file: ") for line in lines)
            answer(self._turn_down(route, request, 400, text))
        except ProtocolError as error:
            answer(self._not_acted(route, request, error))
        except ValueError as error:
            answer(self._turn_down(route, request, 400, str(error)))
        except Exception as error:
            answer(self._failed(route, request, error))

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

    def _find(self, request: HttpRequest) -> tuple[AdminRoute, str] | HttpResponse:
        """Return a route, and what stands at its end, or why there is none."""
        refusal = self._guard.refusal(request.headers)
        if refusal is not None:
            return self._refuse(request, *refusal)
        route = self._routes.get(request.path)
        if route is not None and not route.path.endswith("}"):
            return route, ""
        before, _, last = request.path.rpartition("/")
        route = self._routes.get(f"{before}/{{}}")
        if route is None:
            return self._error(404, _NOT_FOUND)
        return route, last

    def _outcome(
        self, route: ActionRoute, request: HttpRequest, wanted: Any, content: Any
    ) -> HttpResponse:
        """Return the answer to what was done, or to what turned out not to be."""
        if isinstance(content, ProtocolError):
            return self._not_acted(route, request, content)
        return self._acted(route, request, wanted, content)

    def _not_acted(
        self, route: ActionRoute, request: HttpRequest, error: ProtocolError
    ) -> HttpResponse:
        """Tell what is wrong with the request, or that there is no room for it now."""
        if error.code is not ErrorCode.RESOURCE_EXHAUSTED:
            return self._turn_down(route, request, 400, error.msg)
        return self._turn_down(route, request, 503, error.msg, _Outcome.FAILED)

    def _acted(
        self, route: ActionRoute, request: HttpRequest, wanted: Any, content: Any
    ) -> HttpResponse:
        """Count and log what was done; return the answer."""
        self._metrics.admin_actions[route.name, _Outcome.DONE] += 1
        told = {}
        for field in route.logged:
            value = getattr(wanted, field, None)
            value = getattr(content, field, None) if value is None else value
            if value is not None:
                told[field] = value
        self._log.info("acted", action=route.name, address=request.address, **told)
        return self._answer(200, content)

    def _turn_down(
        self,
        route: ActionRoute,
        request: HttpRequest,
        status: int,
        reason: str,
        outcome: _Outcome = _Outcome.REFUSED,
    ) -> HttpResponse:
        """Count and log what was not done; what was posted is told to nobody else."""
        self._metrics.admin_actions[route.name, outcome] += 1
        self._log.warning(
            "not_done", action=route.name, address=request.address, status=status
        )
        return self._error(status, reason)

    def _failed(
        self, route: ActionRoute, request: HttpRequest, error: Exception
    ) -> HttpResponse:
        """Count and log a defect; its text may hold what was posted."""
        self._metrics.admin_actions[route.name, _Outcome.FAILED] += 1
        kind = type(error).__name__
        self._log.error(
            "action_failed", action=route.name, address=request.address, error=kind
        )
        return self._error(500, "it failed; the log says with what")

    def _wrong_method(self, route: AdminRoute) -> HttpResponse:
        allowed = "POST" if isinstance(route, ActionRoute) else "GET, HEAD"
        return self._answer(405, {"error": f"only {allowed}"}, {"Allow": allowed})

    def _refuse(self, request: HttpRequest, status: int, reason: str) -> HttpResponse:
        self._note(request.address, status, reason)
        headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
        return self._encode(status, {"error": reason}, headers)

    def _note(self, address: str, status: int, reason: str) -> None:
        self._metrics.admin_requests[status] += 1
        self._log.warning("refused", address=address, status=status, reason=reason)

    def _text(self, text: bytes, content_type: str) -> HttpResponse:
        self._metrics.admin_requests[200] += 1
        return HttpResponse(200, text, content_type, _HEADERS)

    def _error(self, status: int, reason: str) -> HttpResponse:
        return self._answer(status, {"error": reason})

    def _answer(
        self, status: int, content: object, headers: Mapping[str, str] | None = None
    ) -> HttpResponse:
        self._metrics.admin_requests[status] += 1
        return self._encode(status, content, headers or {})

    def _encode(
        self, status: int, content: object, headers: Mapping[str, str]
    ) -> HttpResponse:
        return HttpResponse(
            status,
            orjson.dumps(content) + b"\n",
            "application/json",
            {**_HEADERS, **headers},
        )


def _pattern(path: str) -> str:
    """Return a path with nothing between its braces."""
    before, brace, _ = path.partition("{")
    return f"{before}{{}}" if brace else path
