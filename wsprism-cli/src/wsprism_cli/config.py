"""`wsprism config`: what a configuration file may hold, for editors and for people."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import click

from wsprism_cli.terminal import fail

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ("config",)

_EPILOG: Final = """\
\b
Examples:
  wsprism config default > wsprism.yaml
  wsprism config schema > wsprism.schema.json
  wsprism check wsprism.yaml
"""


def _names(ctx: click.Context, param: click.Parameter, text: str | None) -> Any:
    from wsprism_cli.plugin_commands import selected_plugins

    if text is None:
        return selected_plugins()
    return tuple(name for name in map(str.strip, text.split(",")) if name)


def _of_plugins(command: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--plugins",
        metavar="NAMES",
        callback=_names,
        help="The plugins whose sections are in it, such as chat,game; where left out, "
        "those that wsprism run would load.",
    )(command)


@click.group(short_help="What a configuration file may hold.", epilog=_EPILOG)
def config() -> None:
    """Write down what a configuration file may hold."""


@config.command("default", short_help="A file with every key and its default.")
@_of_plugins
def _default(plugins: tuple[str, ...] | None) -> None:
    """Write a configuration file with every key, its default and what it means.

    It is valid as it is: a place to begin.
    """
    from wsprism_cli.default_file import default_file

    click.echo(default_file(_sections(plugins)), nl=False)


@config.command("schema", short_help="The JSON Schema of the file, for editors.")
@_of_plugins
def _schema(plugins: tuple[str, ...] | None) -> None:
    """Write the JSON Schema of a configuration file.

    Editors complete and explain keys by it, such as those that understand a first line
    of "# yaml-language-server: $schema=wsprism.schema.json".
    """
    from wsprism_core.settings.schema import file_schema

    click.echo(json.dumps(file_schema(_sections(plugins)), indent=2))


def _sections(plugins: tuple[str, ...] | None) -> dict[str, type[BaseModel]]:
    from wsprism_core import WsPrismError
    from wsprism_core.plugins import PluginSet

    try:
        return PluginSet.load(plugins).sections
    except WsPrismError as error:
        fail(str(error), 2)
