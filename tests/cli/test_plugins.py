from __future__ import annotations

import json
import re
from importlib.metadata import version

import click
import pytest
from click.testing import CliRunner

from support.command_line import Echo, install_only
from wsprism_cli.main import cli
from wsprism_core import Opcode, Service, hookimpl


class Bad:
    wsprism_api = 1

    @hookimpl
    def on_mesage(self) -> None:
        return None


class Hot:
    wsprism_api = 1

    @hookimpl
    def register_services(self) -> list[Service]:
        opcodes = (Opcode(number=1, name="GO"),)
        return [
            Service(name="hot", svc_id=200, summary="Fast", opcodes=opcodes),
            Service(name="cold"),
        ]

    @hookimpl
    def on_binary(self) -> None:
        return None


@pytest.fixture(autouse=True)
def _nothing_is_selected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WSPRISM_PLUGINS", raising=False)


def invoke(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli, ["plugins", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_what_is_really_installed() -> None:
    code, out, err = invoke()
    assert (code, err) == (0, "")
    header, *rows = out.splitlines()
    columns = ["name", "distribution", "version", "status", "services", "hooks"]
    assert header.split() == columns
    assert [row.split()[0] for row in rows] == ["chat", "game", "market", "party"]
    chat = rows[0].split(maxsplit=6)
    assert chat[1:4] == ["wsprism-chat", version("wsprism-chat"), "loaded"]
    assert chat[4:6] == ["chat", "(2)"]
    assert "on_message, on_open, on_resume, on_start, on_stop" in chat[6]


def test_json_for_programs() -> None:
    code, out, _ = invoke("--json")
    assert code == 0
    entries = {entry["name"]: entry for entry in json.loads(out)}
    party = entries["party"]
    assert party["distribution"] == "wsprism-game"
    assert party["version"] == version("wsprism-game")
    assert party["status"] == "loaded"
    assert party["services"][0]["svc_id"] == 3
    assert "invite" in party["services"][0]["types"]
    assert entries["game"]["services"][0]["opcodes"]["1"] == "INPUT"


def test_services_and_hooks_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    install_only(monkeypatch, hot=Hot)
    row = invoke()[1].splitlines()[1]
    assert re.split(r" {2,}", row) == [
        "hot",
        "-",
        "-",
        "loaded",
        "hot (200), cold",
        "on_binary, register_services",
    ]


def test_a_broken_one_is_listed_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install_only(monkeypatch, bad=Bad, echo=Echo)
    code, out, err = invoke()
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()[1:]] == [
        "bad",
        "there",
        "echo",
    ]
    assert "broken" in out.splitlines()[1]
    assert out.splitlines()[2] == (
        "  there is no hook 'on_mesage'; did you mean 'on_message'?"
    )
    (bad, echo) = json.loads(invoke("--json")[1])
    assert bad["status"] == "broken"
    assert bad["reason"].startswith("there is no hook 'on_mesage'")
    assert echo["status"] == "loaded"


def test_what_a_plugin_says_does_not_command_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Evil:
        @property
        def wsprism_api(self) -> int:
            raise RuntimeError("\x1b[2J[bold]gone")

    install_only(monkeypatch, evil=Evil())
    assert r"\x1b[2J[bold]gone" in invoke()[1]


def test_the_environment_selects(monkeypatch: pytest.MonkeyPatch) -> None:
    install_only(monkeypatch, hot=Hot, echo=Echo)
    monkeypatch.setenv("WSPRISM_PLUGINS", "echo,chat")
    code, out, err = invoke()
    assert code == 0
    assert err == "warning: WSPRISM_PLUGINS names 'chat', which is not installed\n"
    statuses = {line.split()[0]: line.split()[3] for line in out.splitlines()[1:]}
    assert statuses == {"echo": "loaded", "hot": "available"}


def test_a_wrong_variable_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WSPRISM_LOG_JSON", "perhaps")
    code, _, err = invoke()
    assert code == 2
    assert err.startswith("error: WSPRISM_LOG_JSON: must be one of")


def test_nothing_installed_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    install_only(monkeypatch)
    code, out, _ = invoke()
    assert (code, out) == (0, "no plugin is installed; try: pip install wsprism-chat\n")
    assert invoke("--json")[1] == "[]\n"


def test_a_terminal_gets_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    install_only(monkeypatch, bad=Bad, hot=Hot)
    monkeypatch.setattr("wsprism_cli.plugins.is_rich", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    out = invoke()[1]
    assert "hot (200), cold" in out
    assert "did you mean 'on_message'?" in out


def test_commands_are_listed_with_their_plugin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Adds:
        wsprism_api = 1

        @hookimpl
        def register_commands(self, cli: click.Group) -> None:
            cli.add_command(click.Command("greet"))

    install_only(monkeypatch, adds=Adds)
    assert "  adds the command: wsprism greet" in invoke()[1].splitlines()
    assert json.loads(invoke("--json")[1])[0]["commands"] == ["greet"]
