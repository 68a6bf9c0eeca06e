"""What `wsprism run` shows once it listens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from wsprism_cli.terminal import console, is_rich, printable
from wsprism_core.runner import Prepared, summary

if TYPE_CHECKING:
    from wsprism_core.gateway import Gateway

__all__ = ("show",)


def show(prepared: Prepared, gateway: Gateway) -> None:
    """Show addresses, plugins, tenants and warnings, styled where it is looked at."""
    rows = [(label, printable(value)) for label, value in summary(prepared, gateway)]
    if prepared.development:
        rows.append(("try it", _connect_command(prepared, rows[0][1])))
    warnings = [printable(text) for text in prepared.warnings]
    if is_rich():
        _show_panel(rows, printable(prepared.alarm), warnings)
        return
    for label, value in rows:
        click.echo(f"{label:<10}{value}")
    for text in filter(None, (prepared.alarm, *warnings)):
        click.echo(f"warning: {text}")


def _connect_command(prepared: Prepared, url: str) -> str:
    first, *others = prepared.config.tenants
    tenant = f" --tenant {first.id}" if others else ""
    return f"wsprism connect {url} --ticket dev:ann{tenant}"


def _show_panel(rows: list[tuple[str, str]], alarm: str, warnings: list[str]) -> None:
    from rich.console import Group, RenderableType
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    before = ""
    for label, value in rows:
        table.add_row(label if label != before else "", Text(value))
        before = label
    parts: list[RenderableType] = [table]
    if alarm:
        parts += ["", Text(alarm, style="bold white on red")]
    if warnings:
        parts.append("")
        parts += [Text(f"warning: {text}", style="yellow") for text in warnings]
    title = "wsPrism - Ctrl-C stops it"
    console().print(
        Panel(Group(*parts), title=title, border_style="cyan", expand=False)
    )
