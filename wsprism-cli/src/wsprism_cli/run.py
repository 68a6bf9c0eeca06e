"""`wsprism run`: a gateway until Ctrl-C."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from wsprism_cli.terminal import fail
from wsprism_core.options import RUN_OPTIONS, Option, OptionError, run_options

if TYPE_CHECKING:
    from wsprism_core.gateway import Gateway

__all__ = ("run",)

_EPILOG: Final = """\
\b
Examples:
  wsprism run
  wsprism run --plugins chat,party --port 9000
  wsprism run --config wsprism.yaml --tcp-port 9001
"""


def _parser(option: Option) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        try:
            return option.parse(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return parse


def _from_table(command: Callable[..., None]) -> Callable[..., None]:
    """Add every option of the table to a command."""
    for option in reversed(RUN_OPTIONS):
        if option.metavar is None:
            add = click.option(option.flag, option.name, is_flag=True, help=option.help)
        else:
            add = click.option(
                option.flag,
                option.name,
                metavar=option.metavar,
                type=_parser(option),
                help=option.help,
            )
        command = add(command)
    return command


@click.command(short_help="Run a gateway until Ctrl-C.", epilog=_EPILOG)
@_from_table
@click.pass_context
def run(ctx: click.Context, /, **values: Any) -> None:
    """Run a gateway until Ctrl-C.

    Without a configuration file it is open to whoever is on this machine: one tenant
    named "default", where the ticket dev:ann is user:ann.
    """
    # What was not given is left to the environment and the defaults.
    given = {
        name: value
        for name, value in values.items()
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    try:
        options = run_options(given, os.environ)
    except OptionError as error:
        fail(str(error), 2)

    from wsprism_core.runner import RunError, prepare, serve

    def started(gateway: Gateway) -> None:
        if not options.log_json:
            from wsprism_cli.panel import show

            show(prepared, gateway)

    try:
        prepared = prepare(options)
        ctx.exit(serve(prepared, started=started))
    except RunError as error:
        fail(str(error), error.exit_code)
