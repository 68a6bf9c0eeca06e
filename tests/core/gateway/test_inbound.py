from __future__ import annotations

from typing import Any

import pytest

from support.services import LAB, PICKY, Lab
from wsprism_core.config import TenantConfig
from wsprism_core.gateway.catalog import Catalog
from wsprism_core.gateway.inbound import InboundTable
from wsprism_core.manifest import RoomRule
from wsprism_core.metrics import Metrics
from wsprism_core.plugins import PluginSet
from wsprism_core.policy.tenant import Tenant
from wsprism_core.routing import Routes, build_routes


@pytest.fixture(scope="module")
def routes() -> Routes:
    return build_routes(PluginSet.load([], extra=[Lab]))


def table(routes: Routes, metrics: Metrics, **policy: Any) -> InboundTable:
    config = TenantConfig.model_validate({"id": "acme", "policy": policy})
    services = [route.service for route in routes.services.values()]
    return InboundTable(
        routes,
        {("lab", "picky"): lambda data: data},
        Catalog(services, routes.lanes),
        Tenant(config, 0.0),
        metrics,
    )


def test_what_the_allowlist_lets_pass_has_an_entry(routes: Routes) -> None:
    found = table(
        routes, Metrics(), ext_allowlist=["lab:picky"], hot_allowlist=[f"{LAB}:{PICKY}"]
    )
    assert list(found.text) == [("lab", "picky")]
    assert list(found.frames) == [LAB << 8 | PICKY]


def test_nothing_is_let_pass_by_default(routes: Routes) -> None:
    found = table(routes, Metrics())
    assert (found.text, found.frames) == ({}, {})


def test_an_entry_has_what_the_manifest_says(routes: Routes) -> None:
    found = table(routes, Metrics(), ext_allowlist=["lab:*"], hot_allowlist=["*:*"])
    entry = found.text["lab", "picky"]
    assert entry.svc == "lab"
    assert entry.room_rule is RoomRule.MEMBER
    assert entry.max_bytes == 150
    assert entry.check is not None
    frame = found.frames[LAB << 8 | PICKY]
    assert frame.layout is not None
    assert frame.max_bytes == 4
    assert frame.needs_room


def test_types_of_one_service_are_counted_together(routes: Routes) -> None:
    metrics = Metrics()
    found = table(routes, metrics, ext_allowlist=["*:*"], hot_allowlist=["*:*"])
    for entry in found.text.values():
        entry.tally.count += 1
    found.frames[LAB << 8 | PICKY].tally.count += 1
    found.room_tally.count += 3
    assert metrics.messages == {
        ("acme", "lab", "text"): len(found.text),
        ("acme", "lab", "hot"): 1,
        ("acme", "room", "text"): 3,
    }
