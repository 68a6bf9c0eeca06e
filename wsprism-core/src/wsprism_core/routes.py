"""Plain HTTP routes on the gateway's port."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from wsprism_core.transports.port import HttpRequest, HttpResponse

__all__ = ("Route",)


@dataclass(frozen=True, slots=True)
class Route:
    """A path that answers GET and HEAD.

    Args:
        path: Matched whole, such as `/metrics`.
        handle: Returns the answer; what it raises is a 500, counted under the plugin.
    """

    path: str
    handle: Callable[[HttpRequest], HttpResponse]
