"""The files that operators copy from the documentation say what is true."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from configparser import ConfigParser
from itertools import chain
from pathlib import Path
from typing import Any, Final

import pytest

from support.exposed import every_metric
from wsprism_core.config import GatewayConfig
from wsprism_core.options import RUN_OPTIONS
from wsprism_core.testing import GatewayHarness
from wsprism_core.transports.port import HttpRequest

FILES: Final = Path(__file__).parents[2] / "docs/how-to"
DASHBOARD: Final = json.loads((FILES / "grafana-dashboard.json").read_text("utf-8"))
PANELS: Final[list[dict[str, Any]]] = DASHBOARD["panels"]
METRIC: Final = re.compile(r"\bwsprism_\w+")
#: What Prometheus adds to every sample.
OF_PROMETHEUS: Final = {"instance"}


def expressions(panel: dict[str, Any]) -> list[str]:
    return [target["expr"] for target in panel["targets"]]


def labels_by_sample() -> dict[str, set[str]]:
    """Return the labels of every sample that a gateway may expose."""
    return {
        sample.name: set(sample.labels)
        for family in every_metric()
        for sample in family.samples
    }


async def test_every_metric_of_the_dashboard_is_exposed(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway() as gw:
        gw.metrics.tls_expires_at = 1.0
        request = HttpRequest("GET", "/metrics", {}, {}, "")
        text = gw.gateway.host.http(request).body.decode()
    told = set(re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE))
    shown = {name for panel in PANELS for name in METRIC.findall(str(panel))}
    shown |= set(METRIC.findall(str(DASHBOARD["templating"])))
    assert len(shown) > 12
    for name in shown:
        assert name in told or re.sub(r"_(bucket|sum|count)$", "", name) in told, name


def test_prometheus_understands_every_expression(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool, which comes with Prometheus, is not installed")
    rules = [
        {
            "record": f"panel:{number}",
            "expr": one.replace("$instance", ".*").replace("$__rate_interval", "1m"),
        }
        for number, one in enumerate(chain.from_iterable(map(expressions, PANELS)))
    ]
    file = tmp_path / "rules.yaml"
    file.write_text(json.dumps({"groups": [{"name": "all", "rules": rules}]}), "utf-8")
    command = [promtool, "check", "rules", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_every_label_of_a_panel_is_one_of_its_metric(panel: dict[str, Any]) -> None:
    known = labels_by_sample()
    for target in panel["targets"]:
        (name,) = METRIC.findall(target["expr"])
        labels = known[name] | OF_PROMETHEUS
        used = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        for group in re.findall(r" by \(([\w, ]+)\)", target["expr"]):
            used |= set(group.split(", "))
        assert used <= labels, (name, used - labels)


def test_panels_have_a_title_and_a_place_of_their_own() -> None:
    assert len({panel["title"] for panel in PANELS}) == len(PANELS)
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in PANELS}
    assert len(places) == len(PANELS)
    assert all(panel["description"] for panel in PANELS)


def unit() -> ConfigParser:
    parser = ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(FILES / "wsprism.service", encoding="utf-8")
    return parser


def test_the_unit_starts_a_gateway_with_options_that_there_are() -> None:
    command = unit()["Service"]["ExecStart"].split()
    assert command[:2] == ["/opt/wsprism/bin/wsprism", "run"]
    known = {option.flag for option in RUN_OPTIONS}
    assert {one for one in command if one.startswith("--")} <= known


def test_the_unit_lets_a_drain_end() -> None:
    service = unit()["Service"]
    defaults = GatewayConfig()
    drain = (defaults.drain_grace_ms + defaults.close_timeout_ms) / 1000
    assert float(service["TimeoutStopSec"]) > drain + 5
    assert service["KillSignal"] == "SIGTERM"
    # As `wsprism run` exits where another try would find the same.
    assert service["RestartPreventExitStatus"] == "2"
