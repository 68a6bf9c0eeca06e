from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from support.command_line import environment, read_until, wsprism
from support.recorded import recording
from wsprism_chat.conversation import Conversation
from wsprism_cli.main import cli
from wsprism_core.client import connect


async def talk(url: str, room: str = "r1") -> None:
    async with connect(url, ticket="dev:ann") as ann:
        await ann.join(room)
        await ann.request("chat", "send", {"msg": "hello"}, room=room)


@pytest.fixture
def friday(tmp_path: Path) -> Path:
    path = tmp_path / "friday.rec"

    async def record() -> None:
        async with recording(path, "chat") as live:
            await talk(live.ws)

    asyncio.run(record())
    return path


def invoke(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli, ["replay", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def test_the_same(friday: Path) -> None:
    code, out, err = invoke(friday)
    assert (code, err) == (0, "")
    assert "1 sessions, 4 inputs, " in out
    assert out.endswith("the same: every lane of every session\n")


class Rude(Conversation):
    def send(self, user: str, room: str, data: object) -> None:  # type: ignore[override]
        return None


def test_different(friday: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsprism_chat.service.Conversation", Rude)
    code, out, err = invoke(friday)
    assert (code, err) == (1, "")
    lines = out.splitlines()
    assert lines[1] == "DIFFERENT in 1 lanes of sessions; the first is"
    assert lines[2].startswith("at 0.")
    assert ", session 1 (user:ann), lane interactive, message 0:" in lines[2]
    assert lines[3].startswith('  expected {"v":1,"svc":"chat","type":"msg"')
    assert lines[4].startswith('  got      {"v":1,"svc":"sys","type":"ack"')


def test_json(friday: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = invoke(friday, "--json")
    told = json.loads(out)
    assert (code, err, told["same"], told["ended"]) == (0, "", True, "closed")
    assert told["first_difference"] is None
    monkeypatch.setattr("wsprism_chat.service.Conversation", Rude)
    code, out, _ = invoke(friday, "--json")
    told = json.loads(out)
    assert (code, told["same"], told["differing_lanes"]) == (1, False, 1)
    assert told["first_difference"]["lane"] == "interactive"
    assert told["first_difference"]["user"] == "user:ann"


def test_in_the_time_that_it_took(friday: Path) -> None:
    code, out, _ = invoke(friday, "--speed", "real", "--json")
    told = json.loads(out)
    assert code == 0
    assert told["elapsed_seconds"] >= told["recorded_seconds"]


def test_other_plugins(friday: Path) -> None:
    code, out, err = invoke(friday, "--plugins", "chat,party")
    assert err == "warning: the plugins were chat\n"
    # The services are told to every client.
    assert code == 1
    assert "DIFFERENT in 1 lanes of sessions" in out


def test_a_recording_that_is_cut_off(friday: Path) -> None:
    data = friday.read_bytes()
    friday.write_bytes(data[:-5])
    code, _, err = invoke(friday)
    assert code == 0
    assert err == (
        "warning: the recording is cut off: "
        "it was replayed up to its last whole block\n"
    )


@pytest.mark.parametrize("content", [b"", b"{}"])
def test_what_is_no_recording(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.rec"
    path.write_bytes(content)
    assert invoke(path) == (2, "", f"error: {path} is no recording of wsPrism\n")


def test_a_plugin_that_is_missing(
    friday: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsprism_core.plugins.entry_points", lambda group: [])
    code, out, err = invoke(friday)
    assert (code, out) == (2, "")
    assert err.startswith(
        "error: no plugin 'chat' is installed (pip install wsprism-chat); "
        "installed: none\nthe recording was made with: pip install wsprism-chat=="
    )


def test_a_configuration_that_cannot_be_used(friday: Path, tmp_path: Path) -> None:
    file = tmp_path / "wsprism.yaml"
    file.write_text("version: 1\n")
    code, _, err = invoke(friday, "--config", file)
    assert code == 2
    assert "cannot be used" in err


def test_run_records_and_replay_is_the_same_in_any_process(tmp_path: Path) -> None:
    """Strings hash otherwise in each process, and nothing depends on it."""
    path = tmp_path / "all.rec"
    run = ("run", "--port", "0", "--record", str(path))
    with wsprism(*run, env=environment(PYTHONHASHSEED="1")) as gateway:
        lines = read_until("recording", gateway.stdout)
        (url,) = (word for line in lines for word in line.split() if "ws://" in word)
        asyncio.run(talk(url))
        # A second one would be refused: the file is there.
        with wsprism(*run, env=environment()) as second:
            assert second.wait() == 2
            assert second.stderr is not None
            assert "is there already: record into a new file" in second.stderr.read()
        gateway.terminate()
        assert gateway.wait() == 0
    for seed in ("2", "3"):
        env = environment(PYTHONHASHSEED=seed)
        with wsprism("replay", str(path), env=env) as process:
            out, err = process.communicate()
        assert (process.returncode, err) == (0, "")
        assert "the same: every lane of every session" in out
