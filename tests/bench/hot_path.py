"""What a message costs in process: from the whole payload to the link's write.

No socket and no event loop: a gateway with chat and game, policy on, links that take
everything. So it says what the project's own code costs, and a change of it is seen
where a measurement over sockets drowns it. Times are the best of many short runs.

Run it with `uv run poe bench-hot-path`.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from wsprism_core.config import Config
from wsprism_core.gateway import Gateway
from wsprism_core.plugins import PluginSet
from wsprism_core.testing.clock import VirtualClock
from wsprism_core.transports.frames import WEBSOCKET_WIRES
from wsprism_core.transports.port import ConnectRequest, Grant, Receiver, Refusal

__all__ = ("FRAME", "TEXT", "Cost", "crowd", "measure", "time_of")

TEXT: Final = (
    b'{"svc":"chat","type":"send","room":"lobby",'
    b'"data":{"msg":"hello, this is a line of chat as people write them"}}'
)
#: An EVENT of the game, with twenty bytes.
FRAME: Final = bytes((1, 1, 2, 0)) + b"x" * 20
#: Messages in one turn of the event loop: alone, and under load.
TURNS: Final = (1, 16)
SIZES: Final = (1, 200)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one message costs.

    Args:
        form: `text` or `hot`.
        members: Members of the room that it goes to.
        turn: Messages in one turn.
        limited: Whether there is a rate limit.
        us: Microseconds a message.
    """

    form: str
    members: int
    turn: int
    limited: bool
    us: float


class EveryLink:
    """A link that takes everything."""

    def __init__(self) -> None:
        self.wire = WEBSOCKET_WIRES["json"]
        self.written = 0

    def write(self, data: bytes) -> bool:
        self.written += len(data)
        return True

    def unsent(self) -> int:
        return 0

    def is_behind(self) -> bool:
        return False

    def limit(self, max_message_bytes: int) -> None:
        """There is none."""

    def use_codec(self, name: str) -> bool:
        return False

    def pause_reading(self) -> None:
        """Nothing is read."""

    def resume_reading(self) -> None:
        """Nothing is read."""

    def close(self, code: int, reason: str) -> None:
        raise AssertionError(f"closed {code}: {reason}")

    def abort(self) -> None:
        raise AssertionError("aborted")


def _config(*, limited: bool) -> Config:
    policy = {
        "rate_limit_rps": 10_000_000 if limited else 0,
        "rate_limit_burst": 20_000_000,
        "rate_limit_scope": "both",
        "ext_allowlist": ["room:*", "chat:*"],
        "hot_allowlist": ["1:*"],
    }
    limits = {"max_frame_bytes": 65_536}
    tenant = {"id": "bench", "limits": limits, "policy": policy}
    return Config.model_validate({"version": 1, "tenants": [tenant]})


async def crowd(members: int, config: Config) -> tuple[Gateway, VirtualClock, Receiver]:
    """Return a gateway with so many in the lobby, its clock, and one of them."""
    clock = VirtualClock()
    gateway = Gateway(
        config,
        PluginSet.load(["chat", "game"]),
        clock,
        development=True,
        chance=random.Random(1),
    )
    await gateway.start()
    receivers: list[Receiver] = []

    def decided(decision: Grant | Refusal) -> None:
        assert not isinstance(decision, Refusal)
        receivers.append(decision.open(EveryLink()))

    for n in range(members):
        request = ConnectRequest("websocket", "127.0.0.1", "bench", f"dev:u{n}")
        gateway.host.admit(request, decided)
        receivers[-1].text(b'{"svc":"room","type":"join","room":"lobby"}')
        clock.settle()
    clock.advance(1)
    return gateway, clock, receivers[0]


def time_of(
    say: Callable[[], None], clock: VirtualClock, *, turn: int, runs: int, count: int
) -> float:
    """Return microseconds a message, the best of some runs."""
    best = float("inf")
    for _ in range(runs):
        began = time.perf_counter()
        for _ in range(count // turn):
            for _ in range(turn):
                say()
            clock.settle()
        best = min(best, (time.perf_counter() - began) / count)
    return best * 1_000_000


async def measure(*, runs: int = 100, count: int = 160) -> Iterator[Cost]:
    """Return the cost of each form, to one and to many, in short turns and long.

    Args:
        runs: Short runs of each; the best counts.
        count: Messages in one of them.
    """
    costs = []
    for limited in (True, False):
        for members in SIZES:
            gateway, clock, receiver = await crowd(members, _config(limited=limited))
            gc.collect()
            gc.freeze()
            forms: dict[str, Callable[[], None]] = {
                "text": lambda receiver=receiver: receiver.text(TEXT),  # type: ignore[misc]
                "hot": lambda receiver=receiver: receiver.binary(FRAME),  # type: ignore[misc]
            }
            for form, say in forms.items():
                for turn in TURNS:
                    us = time_of(say, clock, turn=turn, runs=runs, count=count)
                    costs.append(Cost(form, members, turn, limited, us))
            gc.unfreeze()
            await gateway.stop()
    return iter(costs)


def main() -> None:
    """Print the table."""
    say = sys.stdout.write
    say(f"{'form':5} {'members':>7} {'a turn':>7} {'limited':>7} {'us':>8}\n")
    for cost in asyncio.run(measure()):
        limited = "yes" if cost.limited else "no"
        say(
            f"{cost.form:5} {cost.members:>7} {cost.turn:>7} {limited:>7} "
            f"{cost.us:>8.2f}\n"
        )


if __name__ == "__main__":
    main()
