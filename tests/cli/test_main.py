from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points, version

import click
import pytest
from click.testing import CliRunner

from support.command_line import install_only
from wsprism_cli.main import BUILT_IN, cli, main
from wsprism_core import hookimpl
from wsprism_core.launcher import CLI_GROUP


class Adds:
    """A plugin with a command of its own, and one that is taken."""

    wsprism_api = 1

    @hookimpl
    def register_commands(self, cli: click.Group) -> None:
        @cli.command()
        @click.option("--loud", is_flag=True)
        def greet(loud: bool) -> None:
            """Say hello."""
            click.echo("HELLO" if loud else "hello")

        @cli.command()
        def run() -> None:
            """Run something else."""
            click.echo("hijacked")


class Fails:
    wsprism_api = 1

    @hookimpl
    def register_commands(self, cli: click.Group) -> None:
        raise LookupError("no commands today")


def invoke(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli, arguments, prog_name="wsprism")
    return result.exit_code, result.stdout, result.stderr


def test_it_is_the_program_that_the_launcher_finds() -> None:
    (offer,) = entry_points(group=CLI_GROUP, name="main")
    assert offer.load() is main


def test_help_is_for_newcomers() -> None:
    code, out, _ = invoke("--help")
    assert code == 0
    for name in BUILT_IN:
        assert f"\n  {name} " in out
    assert "wsprism connect --ticket dev:ann" in out


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_command_has_help_with_examples(name: str) -> None:
    code, out, _ = invoke(name, "-h")
    assert code == 0
    # Each example stands on a line of its own.
    examples = out.partition("Examples:\n")[2].splitlines()
    assert any(line.strip().startswith(f"wsprism {name}") for line in examples)
    assert "\\b" not in out


def examples() -> Iterator[str]:
    """Yield every command line that some help shows."""
    for arguments in ([], *([name] for name in BUILT_IN)):
        for line in invoke(*arguments, "--help")[1].splitlines():
            if re.match(r"\s+(printf .* \| )?wsprism \w", line):
                yield line.partition("wsprism ")[2]


@pytest.mark.parametrize("example", [*examples()])
def test_examples_are_understood(example: str) -> None:
    command_line = re.split(r" {2,}", example)[0]
    name, *arguments = shlex.split(command_line.partition(" | ")[0])
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    command.make_context(name, arguments)


def test_version() -> None:
    versions = [f"{name} {version(name)}\n" for name in ("wsprism-core", "wsprism-cli")]
    assert invoke("--version") == (0, "".join(versions), "")


def test_no_command_is_a_usage_error_with_help() -> None:
    code, out, err = invoke()
    assert code == 2
    assert "wsprism run --plugins" in out + err


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys\nfrom wsprism_cli.main import cli\n"
        "cli.main(['--help'], standalone_mode=False)\n"
        "print('MODULES', *sys.modules)"
    )
    out = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    names = set(out.partition("MODULES")[2].split())
    assert "click" in names
    heavy = {"asyncio", "pydantic", "yaml", "websockets", "uvloop", "rich"}
    assert not (heavy | {"prompt_toolkit"}) & names


# ------------------------------------------------------------- commands of plugins


def test_a_plugin_adds_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    install_only(monkeypatch, adds=Adds)
    warning = "warning: plugin 'adds': the command 'run' is wsprism-cli's\n"
    assert invoke("greet", "--loud") == (0, "HELLO\n", warning)
    assert "Say hello." in invoke("greet", "--help")[1]


def test_a_plugin_takes_no_command_away(monkeypatch: pytest.MonkeyPatch) -> None:
    install_only(monkeypatch, adds=Adds)
    assert "hijacked" not in invoke("run", "--help")[1]
    assert "Run a gateway until Ctrl-C." in invoke("run", "--help")[1]


def test_of_two_plugins_with_one_command_the_first_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Again(Adds):
        @hookimpl
        def register_commands(self, cli: click.Group) -> None:
            cli.add_command(click.Command("greet", callback=lambda: click.echo("no")))

    install_only(monkeypatch, a=Adds, b=Again)
    code, out, err = invoke("greet")
    assert (code, out) == (0, "hello\n")
    assert "warning: plugin 'b': the command 'greet' is a's" in err


def test_an_unknown_command_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    install_only(monkeypatch, adds=Adds)
    code, _, err = invoke("gret")
    assert code == 2
    assert "No such command 'gret'" in err


def test_a_plugin_that_fails_keeps_no_other_from_adding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install_only(monkeypatch, fails=Fails, adds=Adds, broken=object)
    code, out, err = invoke("greet")
    assert (code, out) == (0, "hello\n")
    assert "plugin 'fails' adds no commands: LookupError: no commands today" in err


def test_only_selected_plugins_add_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    install_only(monkeypatch, adds=Adds, fails=Fails)
    monkeypatch.setenv("WSPRISM_PLUGINS", "fails")
    assert invoke("greet")[0] == 2
