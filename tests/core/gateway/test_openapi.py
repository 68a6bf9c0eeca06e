from __future__ import annotations

import re
from typing import Any
from unittest.mock import Mock

import orjson

from support.watched import watched
from wsprism_core.gateway.admin_routes import (
    OPENAPI_PATH,
    ActionRoute,
    TextRoute,
    admin_routes,
)
from wsprism_core.gateway.inspector import Inspector
from wsprism_core.gateway.openapi import openapi
from wsprism_core.gateway.operator import Operator
from wsprism_core.gateway.ticket_office import TicketOffice

ROUTES = admin_routes(
    Mock(Inspector), Mock(Operator), Mock(TicketOffice), Mock(), Mock()
)
DOCUMENT = openapi(ROUTES)


def references(value: Any) -> set[str]:
    return set(re.findall(r'"\$ref":"#/components/schemas/(\w+)"', dumped(value)))


def dumped(value: Any) -> str:
    return orjson.dumps(value).decode()


def test_every_route_is_described_that_answers_json() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    described = [route for route in ROUTES if not isinstance(route, TextRoute)]
    assert len(described) == len(ROUTES) - 1
    assert list(DOCUMENT["paths"]) == [route.path for route in described]
    for route in described:
        is_action = isinstance(route, ActionRoute)
        (method,) = DOCUMENT["paths"][route.path]
        assert method == ("post" if is_action else "get")
        operation = DOCUMENT["paths"][route.path][method]
        assert operation["operationId"] == route.name
        assert ("requestBody" in operation) == is_action
        assert {"200", "400", "401", "403", "404", "405"} <= set(operation["responses"])


def test_every_schema_is_there_and_used() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert references(DOCUMENT) == set(schemas)
    assert schemas["PublishRequest"]["additionalProperties"] is False
    assert schemas["PublishRequest"]["required"] == ["svc", "type"]


def test_what_stands_in_a_path_is_a_parameter() -> None:
    (sid,) = DOCUMENT["paths"]["/v1/admin/sessions/{sid}"]["get"]["parameters"]
    assert (sid["name"], sid["in"], sid["required"]) == ("sid", "path", True)


def test_pages_have_a_limit_and_a_cursor() -> None:
    for path in ("/v1/admin/sessions", "/v1/admin/rooms"):
        parameters = DOCUMENT["paths"][path]["get"]["parameters"]
        assert [one["name"] for one in parameters] == ["limit", "cursor"]


async def test_it_is_served_behind_the_guard() -> None:
    async with watched() as it:
        answer = await it.ask(OPENAPI_PATH)
        assert answer.status == 200
        assert orjson.loads(answer.body) == orjson.loads(dumped(DOCUMENT))
    async with watched("k3y-0123456789abcdef") as it:
        assert (await it.ask(OPENAPI_PATH)).status == 401
