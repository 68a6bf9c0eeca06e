from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from support.recorded import recording
from support.services import Lab
from wsprism_core import Reply, hookimpl
from wsprism_core.client import connect
from wsprism_core.plugins import PluginError
from wsprism_core.recording.format import RecordingError
from wsprism_core.recording.replayer import ReplayError
from wsprism_core.testing import config_with, replay


class Changed(Lab):
    """A lab that answers otherwise."""

    @hookimpl
    def on_message(self, session: Any, message: Any) -> Any:
        return Reply("echoed", "changed")


def record(
    path: Path, *plugins: object, config: Any = None, tenant: str = "default"
) -> Path:
    async def run() -> None:
        async with (
            recording(path, *plugins, config=config, has_file=config is not None) as on,
            connect(on.ws, ticket="dev:ann", tenant=tenant) as ann,
        ):
            await ann.request("sys", "ping")
            if plugins == (Lab,):
                await ann.request("lab", "echo", "hi")

    asyncio.run(run())
    return path


def test_a_plugin_is_handed_over(tmp_path: Path) -> None:
    path = record(tmp_path / "a.rec", Lab)
    result = replay(path, Lab)
    assert result.same, result
    assert str(result) == "the same: 3 messages to 1 sessions"
    changed = replay(str(path), Changed)
    assert not changed.same
    assert '"data":"changed"' in str(changed)


def test_plugins_are_loaded_by_the_names_of_the_recording(tmp_path: Path) -> None:
    path = record(tmp_path / "a.rec", "chat", "party")
    assert replay(path).same
    # Another order and another number of plugins are told.
    assert replay(path, "chat").warnings == ("the plugins were chat, party",)


def test_plugins_that_are_missing_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = record(tmp_path / "a.rec", "chat")
    monkeypatch.setattr("wsprism_core.plugins.entry_points", lambda group: [])
    with pytest.raises(ReplayError, match=r"no plugin 'chat' is installed") as refused:
        replay(path)
    assert "pip install wsprism-chat==" in str(refused.value)
    with pytest.raises(PluginError, match="no plugin 'chess' is installed"):
        replay(path, "chess")


def test_a_plugin_that_was_handed_over_must_be_so_again(tmp_path: Path) -> None:
    path = record(tmp_path / "a.rec", Lab)
    with pytest.raises(ReplayError, match="made with lab, which no distribution"):
        replay(path)


def test_the_configuration_is_handed_over(tmp_path: Path) -> None:
    config = config_with(tenants=["acme"])
    path = record(tmp_path / "a.rec", "chat", config=config, tenant="acme")
    with pytest.raises(ReplayError, match="recorded with a configuration"):
        replay(path)
    assert replay(path, config=config).same
    other = config_with(tenants=["acme"], limits={"max_frame_bytes": 5_000})
    changed = replay(path, config=other)
    assert changed.warnings == ("the configuration is not the one of the recording",)
    # The limit is told to the client.
    assert not changed.same
    with pytest.raises(ReplayError, match="has no tenant 'acme'"):
        replay(path, config=config_with())


def test_where_it_listens_does_not_count(tmp_path: Path) -> None:
    config = config_with(gateway={"listen": "127.0.0.1:1"})
    path = record(tmp_path / "a.rec", "chat", config=config)
    assert replay(path, config=config_with()).warnings == ()


def test_a_plugin_that_does_not_start(tmp_path: Path) -> None:
    class Broken(Lab):
        @hookimpl
        def on_start(self, gateway: Any) -> None:
            raise OSError("the database is down")

    path = record(tmp_path / "a.rec", Lab)
    with pytest.raises(ReplayError, match=r"failed to start: OSError: the database"):
        replay(path, Broken)


def test_what_is_no_recording(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("hello")
    with pytest.raises(RecordingError, match="is no recording of wsPrism"):
        replay(path)


# begin keep
def test_the_match_of_friday(friday: Path) -> None:
    result = replay(friday)
    assert result.same, result


# end keep


@pytest.fixture
def friday(tmp_path: Path) -> Path:
    return record(tmp_path / "friday.rec", "chat")
