"""Plain HTTP on the gateway's port: health, metrics and the plugins' routes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

from wsprism_core.gateway.failures import Failures
from wsprism_core.protocol.errors import WsPrismError
from wsprism_core.routes import Route
from wsprism_core.transports.port import HttpRequest, HttpResponse

__all__ = ("HttpRoutes", "RouteError")

Handle: TypeAlias = Callable[[HttpRequest], HttpResponse]

_NOT_FOUND: Final = HttpResponse(404, b"not found\n")


class RouteError(WsPrismError):
    """Two routes have the same path."""


class HttpRoutes:
    """Paths and who answers them.

    Args:
        draining: Whether the gateway lets nobody new in.
        metrics: Returns the Prometheus text and its content type; None answers
            `/metrics` with 404.
        routes: The plugins' routes, each with its plugin's name.
        failures: Where failures of plugins are noted.

    Raises:
        RouteError: A path is taken.
    """

    def __init__(
        self,
        *,
        draining: Callable[[], bool],
        metrics: Callable[[], tuple[bytes, str]] | None,
        routes: Iterable[tuple[str, Route]],
        failures: Failures,
    ) -> None:
        self._draining = draining
        self._metrics = metrics
        self._failures = failures
        self._routes: dict[str, tuple[str, Handle]] = {
            "/healthz": ("core", self._alive),
            "/readyz": ("core", self._ready),
            # The core's too where it is answered elsewhere.
            "/metrics": ("core", self._expose),
        }
        for plugin, route in routes:
            if route.path in self._routes:
                owner = self._routes[route.path][0]
                raise RouteError(
                    f"plugin {plugin!r}: the path {route.path} is taken by {owner!r}"
                )
            self._routes[route.path] = (plugin, route.handle)

    def answer(self, request: HttpRequest) -> HttpResponse:
        """Answer a request; 404 where nothing is known by its path."""
        found = self._routes.get(request.path)
        if found is None:
            return _NOT_FOUND
        plugin, handle = found
        answer = self._failures.guard(plugin, "route", handle)(request)
        if isinstance(answer, HttpResponse) and _can_be_sent(answer):
            return answer
        if answer is not None:
            wrong = TypeError(f"a route returned {answer!r:.100}")
            self._failures.note(plugin, "route", wrong)
        return HttpResponse(500, b"the route failed\n")

    def _alive(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(body=b"ok\n")

    def _ready(self, request: HttpRequest) -> HttpResponse:
        if self._draining():
            return HttpResponse(503, b"draining\n")
        return HttpResponse(body=b"ready\n")

    def _expose(self, request: HttpRequest) -> HttpResponse:
        if self._metrics is None:
            return _NOT_FOUND
        body, content_type = self._metrics()
        return HttpResponse(body=body, content_type=content_type)


def _can_be_sent(answer: Any) -> bool:
    """Whether its parts are what their types say, and fit a header (RFC 9110, 5.5)."""
    texts = [answer.content_type]
    for header in answer.headers.items():
        texts += header
    return (
        isinstance(answer.status, int)
        and 200 <= answer.status <= 599
        and isinstance(answer.body, bytes)
        and all(
            isinstance(text, str) and text.isascii() and text.isprintable()
            for text in texts
        )
    )
