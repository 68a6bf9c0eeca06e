from __future__ import annotations

from pathlib import Path

import pytest

from support.command_line import Echo
from wsprism_core.config import ConfigError, out_of_the_box
from wsprism_core.options import RunOptions
from wsprism_core.plugins import PluginSet
from wsprism_core.settings.loading import configuration

IDLE = """\
version: 1
tenants:
- {id: acme, policy: {ext_allowlist: ['chat:*', 'echo:*']}}
"""


@pytest.fixture
def plugins() -> PluginSet:
    return PluginSet.load([], extra=[Echo])


def test_without_a_file_it_is_what_runs_out_of_the_box(plugins: PluginSet) -> None:
    assert configuration(RunOptions(), plugins) == out_of_the_box()


def test_the_environment_is_asked(
    plugins: PluginSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WSPRISM_GATEWAY__PING_INTERVAL_MS", "7")
    assert configuration(RunOptions(), plugins).gateway.ping_interval_ms == 7


def test_told_to_be_strict_an_allowlist_names_only_what_is_there(
    plugins: PluginSet, tmp_path: Path
) -> None:
    path = tmp_path / "wsprism.yaml"
    path.write_text(IDLE)
    assert configuration(RunOptions(config=path), plugins).tenants[0].id == "acme"
    with pytest.raises(ConfigError) as caught:
        configuration(RunOptions(config=path, strict=True), plugins)
    assert caught.value.problems == [
        (
            "tenant 'acme': ext_allowlist has 'chat:*', but no plugin that is loaded"
            " owns the service 'chat'"
        )
    ]
    assert str(path) in str(caught.value)
