"""The program: its commands, and those that plugins add.

Plugins are loaded only for a command that is not of this package. So `wsprism --help`
loads none, and does not list their commands; `wsprism plugins` does.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final, NoReturn

import click

__all__ = ("BUILT_IN", "Program", "cli", "main")

#: The commands of this package: in `wsprism_cli.NAME`, the attribute `NAME`.
BUILT_IN: Final = (
    "run",
    "check",
    "config",
    "reload",
    "connect",
    "top",
    "publish",
    "kick",
    "bench",
    "replay",
    "plugins",
    "token",
)

_EPILOG: Final = """\b
Try it in two terminals:
  wsprism run                          everything installed, on 127.0.0.1:8080
  wsprism connect --ticket dev:ann     talk to it; /help says how

\b
More of it:
  wsprism run --plugins chat,party --port 9000
  wsprism run --config wsprism.yaml
  wsprism config default               a configuration file to begin with
  wsprism plugins                      what is installed, and its commands
  wsprism token --user ann --config wsprism.yaml
  wsprism bench                        how fast it is here, and how its lanes work
  wsprism run --record friday.rec      write down what comes in and goes out
  wsprism replay friday.rec            run it again, and see whether it is the same
"""


class Program(click.Group):
    """Finds commands by name and imports no others."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of this package's commands."""
        return list(BUILT_IN)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command of this package, or else of a plugin."""
        if cmd_name in BUILT_IN:
            module = import_module(f"wsprism_cli.{cmd_name}")
            command: click.Command = getattr(module, cmd_name)
            return command
        from wsprism_cli.plugin_commands import find_command

        return find_command(cmd_name)


def _print_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from importlib.metadata import version

    from wsprism_core.compiled import IS_COMPILED

    how = " (compiled)" if IS_COMPILED else ""
    click.echo(f"wsprism-core {version('wsprism-core')}{how}")
    click.echo(f"wsprism-cli {version('wsprism-cli')}")
    ctx.exit()


@click.group(
    cls=Program,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Show the versions and exit.",
)
def cli() -> None:
    """Run wsPrism, a realtime gateway, and talk to it.

    One WebSocket carries messages that must arrive, such as chat, and signals that
    must be new, such as game input. What a gateway does is up to its plugins, which
    are installed with pip.
    """


def main() -> NoReturn:
    """Run the program and exit: 2 for usage, 1 for a failure."""
    cli.main(prog_name="wsprism")
