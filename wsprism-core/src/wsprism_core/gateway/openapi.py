"""The OpenAPI document of the admin listener, made of its table of routes."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version
from typing import Any, Final, TypeAlias, cast

from pydantic import TypeAdapter

from wsprism_core.gateway.admin_routes import (
    ActionRoute,
    AdminRoute,
    ReadRoute,
    TextRoute,
)
from wsprism_core.gateway.inspector import MAX_PAGE

__all__ = ("REFUSALS", "REFUSED_BODIES", "openapi")

#: What the document tells of.
_JsonRoute: TypeAlias = ReadRoute | ActionRoute

#: What every route may answer beside what it is for, by status.
REFUSALS: Final = {
    400: "The request, its query or its body is wrong; the text says where.",
    401: "The key is missing or wrong.",
    403: "Without a key: the `Host` is no name of this machine, or the `Origin` is "
    "another site's.",
    404: "There is nothing by this path, such as a session that is gone.",
    405: "The path answers another method; `Allow` says which.",
}
#: The same for routes that take a body.
REFUSED_BODIES: Final = {
    411: "The body's length is not told in `Content-Length`.",
    413: "The body is over 64 KiB.",
    415: "The body is not `application/json`.",
    500: "It failed by a defect; the log says with what.",
    503: "The message could not be stored, and nobody got it; or it was not done in "
    "time, and may or may not be done later. The text says which.",
}
#: Refusals of requests that did not get as far as a route: one line of text.
_BEFORE_ROUTES: Final = frozenset({400, 411, 413, 503})
_ERROR: Final = {
    "type": "object",
    "properties": {"error": {"type": "string"}},
    "required": ["error"],
}
_TEXT: Final = {"text/plain": {"schema": {"type": "string"}}}
_PAGING: Final = (
    {
        "name": "limit",
        "in": "query",
        "description": "How many at the most.",
        "schema": {"type": "integer", "minimum": 1, "maximum": MAX_PAGE},
    },
    {
        "name": "cursor",
        "in": "query",
        "description": "The `next` of the page before.",
        "schema": {"type": "string"},
    },
)


def openapi(routes: Iterable[AdminRoute]) -> dict[str, Any]:
    """Return an OpenAPI 3.1 document.

    Args:
        routes: What the listener answers; text is left out.
    """
    described = tuple(one for one in routes if not isinstance(one, TextRoute))
    schemas, definitions = _schemas(described)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "wsPrism admin listener",
            "version": version("wsprism-core"),
            "description": "What operators read of a gateway, and what they may do.",
        },
        "security": [{"key": []}],
        "paths": {route.path: _path_item(route, schemas) for route in described},
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": {**definitions, "Error": _ERROR},
        },
    }


def _schemas(
    routes: tuple[_JsonRoute, ...],
) -> tuple[dict[tuple[str, str], Any], dict[str, Any]]:
    """Return the schemas of bodies and answers by path, and what they refer to."""
    adapters: list[tuple[str, Any, TypeAdapter[Any]]] = []
    for route in routes:
        adapters.append((route.path, "serialization", TypeAdapter(route.answers)))
        if isinstance(route, ActionRoute):
            adapters.append((route.path, "validation", TypeAdapter(route.body)))
    schemas, rest = TypeAdapter.json_schemas(
        cast("Any", adapters), ref_template="#/components/schemas/{model}"
    )
    found = cast("dict[tuple[str, str], Any]", schemas)
    return found, rest.get("$defs", {})


def _path_item(
    route: _JsonRoute, schemas: dict[tuple[str, str], Any]
) -> dict[str, Any]:
    answer = schemas[route.path, "serialization"]
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "responses": _responses(route, answer),
    }
    parameters: list[Any] = []
    if route.path.endswith("}"):
        parameters.append(
            {
                "name": route.path.rpartition("{")[2][:-1],
                "in": "path",
                "required": True,
                "schema": {"type": "string"},
            }
        )
    if isinstance(route, ReadRoute):
        if route.is_paged:
            parameters += _PAGING
        if parameters:
            operation["parameters"] = parameters
        return {"get": operation}
    body = schemas[route.path, "validation"]
    operation["requestBody"] = {"required": True, "content": _json(body)}
    return {"post": operation}


def _responses(route: _JsonRoute, answer: Any) -> dict[str, Any]:
    refusals = dict(REFUSALS)
    if isinstance(route, ActionRoute):
        refusals |= REFUSED_BODIES
    error = _json({"$ref": "#/components/schemas/Error"})
    told = {"200": {"description": route.summary, "content": _json(answer)}}
    for status, text in refusals.items():
        content = error | _TEXT if status in _BEFORE_ROUTES else error
        told[str(status)] = {"description": text, "content": content}
    return told


def _json(schema: Any) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
