"""The page of the admin listener says what its table of routes says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from unittest.mock import Mock

import pytest

from wsprism_core.gateway.admin_routes import ActionRoute, AdminRoute, admin_routes
from wsprism_core.gateway.inspector import Inspector
from wsprism_core.gateway.openapi import REFUSALS, REFUSED_BODIES
from wsprism_core.gateway.operator import Operator
from wsprism_core.gateway.ticket_office import TicketOffice

PAGE: Final = (Path(__file__).parents[2] / "docs/reference/admin.md").read_text("utf-8")
ROUTES: Final = admin_routes(
    Mock(Inspector), Mock(Operator), Mock(TicketOffice), Mock(), Mock()
)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_every_route_is_on_the_page(route: AdminRoute) -> None:
    if not isinstance(route, ActionRoute):
        assert f"`GET {route.path}" in PAGE
        return
    section = PAGE.partition(f"### `POST {route.path}`")[2].partition("\n##")[0]
    assert section
    for field in route.body.model_fields:
        assert f"`{field}`" in section, field
    for field in route.answers.__dataclass_fields__:
        assert re.search(rf"`{field}`|\"{field}\"", section), field


def test_no_route_is_on_the_page_that_there_is_not() -> None:
    told = set(re.findall(r"`(?:GET|POST) (/[\w./{}]+)", PAGE))
    assert told == {route.path for route in ROUTES}


def test_every_refusal_is_on_the_page() -> None:
    for status, text in {**REFUSALS, **REFUSED_BODIES}.items():
        assert f"| {status} | {text} |" in PAGE
