from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from support.command_line import environment, read_until, wsprism
from wsprism_cli.main import cli

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGHUP")

FILE = """\
version: 1
gateway: {listen: "127.0.0.1:0", max_strikes: %s}
tenants: [{id: acme}]
"""


def invoke(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli, ["reload", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def test_a_gateway_reads_its_file_again(tmp_path: Path) -> None:
    file, number = tmp_path / "wsprism.yaml", tmp_path / "wsprism.pid"
    file.write_text(FILE % 10)
    run = ("run", "--config", str(file), "--pid-file", str(number))
    with wsprism(*run, "--plugins", "", env=environment()) as gateway:
        read_until("listening", gateway.stdout)
        assert number.read_text() == f"{gateway.pid}\n"
        said = f"process {gateway.pid} was asked to read its configuration"
        for strikes, named, event in (
            (3, ("--pid-file", str(number)), "reloaded outcome=applied"),
            (3, ("--pid", str(gateway.pid)), "reloaded outcome=unchanged"),
            ("many", ("--pid", str(gateway.pid)), "reload_refused"),
        ):
            file.write_text(FILE % strikes)
            code, out, err = invoke(*named)
            assert (code, err) == (0, "")
            assert out.startswith(said)
            assert gateway.stderr is not None
            line = next(one for one in gateway.stderr if "reload" in one)
            assert event in line
            if strikes == 3 and "applied" in event:
                assert "gateway.max_strikes: 10 -> 3" in line
        gateway.send_signal(signal.SIGTERM)
        assert gateway.wait(30) == 0
    assert not number.exists()


def test_what_would_be_ended_by_it_is_not_sent_it() -> None:
    script = "import sys; print('up', flush=True); sys.stdin.read()"
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=pipe, stdout=pipe
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        code, out, err = invoke("--pid", other.pid)
        assert (code, out) == (1, "")
        assert f"process {other.pid} does not listen for SIGHUP" in err
        assert other.poll() is None
        other.communicate()


def test_a_process_that_is_gone() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    assert invoke("--pid", gone.pid) == (
        1,
        "",
        f"error: there is no process {gone.pid}\n",
    )


def test_one_that_is_somebody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    monkeypatch.setattr("wsprism_cli.reload._hears_hangups", lambda number: True)
    code, _, err = invoke("--pid", 4242)
    assert (code, err) == (1, "error: you may not signal process 4242\n")


@pytest.mark.parametrize("text", ["", "x", "0", "1", "-5", "99999999999", "1.5", "²"])
def test_a_file_that_holds_no_number(tmp_path: Path, text: str) -> None:
    path = tmp_path / "wsprism.pid"
    path.write_text(text, encoding="utf-8")
    code, out, err = invoke("--pid-file", path)
    assert (code, out) == (1, "")
    assert "holds no number" in err


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    code, _, err = invoke("--pid-file", tmp_path / "nowhere.pid")
    assert code == 1
    assert "nowhere.pid: No such file" in err


@pytest.mark.parametrize("arguments", [(), ("--pid", "7", "--pid-file", "x")])
def test_one_gateway_is_named(arguments: tuple[str, ...]) -> None:
    code, _, err = invoke(*arguments)
    assert code == 2
    assert "name one gateway" in err


@pytest.mark.parametrize("number", ["1", "0", "-1", "x"])
def test_what_is_no_process_of_a_gateway(number: str) -> None:
    assert invoke("--pid", number)[0] == 2


def test_a_system_without_the_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(signal, "SIGHUP")
    code, _, err = invoke("--pid", 7)
    assert (code, err) == (2, "error: this system has no SIGHUP: restart the gateway\n")
