"""`wsprism plugins`: what is installed, and what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import click

from wsprism_cli.terminal import console, is_rich, printable, warn

if TYPE_CHECKING:
    from wsprism_core.plugins import PluginInfo

__all__ = ("plugins",)

_STYLES: Final = {"loaded": "green", "available": "dim", "broken": "bold red"}
_COLUMNS: Final = ("name", "distribution", "version", "status", "services", "hooks")
_EPILOG: Final = """\
\b
Examples:
  wsprism plugins
  wsprism plugins --json
"""


@click.command(short_help="List the plugins that are installed.", epilog=_EPILOG)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def plugins(as_json: bool) -> None:
    """List the plugins that are installed.

    "loaded" is what `wsprism run` loads, "available" is what WSPRISM_PLUGINS does not
    name, and "broken" does not work; the reason stands below it.
    """
    from wsprism_cli.plugin_commands import commands_by_plugin, selected_plugins
    from wsprism_core.plugins import list_plugins

    selected = selected_plugins()
    infos = list_plugins(selected)
    for name in sorted({*(selected or ())} - {info.name for info in infos}):
        warn(f"WSPRISM_PLUGINS names {name!r}, which is not installed")
    commands = commands_by_plugin(infos)
    entries = [_entry(info, commands.get(info.name, ())) for info in infos]
    if as_json:
        click.echo(json.dumps(entries, indent=2))
    elif not entries:
        click.echo("no plugin is installed; try: pip install wsprism-chat")
    elif is_rich():
        _print_table(entries)
    else:
        _print_lines(entries)


def _entry(info: PluginInfo, commands: Iterable[str]) -> dict[str, Any]:
    return {
        "name": info.name,
        "distribution": info.distribution,
        "version": info.version,
        "status": info.status.value,
        "reason": info.reason,
        "services": [
            {
                "name": service.name,
                "svc_id": service.svc_id,
                "summary": service.summary,
                "types": [kind.name for kind in service.inbound],
                "opcodes": {code.number: code.name for code in service.opcodes},
            }
            for service in info.services
        ],
        "hooks": list(info.hooks),
        "commands": list(commands),
    }


def _cells(entry: dict[str, Any]) -> list[str]:
    """Return an entry's columns as text that can be printed anywhere."""
    services = [
        service["name"]
        if service["svc_id"] is None
        else f"{service['name']} ({service['svc_id']})"
        for service in entry["services"]
    ]
    shown = {
        **entry,
        "services": ", ".join(services),
        "hooks": ", ".join(entry["hooks"]),
    }
    return [printable(shown[column] or "-") for column in _COLUMNS]


def _notes(entry: dict[str, Any]) -> list[str]:
    """Return what stands below an entry."""
    notes = [entry["reason"]] if entry["reason"] else []
    notes += [f"adds the command: wsprism {name}" for name in entry["commands"]]
    return [printable(note) for note in notes]


def _print_table(entries: list[dict[str, Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in _COLUMNS:
        table.add_column(column, overflow="fold")
    for entry in entries:
        *cells, services, hooks = map(Text, _cells(entry))
        cells[-1].stylize(_STYLES[entry["status"]])
        below = [Text("\n" + note, style="yellow") for note in _notes(entry)]
        table.add_row(*cells, services, Text.assemble(hooks, *below))
    console().print(table)


def _print_lines(entries: list[dict[str, Any]]) -> None:
    rows = [_cells(entry) for entry in entries]
    widths = [max(map(len, column)) for column in zip(_COLUMNS, *rows, strict=True)]
    for entry, row in zip([None, *entries], [_COLUMNS, *rows], strict=True):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        click.echo("  ".join(cells).rstrip())
        for note in _notes(entry) if entry else ():
            click.echo(f"  {note}")
