"""A conversation over a bad line, with a gateway that dies in the middle of it.

    python -m faults.conversation --seeds 200

A gateway with its history in a file is killed now and then and started again on the
same file, connections are cut at any byte, and sessions come back while their old
connection still seems to live. When all is quiet, the ledger must be whole.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import click

from faults.ledger import Ledger
from faults.mortal import MortalGateway
from faults.talker import Talker
from support.waiting import until

__all__ = ("Outcome", "converse")

TALKERS: Final = 6
#: Until everybody has heard everything, in seconds.
PATIENCE: Final = 30.0


@dataclass
class Outcome:
    """What came of a conversation.

    Args:
        violations: What does not hold.
        acknowledged: Messages that were acknowledged.
        connections: How often somebody connected.
        resumed: How often a session came back.
        kills: How often the gateway was killed.
    """

    violations: list[str]
    acknowledged: int
    connections: int
    resumed: int
    kills: int


async def converse(seed: int, *, seconds: float = 2.0, kills: int = 2) -> Outcome:
    """Have a conversation, and see whether it is whole.

    Args:
        seed: Of all that is left to chance.
        seconds: How long everything goes wrong.
        kills: How often the gateway is killed in that time.
    """
    chance = Random(seed)
    with tempfile.TemporaryDirectory(prefix="wsprism-faults-") as folder:
        gateway = MortalGateway(Path(folder))
        await asyncio.to_thread(gateway.start)
        ledger = Ledger()
        talkers = [
            Talker(
                f"u{n}",
                f"{gateway.url}&ticket=dev:u{n}",
                ledger,
                Random(chance.random()),
            )
            for n in range(TALKERS)
        ]
        running = [asyncio.ensure_future(talker.run()) for talker in talkers]
        try:
            await _until(lambda: all(talker.epoch for talker in talkers), talkers)
            await _go_wrong(gateway, talkers, chance, seconds, kills)
            for talker in talkers:
                talker.is_talking = False
            await _until(lambda: _is_quiet(talkers), talkers)
        finally:
            for talker in talkers:
                talker.stop()
            await asyncio.gather(*running, return_exceptions=True)
            code = await asyncio.to_thread(gateway.stop)
        violations = ledger.violations()
        if code:
            violations.append(f"the gateway ended with {code}")
        return Outcome(
            violations,
            len(ledger.acknowledged),
            sum(talker.connections for talker in talkers),
            sum(talker.resumed for talker in talkers),
            kills,
        )


async def _go_wrong(
    gateway: MortalGateway,
    talkers: list[Talker],
    chance: Random,
    seconds: float,
    kills: int,
) -> None:
    """Cut connections and kill the gateway at times that chance gives."""
    events = [(chance.uniform(0, seconds), "kill") for _ in range(kills)]
    events += [(chance.uniform(0, seconds), "cut") for _ in range(round(seconds * 15))]
    now = 0.0
    for when, what in sorted(events):
        await asyncio.sleep(when - now)
        now = when
        if what == "cut":
            chance.choice(talkers).drop()
        else:
            await asyncio.to_thread(gateway.kill)
            await asyncio.to_thread(gateway.start)


def _is_quiet(talkers: list[Talker]) -> bool:
    """Whether everybody has all answers, and is where all the others are."""
    newest = max(max(talker.seq, talker.head) for talker in talkers)
    return all(not one.waiting and one.seq == newest for one in talkers)


async def _until(condition: Callable[[], bool], talkers: list[Talker]) -> None:
    if not await until(condition, PATIENCE):
        state = [(one.name, one.seq, one.head, len(one.waiting)) for one in talkers]
        raise AssertionError(f"it never became quiet: {state}")


@click.command()
@click.option("--seed", type=int, help="Have this one alone, such as one that failed.")
@click.option("--seeds", default=200, show_default=True)
@click.option("--first", default=0, show_default=True)
def main(seed: int | None, seeds: int, first: int) -> None:
    """Have conversations over a bad line, and see that each is whole."""
    failed = 0
    for one in [seed] if seed is not None else range(first, first + seeds):
        outcome = asyncio.run(converse(one))
        click.echo(
            f"seed {one}: {outcome.acknowledged} acknowledged, {outcome.connections}"
            f" connections, {outcome.resumed} resumed, {outcome.kills} kills"
        )
        for violation in outcome.violations[:10]:
            click.echo(f"  {violation}")
        failed += bool(outcome.violations)
    click.echo(f"{failed} failed")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
