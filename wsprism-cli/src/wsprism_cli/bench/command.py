"""`wsprism bench`: how fast is a gateway here, and do its lanes work?"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from wsprism_cli.terminal import fail
from wsprism_cli.trust import ca_option

if TYPE_CHECKING:
    from wsprism_cli.bench.conductor import Setting
    from wsprism_cli.bench.plan import Plan
    from wsprism_cli.bench.results import Result

__all__ = ("bench",)

_SCENARIOS: Final = (
    "echo",
    "fanout",
    "flood",
    "slow",
    "storm",
    "resume",
    "history",
    "soak",
)
_EPILOG: Final = """\
\b
Scenarios:
  flood    chat floods; what becomes of game, market and control
  echo     each client waits for its own message: the round trip
  fanout   one room, as much as it takes: deliveries a second
  slow     readers of 1 MB/s who are sent 2 MB/s: how old is what they get
  storm    everybody connects at once: connections a second, memory for each
  resume   all connections drop at once: how long until all are back and whole
  history  pages of history are pulled without end; what becomes of live chat
  soak     a bit of everything for long: does memory grow, does the tail

\b
Examples:
  wsprism bench
  wsprism bench fanout --clients 500 --json
  wsprism bench flood --plot flood.svg
  wsprism bench soak --duration 3600
  wsprism bench echo --url ws://127.0.0.1:8080/v1/ws
"""


@click.command(short_help="Measure a gateway, and see its lanes work.", epilog=_EPILOG)
@click.argument("scenario", type=click.Choice(_SCENARIOS), default="flood")
@click.option(
    "--duration",
    type=click.FloatRange(min=0.2),
    metavar="SECONDS",
    help="How long to measure.",
)
@click.option(
    "--clients",
    type=click.IntRange(1, 65_536),
    metavar="N",
    help="How many connect.",
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    metavar="N",
    help="Messages a second of each who sends, whatever becomes of them; in storm "
    "connections a second. Where left out, echo, fanout and flood send the next one "
    "when one has come back, and the others as is usual.",
)
@click.option(
    "--window",
    type=click.IntRange(1, 10_000),
    metavar="N",
    help="Messages of each who sends that may be under way, in echo, fanout and flood.",
)
@click.option(
    "--size",
    type=click.IntRange(26, 16_384),
    metavar="BYTES",
    help="The length of each text and payload.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    metavar="N",
    help="Processes that make the load.",
)
@click.option(
    "--plugins",
    metavar="NAMES",
    help="The plugins of the gateway that is started; where left out, those that the "
    "scenario needs.",
)
@click.option(
    "--url", help="Measure a gateway that runs already, such as ws://127.0.0.1:8080."
)
@click.option(
    "--ticket",
    default="dev:bench{n}",
    show_default=True,
    envvar="WSPRISM_TICKET",
    help="Who the clients are, with --url; {n} is the number of each.",
)
@click.option("--tenant", help="The tenant, with --url, where it has several.")
@ca_option("The authority that signed the certificate, with --url wss://.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Draw the distribution of delays; the file ends in .svg or .png.",
)
def bench(
    scenario: str,
    duration: float | None,
    clients: int | None,
    rate: float | None,
    window: int | None,
    size: int | None,
    workers: int,
    plugins: str | None,
    url: str | None,
    ticket: str,
    tenant: str | None,
    ca: Path | None,
    as_json: bool,
    plot: Path | None,
) -> None:
    """Measure a gateway, and see its lanes work.

    It starts a gateway of its own, as `wsprism run` would, on one core where the system
    allows that, and loads it from the others. SCENARIO is flood where it is left out.
    It exits with 1 where the run failed: the gateway ended, closed a connection, or
    lost a message in silence.
    """
    from wsprism_cli.bench.client import LoadError
    from wsprism_cli.bench.conductor import Setting
    from wsprism_cli.bench.gateway import target_of
    from wsprism_cli.bench.scenarios import SCENARIOS, Wishes
    from wsprism_cli.bench.verdict import judge
    from wsprism_cli.bench.view import show_result

    chosen = SCENARIOS[scenario]
    try:
        plan = chosen.make(Wishes(duration, clients, rate, window, size))
    except ValueError as error:
        raise click.UsageError(f"{scenario} {error}") from None
    try:
        target = None if url is None else target_of(url, tenant, ticket, ca)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'--url'") from None
    if url is None and tenant is not None:
        raise click.UsageError("--tenant goes with --url")
    if ca is not None and (target is None or not target.tls):
        raise click.UsageError("--ca goes with --url wss://")
    if url is not None and plugins is not None:
        raise click.UsageError("--plugins goes with a gateway that is started here")
    names = _names(plugins, chosen.plugins)
    if plot is not None:
        _check_plot(plot)
    setting = Setting(
        target=target,
        plugins=names,
        quotes_per_s=chosen.quotes_per_s,
        workers=min(workers, plan.clients),
    )
    try:
        result = _carry_out(plan, setting)
    except KeyboardInterrupt:
        fail("interrupted", 1)
    except LoadError as error:
        fail(str(error), 1)
    except OSError as error:
        where = url or "the gateway"
        fail(f"cannot connect to {where}: {error}", 1)
    judge(result)
    if as_json:
        click.echo(json.dumps(result.to_json(), indent=2))
        for problem in result.problems:
            click.echo(f"failed: {problem}", err=True)
    else:
        show_result(result)
    if plot is not None:
        _draw(result, plot)
    raise click.exceptions.Exit(1 if result.problems else 0)


def _names(given: str | None, needed: tuple[str, ...]) -> tuple[str, ...]:
    """Return the plugins to load."""
    if given is None:
        return needed
    names = tuple(name for part in given.split(",") if (name := part.strip()))
    if missing := [name for name in needed if name not in names]:
        raise click.BadParameter(
            f"the scenario needs {', '.join(missing)} too", param_hint="'--plugins'"
        )
    return names


def _check_plot(path: Path) -> None:
    from wsprism_cli.bench.plot import PlotError, check

    try:
        check(path)
    except PlotError as error:
        fail(str(error), 2)


def _draw(result: Result, path: Path) -> None:
    from wsprism_cli.bench.plot import plot

    try:
        plot(result, path)
    except OSError as error:
        fail(f"{path} cannot be written: {error}", 1)


def _carry_out(plan: Plan, setting: Setting) -> Result:
    import asyncio

    from wsprism_cli.bench.conductor import conduct
    from wsprism_cli.bench.view import show_progress

    async def run() -> Result:
        with show_progress() as watch:
            task = asyncio.ensure_future(conduct(plan, setting, watch))
            if sys.platform != "win32":
                # SIGTERM, too, is to end everything that was started.
                loop = asyncio.get_running_loop()
                loop.add_signal_handler(signal.SIGTERM, task.cancel)
            return await task

    try:
        return asyncio.run(run())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
