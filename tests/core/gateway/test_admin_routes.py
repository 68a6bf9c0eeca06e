from __future__ import annotations

from unittest.mock import Mock

from wsprism_core.gateway.admin_routes import (
    OPENAPI_PATH,
    ActionRoute,
    ReadRoute,
    TextRoute,
    admin_routes,
)
from wsprism_core.gateway.inspector import Inspector
from wsprism_core.gateway.operator import Operator
from wsprism_core.gateway.ticket_office import TicketOffice

ROUTES = admin_routes(
    Mock(Inspector), Mock(Operator), Mock(TicketOffice), Mock(), Mock()
)


def test_every_route_has_a_path_and_a_name_of_its_own() -> None:
    assert len({route.path for route in ROUTES}) == len(ROUTES)
    assert len({route.name for route in ROUTES}) == len(ROUTES)


def test_reading_and_doing_are_apart() -> None:
    for route in ROUTES:
        is_read = route.path.startswith("/v1/admin/") or route.path == OPENAPI_PATH
        assert isinstance(route, ReadRoute) == is_read
        assert isinstance(route, TextRoute) == (route.path == "/metrics")


def test_no_line_of_the_log_may_hold_a_payload() -> None:
    for route in ROUTES:
        if isinstance(route, ActionRoute):
            assert not {"data", "ticket", "users", "key"} & set(route.logged)
