from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from wsprism_core.config import Config, GatewayConfig, LaneBounds, TenantConfig
from wsprism_core.settings.tree import NOTHING, below, key_paths, kinds, models_in


class One(BaseModel):
    a: int = 1


class Two(BaseModel):
    b: str = ""


def test_what_a_value_may_be() -> None:
    assert list(kinds(int)) == [int]
    assert list(kinds(Annotated[int | None, Field(ge=1)])) == [int, type(None)]
    assert list(kinds(Annotated[One | Two, Field()] | None)) == [One, Two, type(None)]


def test_the_sections_that_a_value_is_or_holds() -> None:
    assert list(models_in(int | One | None)) == [One]
    assert list(models_in(list[One] | dict[str, Two])) == [One, Two]
    assert list(models_in(tuple[int, ...])) == []


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (("gateway",), GatewayConfig),
        (("gateway", "lanes", "bulk"), LaneBounds),
        (("tenants", 3), TenantConfig),
        (("plugins", "chat", "max_length"), Any),
        (("gateway", "lane"), NOTHING),
        (("version", "more"), NOTHING),
    ],
)
def test_what_stands_at_a_path(path: tuple[str | int, ...], kind: object) -> None:
    here: Any = Config
    for part in path:
        here = below(here, part)
    assert here is kind


def test_the_paths_of_keys() -> None:
    paths = list(key_paths(Config))
    assert ("gateway", "handshake_limit", "per_ip_rps") in paths
    assert ("gateway", "admin", "api_key") in paths
    assert ("tenants",) in paths
    assert not any(path[:2] == ("tenants", "id") for path in paths)
