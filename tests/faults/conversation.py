"""A conversation over a bad line, with a gateway that dies in the middle of it.

    python -m faults.conversation --seeds 200

A gateway with its history in a file is killed now and then and started again on the
same file, its disk is full for a while and its clock jumps. Connections are cut at any
byte, sessions come back while their old connection still seems to live, two connections
race for one session, and messages are sent twice. When all is quiet, the ledger must be
whole, and the room's history must say the same.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import click

from faults.gateway import Gateway
from faults.ledger import Ledger
from faults.nursery import Nursery
from faults.talker import Loss, Talker
from support.waiting import until

__all__ = ("Outcome", "converse")

TALKERS: Final = 6
#: Until everybody has heard everything, in seconds.
PATIENCE: Final = 60.0
#: Connections lost in a second, of all together.
LOSSES: Final = 15
#: For how long the disk is full, in seconds.
FULL: Final = 0.3
#: How far the clock jumps, in seconds.
JUMPS: Final = (-7_200, -60, 60, 3_600, 7 * 86_400)


@dataclass
class Outcome:
    """What came of a conversation.

    Args:
        violations: What does not hold.
        acknowledged: Messages that were acknowledged.
        counts: What happened, and how often.
    """

    violations: list[str]
    acknowledged: int
    counts: Counter[str]


async def converse(
    nursery: Nursery, seed: int, *, seconds: float = 2.0, kills: int = 2
) -> Outcome:
    """Have a conversation, and see whether it is whole.

    Args:
        nursery: What starts the gateway.
        seed: Of all that is left to chance.
        seconds: How long everything goes wrong.
        kills: How often the gateway is killed in that time.
    """
    chance = Random(seed)
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="wsprism-faults-") as folder:
        gateway = Gateway(nursery, Path(folder))
        gateway.start()
        ledger = Ledger()
        talkers = [
            Talker(
                f"u{n}",
                f"ws://127.0.0.1:{gateway.port}/v1/ws?tenant=main&ticket=dev:u{n}",
                ledger,
                Random(chance.random()),
            )
            for n in range(TALKERS)
        ]
        running = [asyncio.ensure_future(talker.run()) for talker in talkers]
        supervising = asyncio.ensure_future(_supervise(gateway))
        try:
            await _until(lambda: all(talker.epoch for talker in talkers), talkers)
            await _go_wrong(gateway, talkers, chance, seconds, kills, counts)
            for talker in talkers:
                talker.is_talking = False
            await _until(lambda: _is_quiet(talkers), talkers)
            history = await talkers[0].read_history()
        except AssertionError as error:
            raise AssertionError(f"{error}; {gateway.last_words()}") from None
        finally:
            supervising.cancel()
            for talker in talkers:
                talker.stop()
            await asyncio.gather(*running, return_exceptions=True)
            code = await asyncio.to_thread(gateway.stop)
        violations = ledger.violations() + ledger.check_history(history)
        if code:
            violations.append(f"the gateway ended with {code}")
        for what in ("connections", "resumed", "races"):
            counts[what] = sum(getattr(talker, what) for talker in talkers)
        counts["refused"] = ledger.refusals.total()
        return Outcome(violations, len(ledger.acknowledged), counts)


async def _go_wrong(
    gateway: Gateway,
    talkers: list[Talker],
    chance: Random,
    seconds: float,
    kills: int,
    counts: Counter[str],
) -> None:
    """Do at times that chance gives what may befall a gateway and its clients."""
    full = chance.uniform(0, max(0.0, seconds - FULL))
    events = [(full, "fill disk"), (full + FULL, "free disk")]
    events += [(chance.uniform(0, seconds), "kill") for _ in range(kills)]
    events += [(chance.uniform(0, seconds), "jump") for _ in range(kills)]
    for _ in range(round(seconds * LOSSES)):
        events.append((chance.uniform(0, seconds), chance.choice(list(Loss))))
    now = 0.0
    for when, what in sorted(events):
        await asyncio.sleep(when - now)
        now = when
        counts[what] += 1
        match what:
            case "kill":
                gateway.kill()
                gateway.start()
            case "jump":
                gateway.set_clock(chance.choice(JUMPS))
            case "fill disk":
                gateway.fill_disk()
            case "free disk":
                gateway.free_disk()
            case _:
                chance.choice(talkers).lose(Loss(what))


async def _supervise(gateway: Gateway) -> None:
    """Start the gateway again whenever it has ended by itself."""
    while True:
        await asyncio.sleep(0.1)
        gateway.revive()


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
    total: Counter[str] = Counter()
    with Nursery() as nursery:
        for one in [seed] if seed is not None else range(first, first + seeds):
            began = time.monotonic()
            violations = ["it broke off"]
            try:
                outcome = asyncio.run(converse(nursery, one))
            except (AssertionError, OSError) as error:
                violations = [str(error)]
                click.echo(f"seed {one}: broke off")
            else:
                violations = outcome.violations
                total += outcome.counts
                total["acknowledged"] += outcome.acknowledged
                took = time.monotonic() - began
                told = ", ".join(f"{n} {what}" for what, n in outcome.counts.items())
                click.echo(
                    f"seed {one}: {outcome.acknowledged} acknowledged, {told},"
                    f" {took:.1f} s"
                )
            for violation in violations[:10]:
                click.echo(f"  {violation}")
            failed += bool(violations)
            sys.stdout.flush()
    click.echo(", ".join(f"{n:,} {what}" for what, n in total.items()))
    click.echo(f"{failed} failed")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
