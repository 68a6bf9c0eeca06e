"""`uv run poe simulate`: many seeds, or one again."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import islice

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from simulation.world import Failure, Outcome, Plan, simulate

#: Failures that are enough to know that something is wrong.
ENOUGH = 10


def attempt(plan: Plan) -> Outcome | Failure:
    """Return how a simulation came out."""
    try:
        return simulate(plan)
    except Failure as failure:
        return failure


def attempts(plans: Iterator[Plan], workers: int) -> Iterator[Outcome | Failure]:
    """Yield how simulations came out, as they end."""
    with ProcessPoolExecutor(workers) as pool:
        running: set[Future[Outcome | Failure]] = set()
        while True:
            for plan in islice(plans, 2 * workers - len(running)):
                running.add(pool.submit(attempt, plan))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for one in done:
                yield one.result()


@click.command()
@click.option("--seed", type=int, help="Run this one alone, such as one that failed.")
@click.option("--seeds", default=1_000, show_default=True, help="How many to run.")
@click.option("--first", default=0, show_default=True, help="The first of them.")
@click.option("--sessions", default=Plan(0).sessions, show_default=True)
@click.option("--steps", default=Plan(0).steps, show_default=True)
@click.option("--workers", default=os.cpu_count() or 1, show_default=True)
@click.option(
    "--trace", default=0, help="Print so many of the last steps before a failure."
)
def main(
    seed: int | None,
    seeds: int,
    first: int,
    sessions: int,
    steps: int,
    workers: int,
    trace: int,
) -> None:
    """Simulate the gateway and its clients, and check that all promises hold."""
    console = Console(highlight=False)
    wanted = range(first, first + seeds) if seed is None else [seed]
    plans = (Plan(each, sessions, steps) for each in wanted)
    came_out = attempts(plans, workers) if seed is None else map(attempt, plans)
    counts: Counter[str] = Counter()
    failures: list[Failure] = []
    began, held = time.perf_counter(), 0
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    ) as progress:
        task = progress.add_task(f"{sessions} sessions", total=len(wanted))
        for outcome in came_out:
            progress.advance(task)
            if isinstance(outcome, Failure):
                failures.append(outcome)
                _show_failure(console, outcome, trace)
                if len(failures) >= ENOUGH:
                    plans.close()
            else:
                held += 1
                counts += outcome.counts
                if seed is not None:
                    console.print(f"transcript {outcome.transcript}")
    console.print(_summary(counts))
    took = time.perf_counter() - began
    console.print(f"{held} seeds held, {len(failures)} failed, {took:.0f} s")
    sys.exit(bool(failures))


def _show_failure(console: Console, failure: Failure, trace: int) -> None:
    for line in failure.trace[-trace:] if trace else ():
        console.print(escape(line), soft_wrap=True)
    console.print(f"[red]{escape(str(failure))}[/red]", soft_wrap=True)


def _summary(counts: Counter[str]) -> Table:
    table = Table(title="what happened", show_header=False)
    table.add_column(justify="left")
    table.add_column(justify="right")
    for name in sorted(counts):
        if counts[name]:
            table.add_row(name, f"{counts[name]:,}")
    return table


if __name__ == "__main__":
    main()
