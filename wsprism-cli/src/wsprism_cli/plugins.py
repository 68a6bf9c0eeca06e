"""`wsprism plugins`: what is installed, and what is wrong with it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from wsprism_cli.terminal import console, fail, is_rich, printable, warn

if TYPE_CHECKING:
    from wsprism_core.plugins import PluginInfo

__all__ = ("plugins",)

_STYLES = {"loaded": "green", "available": "dim", "broken": "bold red"}


@click.command(short_help="List the plugins that are installed.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def plugins(as_json: bool) -> None:
    """List the plugins that are installed.

    "loaded" is what `wsprism run` loads; "available" works, but WSPRISM_PLUGINS does
    not name it; "broken" does not work, and the reason stands below it.
    """
    from wsprism_cli.plugin_commands import commands_by_plugin, selected_plugins
    from wsprism_core.options import OptionError
    from wsprism_core.plugins import list_plugins

    try:
        selected = selected_plugins()
    except OptionError as error:
        fail(str(error), 2)
    infos = list_plugins(selected)
    unknown = set(selected or ()) - {info.name for info in infos}
    for name in sorted(unknown):
        warn(f"WSPRISM_PLUGINS names {name!r}, which is not installed")
    commands = {name: tuple(found) for name, found in commands_by_plugin().items()}
    entries = [_entry(info, commands.get(info.name, ())) for info in infos]
    if as_json:
        click.echo(json.dumps(entries, indent=2))
    elif not entries:
        click.echo("No plugins are installed; try: pip install wsprism-chat")
    elif is_rich():
        _print_table(entries)
    else:
        _print_lines(entries)
