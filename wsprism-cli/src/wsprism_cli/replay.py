"""`wsprism replay`: a recording, run again."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from wsprism_cli.terminal import fail, printable, warn
from wsprism_core.options import RUN_OPTIONS

if TYPE_CHECKING:
    from wsprism_core.recording.replayer import Replay

__all__ = ("replay",)

_EPILOG: Final = """\
\b
Examples:
  wsprism run --record friday.rec
  wsprism replay friday.rec
  wsprism replay friday.rec --config wsprism.yaml --json

\b
Exit codes: 0 the same, 1 different, 2 it cannot be replayed here.
"""


def _names(text: str) -> tuple[str, ...]:
    (option,) = (one for one in RUN_OPTIONS if one.name == "plugins")
    names: tuple[str, ...] = option.parse(text)
    return names


@click.command(short_help="Run a recording again and compare.", epilog=_EPILOG)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--plugins",
    metavar="NAMES",
    type=_names,
    help="The plugins to run; where left out, those of the recording.",
)
@click.option(
    "--config",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The configuration file that it was recorded with.",
)
@click.option(
    "--speed",
    type=click.Choice(["max", "real"]),
    default="max",
    show_default=True,
    help="As fast as can be, or in the time that it took.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@click.pass_context
def replay(
    ctx: click.Context,
    file: Path,
    plugins: tuple[str, ...] | None,
    config: Path | None,
    speed: str,
    as_json: bool,
) -> None:
    """Run a recording into this build, and say whether any session gets anything else.

    FILE was written by wsprism run --record. The messages of every session are
    compared, each lane by itself, and the first that differs is shown.

    The plugins run for real: what they do outside of the gateway they do again.
    """
    import asyncio

    from wsprism_core import logs
    from wsprism_core.plugins import PluginSet
    from wsprism_core.protocol.errors import WsPrismError
    from wsprism_core.recording import replayer
    from wsprism_core.settings.file import load_config

    logs.configure("error")
    try:
        result = asyncio.run(
            replayer.replay(
                file,
                plugins=None if plugins is None else PluginSet.load(plugins),
                config=(
                    None if config is None else load_config(config, environ=os.environ)
                ),
                real_time=speed == "real",
            )
        )
    except WsPrismError as error:
        fail(str(error), 2)
    if as_json:
        click.echo(json.dumps(_entry(result), indent=2))
    else:
        _print(result)
    ctx.exit(0 if result.same else 1)


def _entry(result: Replay) -> dict[str, Any]:
    first = result.first
    return {
        "same": result.same,
        "differing_lanes": result.differing,
        "first_difference": None if first is None else first.as_dict(),
        "sessions": result.sessions,
        "inputs": result.inputs,
        "messages": result.messages,
        "recorded_seconds": result.seconds,
        "elapsed_seconds": result.elapsed,
        "ended": result.ended,
        "warnings": list(result.warnings),
    }


def _print(result: Replay) -> None:
    if result.ended is None:
        warn("the recording is cut off: it was replayed up to its last whole block")
    elif result.ended != "closed":
        warn(f"the recording ends before its gateway did: {result.ended}")
    for warning in result.warnings:
        warn(warning)
    click.echo(
        f"replayed {result.seconds:.1f} s in {result.elapsed:.1f} s: "
        f"{result.sessions} sessions, {result.inputs} inputs, "
        f"{result.messages} messages"
    )
    if result.first is None:
        click.echo("the same: every lane of every session")
        return
    click.echo(f"DIFFERENT in {result.differing} lanes of sessions; the first is")
    for line in str(result.first).split("\n"):
        click.echo(printable(line))
