from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from support.command_line import Echo, install_only
from wsprism_cli.main import cli


@pytest.fixture(autouse=True)
def _nothing_is_selected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WSPRISM_PLUGINS", raising=False)


def invoke(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli, [*arguments])
    return result.exit_code, result.stdout, result.stderr


def test_the_default_file_can_be_used_at_once(tmp_path: Path) -> None:
    code, out, err = invoke("config", "default")
    assert (code, err) == (0, "")
    assert set(yaml.safe_load(out)["plugins"]) == {"chat", "market", "party"}
    path = tmp_path / "wsprism.yaml"
    path.write_text(out)
    assert invoke("check", str(path))[0] == 0


def test_the_schema_is_json() -> None:
    code, out, err = invoke("config", "schema")
    assert (code, err) == (0, "")
    schema = json.loads(out)
    assert set(schema["properties"]) == {"version", "gateway", "tenants", "plugins"}
    assert set(schema["$defs"]["Plugins"]["properties"]) == {"chat", "market", "party"}


@pytest.mark.parametrize("command", ["default", "schema"])
def test_plugins_are_chosen_as_those_of_run(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "max_patterns" not in invoke("config", command, "--plugins", "chat")[1]
    monkeypatch.setenv("WSPRISM_PLUGINS", "market")
    out = invoke("config", command)[1]
    assert "max_patterns" in out
    assert "history_page_chars" not in out
    install_only(monkeypatch, echo=Echo)
    code, out, err = invoke("config", command, "--plugins", "nope")
    assert (code, out) == (2, "")
    assert err.startswith("error: no plugin 'nope' is installed")
