"""The `wsprism` script: hands over to wsprism-cli, or else offers a plain `run`.

One distribution owns the script, this one. It imports as little as it can: whoever asks
for help does not wait for a gateway.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points, version
from typing import TYPE_CHECKING, Any, Final

from wsprism_core.options import RUN_OPTIONS, Option, OptionError, RunOptions
from wsprism_core.options import run_options as resolve

if TYPE_CHECKING:
    import argparse

    from wsprism_core.gateway import Gateway
    from wsprism_core.runner import Prepared

__all__ = ("CLI_GROUP", "main")

#: The entry point group in which a command line program stands as `main`.
CLI_GROUP: Final = "wsprism.cli"

_DESCRIPTION: Final = """\
wsPrism, a realtime gateway: one WebSocket for messages that must arrive and
signals that must be new. Features are plugins, installed with pip."""
_EPILOG: Final = """\
examples:
  wsprism run                         everything installed, on ws://127.0.0.1:8080
  wsprism run --plugins chat          chat alone
  wsprism run --config wsprism.yaml   as the file says

`pip install wsprism-cli` adds `wsprism connect`, which talks to a gateway, and
`wsprism plugins`, which lists what is installed."""


def main() -> int:
    """Run the program; return its exit code: 2 for usage, 1 for a failure."""
    program = _installed_program()
    return _plain(sys.argv[1:]) if program is None else program()


def _installed_program() -> Callable[[], int] | None:
    for offer in entry_points(group=CLI_GROUP, name="main"):
        try:
            program: Callable[[], int] = offer.load()
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            _complain(f"warning: {offer.value} does not load: {reason}")
        else:
            return program
    return None


def _plain(arguments: Sequence[str]) -> int:
    import argparse

    parser = argparse.ArgumentParser(
        prog="wsprism",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    core = f"wsprism-core {version('wsprism-core')}"
    parser.add_argument("--version", action="version", version=core)
    commands = parser.add_subparsers(metavar="COMMAND", title="commands")
    summary = "Run a gateway until Ctrl-C."
    run = commands.add_parser(
        "run", help=summary, description=summary, allow_abbrev=False
    )
    for option in RUN_OPTIONS:
        _add(run, option)
    given = {
        name: value
        for name, value in vars(parser.parse_args(arguments)).items()
        if value is not None
    }
    if not arguments:
        parser.print_help()
        return 2
    try:
        options = resolve(given, os.environ)
    except OptionError as error:
        run.error(str(error))
    return _run(options)


def _add(parser: argparse.ArgumentParser, option: Option) -> None:
    """Add an option; where it is not given it is None."""
    from argparse import ArgumentTypeError

    if option.metavar is None:
        parser.add_argument(
            option.flag,
            dest=option.name,
            help=option.help,
            action="store_const",
            const=True,
        )
        return

    def parse(text: str) -> Any:
        try:
            return option.parse(text)
        except ValueError as error:
            raise ArgumentTypeError(str(error)) from None

    parser.add_argument(
        option.flag,
        dest=option.name,
        help=option.help,
        metavar=option.metavar,
        type=parse,
    )


def _run(options: RunOptions) -> int:
    from wsprism_core.runner import RunError, prepare, serve

    try:
        prepared = prepare(options)
        return serve(prepared, started=lambda gateway: _announce(prepared, gateway))
    except RunError as error:
        _complain(f"error: {error}")
        return error.exit_code


def _announce(prepared: Prepared, gateway: Gateway) -> None:
    from wsprism_core.runner import summary

    if prepared.options.log_json:
        return
    for label, value in summary(prepared, gateway):
        sys.stdout.write(f"{label:<10}{value}\n")
    for warning in filter(None, (prepared.alarm, *prepared.warnings)):
        sys.stdout.write(f"warning: {warning}\n")
    sys.stdout.flush()


def _complain(text: str) -> None:
    sys.stderr.write(f"{text}\n")
