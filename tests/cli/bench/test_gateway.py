from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from wsprism_cli.bench.gateway import (
    LaneCounts,
    OwnGateway,
    configuration,
    target_of,
)
from wsprism_cli.bench.scenarios import SCENARIOS
from wsprism_core.config import Config
from wsprism_core.plugins import PluginSet

if TYPE_CHECKING:
    from asyncio.subprocess import Process


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_configuration_is_one(name: str) -> None:
    scenario = SCENARIOS[name]
    told = configuration(scenario.plugins, scenario.quotes_per_s)
    config = Config.model_validate(told)
    policy = config.tenants[0].policy
    assert policy.rate_limit_rps > 1_000_000
    loaded = PluginSet.load(scenario.plugins).loaded
    for info in loaded:
        for service in info.services:
            if service.config is not None:
                service.config.model_validate(told["plugins"].get(info.name, {}))
    assert set(told["plugins"]) <= {info.name for info in loaded}


@pytest.mark.parametrize(
    ("url", "host", "port", "path", "tls"),
    [
        ("ws://127.0.0.1:8080/v1/ws", "127.0.0.1", 8080, "/v1/ws", False),
        ("ws://localhost", "localhost", 80, "/v1/ws", False),
        ("wss://[::1]/x/", "::1", 443, "/x", True),
    ],
)
def test_a_url_says_where(url: str, host: str, port: int, path: str, tls: bool) -> None:
    target = target_of(url, "acme", "dev:b{n}")
    assert (target.host, target.port, target.path) == (host, port, path)
    assert target.tls is tls


@pytest.mark.parametrize(
    "url", ["http://x", "x:1", "ws://", "ws://x/?ticket=k", "tcp://x:1"]
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"must begin|has no host|has a query"):
        target_of(url, None, "dev")


def test_the_ticket_is_in_the_header_and_not_shown() -> None:
    target = target_of("ws://[::1]:81", "a c", "secret{n}")
    request = target.request(7)
    assert request.startswith(b"GET /v1/ws?tenant=a%20c HTTP/1.1\r\nHost: [::1]:81\r\n")
    assert b"Authorization: Bearer secret7\r\n" in request
    assert "secret" not in repr(target)


def test_counters_are_what_was_added() -> None:
    assert LaneCounts(5, 4, 3, 2).since(LaneCounts(1, 1, 1, 1)) == LaneCounts(
        4, 3, 2, 1
    )


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("", "it said nothing"),
        ("a warning\nKilled\n\n", "Killed"),
        ("error: old\nerror: no plugin is named x\n", "no plugin is named x"),
        (
            "warning: w\nerror: x.yaml is wrong:\n  a: 1\n  b: 2\nsys:1: Warning\n",
            "x.yaml is wrong:\n  a: 1\n  b: 2",
        ),
    ],
)
def test_the_last_error_is_told_with_its_reasons(
    tmp_path: Path, log: str, words: str
) -> None:
    path = tmp_path / "log"
    path.write_text(log)
    process = cast("Process", None)
    target = target_of("ws://x", None, "dev")
    assert OwnGateway(process, target, path).last_words() == words
