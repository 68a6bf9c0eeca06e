from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from support.command_line import (
    environment,
    install_only,
    read_until,
    wsprism,
)
from wsprism_cli.main import cli
from wsprism_cli.run import run
from wsprism_core.options import RUN_OPTIONS, RunOptions
from wsprism_core.runner import RunError


@pytest.fixture(autouse=True)
def _nothing_comes_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for option in RUN_OPTIONS:
        if option.env:
            monkeypatch.delenv(option.env, raising=False)


def invoke(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["run", *arguments])
    assert result.stdout == ""
    return result.exit_code, result.stderr


def test_its_options_are_those_of_the_table() -> None:
    options = [param for param in run.params if isinstance(param, click.Option)]
    assert [(one.name, one.opts, one.help) for one in options] == [
        (option.name, [option.flag], option.help) for option in RUN_OPTIONS
    ]
    assert [one.is_flag for one in options] == [
        option.metavar is None for option in RUN_OPTIONS
    ]


def test_options_are_those_that_were_given_then_the_environments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[RunOptions] = []

    def refuse(options: RunOptions) -> None:
        seen.append(options)
        raise RunError("nothing to run", exit_code=2)

    monkeypatch.setattr("wsprism_core.runner.prepare", refuse)
    monkeypatch.setenv("WSPRISM_PLUGINS", "chat")
    monkeypatch.setenv("WSPRISM_LOG_JSON", "1")
    assert invoke("--dev", "--port", "0", "--host=::1") == (
        2,
        "error: nothing to run\n",
    )
    assert invoke("--plugins", "party")[0] == 2
    assert seen == [
        RunOptions(plugins=("chat",), dev=True, port=0, host="::1", log_json=True),
        RunOptions(plugins=("party",), log_json=True),
    ]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--port", "http"], "'--port': must be a number from 0 to 65535"),
        (["--log-level", "loud"], "'--log-level': must be one of debug"),
        (["--prot", "1"], "No such option"),
        (["now"], "unexpected extra argument"),
        (["--host", "0.0.0.0"], "error: development tickets let anybody be anybody"),
        (["--config", "no-such-file.yaml"], "no-such-file.yaml cannot be used"),
        (["--plugins", "chat,nope"], "error: no plugin 'nope' is installed; installed"),
    ],
)
def test_usage_errors_exit_2(arguments: list[str], text: str) -> None:
    code, errors = invoke(*arguments)
    assert code == 2
    assert text in errors


def test_a_wrong_variable_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WSPRISM_LOG_LEVEL", "loud")
    code, errors = invoke()
    assert (code, errors.count("\n")) == (2, 1)
    assert errors.startswith("error: WSPRISM_LOG_LEVEL: must be one of")


def test_a_plugin_that_is_missing_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install_only(monkeypatch)
    code, errors = invoke("--plugins", "game")
    assert code == 2
    assert "pip install wsprism-game" in errors


def test_a_bad_file_is_told_with_every_fault(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("version: 1\ntenants: [{id: a b}]\ngateway: {ping: 1}\n")
    code, errors = invoke("--config", str(path))
    assert code == 2
    first, *faults = errors.splitlines()
    assert first == f"error: {path} cannot be used:"
    assert len(faults) == 2
    assert any("gateway.ping: unknown key" in fault for fault in faults)


def test_an_address_in_use_exits_1() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, errors = invoke("--port", str(port), "--log-level", "error")
    assert code == 1
    assert errors == (
        f"error: 127.0.0.1:{port} is in use: stop what listens there,"
        " or choose another port with --port\n"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_real_one_says_where_it_listens_and_stops_cleanly(
    number: signal.Signals,
) -> None:
    arguments = ("run", "--port", "0", "--tcp-port", "0", "--plugins", "party,chat")
    with wsprism(*arguments) as process:
        lines = read_until("warning: ", process.stdout)
        process.send_signal(number)
        rest, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    ws, tcp, admin, plugins, tenants, connect, warning = lines
    assert ws.startswith("listening ws://127.0.0.1:")
    assert tcp.startswith("listening tcp://127.0.0.1:")
    assert admin.startswith("admin     ")
    assert plugins.startswith("plugins   party ")
    assert tenants == "tenants   default"
    url = ws.removeprefix("listening ")
    assert connect == f"try it    wsprism connect {url} --ticket dev:ann"
    assert "DEVELOPMENT TICKETS ARE ON" in warning
    assert rest == ""
    assert "Traceback" not in errors
    assert f"stopping signal={number.name}" in errors


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such terminals")
@pytest.mark.parametrize("no_colour", [False, True])
def test_somebody_who_looks_gets_a_panel(no_colour: bool, tmp_path: Path) -> None:
    path = tmp_path / "wsprism.yaml"
    path.write_text(
        "version: 1\n"
        "tenants: [{id: acme, policy: {ext_allowlist: ['nope:*']}}, {id: other}]\n"
    )
    wish = {"NO_COLOR": "1"} if no_colour else {"NO_COLOR": ""}
    environ = environment(TERM="xterm-256color", COLUMNS="80", **wish)
    ours, theirs = os.openpty()
    arguments = ("--config", str(path), "--dev", "--host", "127.0.0.1", "--port", "0")
    options: dict[str, Any] = {"stdout": theirs, "env": environ}
    with wsprism("run", *arguments, **options) as process:
        os.close(theirs)
        shown = b""
        while b"nope" not in shown:
            shown += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    os.close(ours)
    assert process.returncode == 0
    text = shown.decode()
    assert "ws://127.0.0.1:" in text
    assert "--tenant acme" in text
    assert "acme, other" in text
    assert "Never in" in text
    assert "ext_allowlist has 'nope:*'" in text.replace("\n", " ")
    assert ("\x1b[" in text) is not no_colour
    assert ("wsPrism - Ctrl-C stops it" in text) is not no_colour
