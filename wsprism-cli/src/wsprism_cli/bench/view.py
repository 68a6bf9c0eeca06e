"""What a person sees: while it runs, and the table at the end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import click

from wsprism_cli.bench.conductor import Progress
from wsprism_cli.bench.histogram import Histogram
from wsprism_cli.bench.results import QUANTILES, Measured, PhaseResult, Result
from wsprism_cli.bench.verdict import duration, size
from wsprism_cli.terminal import is_rich, printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType
    from rich.table import Table

__all__ = ("show_progress", "show_result")

_SHARES: Final = ("p50", "p90", "p99", "p99.9")
_COLUMNS: Final = (
    *("lane", "what", "sent/s", "received/s"),
    *(*_SHARES, "max", "lost", "conflated"),
)


@contextmanager
def show_progress() -> Iterator[Callable[[Progress], None]]:
    """Show on standard error how far a run is: as a live view, or in plain lines."""
    if not _is_looked_at():
        said: set[str] = set()

        def say(progress: Progress) -> None:
            if progress.doing not in said:
                said.add(progress.doing)
                click.echo(f"{progress.plan.scenario}: {progress.doing}", err=True)

        yield say
        return
    from rich.console import Console
    from rich.live import Live

    screen = Console(stderr=True, markup=False, emoji=False, highlight=False)
    with Live(console=screen, auto_refresh=False, transient=True) as live:

        def draw(progress: Progress) -> None:
            live.update(_panel(progress), refresh=True)

        yield draw


def _is_looked_at() -> bool:
    import os

    dumb = os.environ.get("TERM") == "dumb" or os.environ.get("NO_COLOR")
    return sys.stderr.isatty() and not dumb


def _panel(progress: Progress) -> RenderableType:
    from rich.console import Group
    from rich.panel import Panel
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    table = _new_table()
    for column in ("lane", "what", "received/s", "p50", "p99"):
        table.add_column(
            column, justify="left" if column in ("lane", "what") else "right"
        )
    for stream in progress.plan.streams:
        delays = progress.delays.get(stream.name)
        rate = progress.rates.get(stream.name)
        table.add_row(
            stream.lane,
            stream.name,
            "-" if rate is None else f"{rate:,.0f}",
            *(duration(delays.quantile(q)) if delays else "-" for q in (0.5, 0.99)),
        )
    facts = [f"{progress.plan.clients:,} clients"]
    if progress.gateway_cpu is not None:
        facts.append(f"gateway CPU {progress.gateway_cpu:.0%}")
    if progress.memory is not None:
        facts.append(f"memory {size(progress.memory)}")
    if progress.closed:
        facts.append(f"{progress.closed:,} closed")
    return Panel(
        Group(
            Text(progress.doing, style="bold"),
            ProgressBar(
                total=max(0.1, progress.plan.seconds),
                completed=min(progress.seconds, progress.plan.seconds),
            ),
            table,
            Text("   ".join(facts), style="dim"),
        ),
        title=f"wsprism bench {progress.plan.scenario} - Ctrl-C ends it",
        border_style="cyan",
    )


def _new_table() -> Table:
    from rich.table import Table

    return Table(box=None, padding=(0, 2, 0, 0), header_style="bold")


# ------------------------------------------------------------------------- the end


def show_result(result: Result) -> None:
    """Show a result on standard output, styled where it is looked at."""
    for phase in result.phases:
        if phase.measured:
            _show_phase(phase)
    _show_connects(result)
    for text in result.summary:
        click.echo(printable(text))
    for style, label, texts in (
        ("yellow", "note", result.warnings),
        ("red", "failed", result.problems),
    ):
        for text in texts:
            line = f"{label}: {printable(text)}"
            click.echo(click.style(line, fg=style) if is_rich() else line)


def _show_phase(phase: PhaseResult) -> None:
    rows = [_cells(one, phase) for one in phase.measured]
    title = _title(phase)
    if is_rich():
        from rich.text import Text

        from wsprism_cli.terminal import console

        table = _new_table()
        for column in _COLUMNS:
            numbers = column not in ("lane", "what")
            table.add_column(
                column, justify="right" if numbers else "left", no_wrap=True
            )
        for row in rows:
            table.add_row(*row)
        console().print(Text(title, style="bold cyan"))
        console().print(table)
    else:
        click.echo(title)
        widths = [max(map(len, column)) for column in zip(_COLUMNS, *rows, strict=True)]
        for row in (_COLUMNS, *rows):
            cells = [
                cell.ljust(width) if place < 2 else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            click.echo("  ".join(cells).rstrip())
    click.echo()


def _title(phase: PhaseResult) -> str:
    parts = [f"{phase.name}: {phase.seconds:.1f} s"]
    if phase.gateway_cpu is not None:
        parts.append(f"gateway CPU {phase.gateway_cpu:.0%}")
    if phase.memory is not None:
        parts.append(f"memory {size(phase.memory)}")
    parts.append(f"client CPU {phase.client_cpu:.0%}")
    return ", ".join(parts)


def _cells(one: Measured, phase: PhaseResult) -> tuple[str, ...]:
    """Return a stream's columns."""
    delays = one.delays
    times = [delays.quantile(q) for q in QUANTILES.values()] + [delays.max]
    lost = conflated = "-"
    if one.counts is not None:
        lost = f"{one.counts.lost + one.counts.dropped:,}"
        conflated = f"{one.counts.conflated:,}"
    return (
        one.stream.lane,
        one.stream.name,
        f"{one.sent / phase.seconds:,.0f}" if one.stream.senders else "-",
        f"{one.received / phase.seconds:,.0f}",
        *(duration(time) if delays.count else "-" for time in times),
        lost,
        conflated,
    )


def _show_connects(result: Result) -> None:
    rows: tuple[tuple[str, Histogram], ...] = ()
    if result.scenario == "storm":
        connects = result.connects
        rows = (("let in", connects.connect), ("joined", connects.join))
    elif result.returns is not None:
        rows = (("back", result.returns.back), ("whole", result.returns.whole))
    for label, delays in rows:
        shares = zip(_SHARES, QUANTILES.values(), strict=True)
        times = "  ".join(f"{n} {duration(delays.quantile(q))}" for n, q in shares)
        click.echo(f"{label:<8}{times}  max {duration(delays.max)}")
    if rows:
        click.echo()
