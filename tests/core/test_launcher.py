from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint, version
from types import ModuleType

import orjson
import pytest

from wsprism_core import launcher
from wsprism_core.options import RUN_OPTIONS, RunOptions
from wsprism_core.runner import RunError

# As in test_runner: a gateway that runs by mistake is beyond the reach of a signal.
pytestmark = pytest.mark.timeout(60, method="thread")

Call = Callable[..., int]
#: The launcher in a process of its own, as if no wsprism-cli were installed.
ALONE = (
    "import sys; from wsprism_core import launcher;"
    "launcher.CLI_GROUP = 'nobody'; sys.exit(launcher.main())"
)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Call:
    """Return what runs the script where only `offers` are in its entry point group."""

    def call(*arguments: str, offers: Iterable[EntryPoint] = ()) -> int:
        monkeypatch.setattr(launcher, "entry_points", lambda **_: list(offers))
        monkeypatch.setattr(sys, "argv", ["wsprism", *arguments])
        return launcher.main()

    for option in RUN_OPTIONS:
        if option.env:
            monkeypatch.delenv(option.env, raising=False)
    return call


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> EntryPoint:
    module = ModuleType("some_program")
    vars(module)["main"] = lambda: 7
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return EntryPoint("main", "some_program:main", launcher.CLI_GROUP)


def test_it_hands_over_to_the_program_that_is_installed(
    call: Call, program: EntryPoint
) -> None:
    assert call("anything", offers=[program]) == 7


def test_a_program_that_does_not_load_is_told_of_and_done_without(
    call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = EntryPoint("main", "no_such_module:main", launcher.CLI_GROUP)
    assert call(offers=[broken]) == 2
    out, err = capsys.readouterr()
    assert err.startswith("warning: no_such_module:main does not load: ModuleNotFound")
    assert "usage: wsprism" in out


def test_without_a_command_it_shows_help_and_fails(
    call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call() == 2
    assert "wsprism run --plugins chat" in capsys.readouterr().out


def test_help_says_what_more_there_is(
    call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        call("--help")
    assert caught.value.code == 0
    assert "pip install wsprism-cli" in capsys.readouterr().out


def test_help_of_run_has_every_option(
    call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        call("run", "--help")
    assert caught.value.code == 0
    words = " ".join(capsys.readouterr().out.split())
    for option in RUN_OPTIONS:
        assert f"{option.flag} {option.metavar or ''}".rstrip() in words
        assert option.help in words


def test_version(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        call("--version")
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"wsprism-core {version('wsprism-core')}\n"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("walk",), "invalid choice: 'walk'"),
        (("run", "--prot", "1"), "unrecognized arguments: --prot"),
        (("run", "--por", "1"), "unrecognized arguments: --por"),
        (("run", "--port", "http"), "--port: must be a number from 0 to 65535"),
        (("run", "--log-level", "loud"), "--log-level: must be one of debug"),
    ],
)
def test_usage_errors_exit_2(
    call: Call,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    text: str,
) -> None:
    with pytest.raises(SystemExit) as caught:
        call(*arguments)
    assert caught.value.code == 2
    assert text in capsys.readouterr().err


def test_a_wrong_variable_is_a_usage_error(
    call: Call, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WSPRISM_LOG_LEVEL", "loud")
    with pytest.raises(SystemExit) as caught:
        call("run")
    assert caught.value.code == 2
    assert "WSPRISM_LOG_LEVEL: must be one of" in capsys.readouterr().err


def test_run_passes_on_what_it_was_told(
    call: Call, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[RunOptions] = []

    def refuse(options: RunOptions) -> None:
        seen.append(options)
        raise RunError("nothing to run", exit_code=2)

    monkeypatch.setattr("wsprism_core.runner.prepare", refuse)
    monkeypatch.setenv("WSPRISM_PLUGINS", "chat")
    assert call("run", "--dev", "--port", "0", "--host=::1") == 2
    assert seen == [RunOptions(plugins=("chat",), dev=True, port=0, host="::1")]
    assert capsys.readouterr().err == "error: nothing to run\n"


def test_the_plain_run_says_where_it_listens_and_stops_cleanly() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ALONE, "run", "--port", "0", "--plugins", "chat"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(5)]
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert lines[0].startswith("listening ws://127.0.0.1:")
    assert lines[0].endswith("/v1/ws\n")
    assert lines[1].startswith("admin     ")
    assert lines[2] == f"plugins   chat {version('wsprism-chat')}\n"
    assert lines[3] == "tenants   default\n"
    assert lines[4].startswith("warning: DEVELOPMENT TICKETS ARE ON")
    assert rest == ""
    assert "Traceback" not in errors


def test_the_plain_run_logs_json_and_nothing_else() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ALONE, "run", "--port", "0", "--log-json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        lines = [process.stderr.readline() for _ in range(3)]
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert out == ""
    listening, admin, warning = map(orjson.loads, lines)
    assert listening["event"] == "listening"
    assert admin["event"] in ("listening", "not_listening")
    assert "DEVELOPMENT TICKETS ARE ON" in warning["text"]


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, wsprism_core.launcher; print(*sys.modules)"
    names = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = {"asyncio", "pydantic", "yaml", "websockets", "uvloop", "click", "rich"}
    assert not heavy & set(names)
