"""What policy costs a message: the same traffic with all of it, and with none.

With all of it: rate limits of the connection and of the tenant, allowlists by type and
opcode, every limit set, and all of that on trial once more, as `shadow`. Both gateways
take turns, so that what the machine does meanwhile falls on both.

Run it with `uv run poe bench-policy`.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bench.hot_path import FRAME, TEXT, crowd, time_of
from wsprism_core.config import Config

__all__ = ("FORMS", "Price", "prices")

FORMS: Final = ("hot", "text")
_MANY: Final = 10_000_000
_RATE: Final = {"rate_limit_rps": _MANY, "rate_limit_burst": 2 * _MANY}
_LISTS: Final = {
    "ext_allowlist": ["room:join", "chat:send"],
    "hot_allowlist": ["1:1", "1:2"],
}
_ROOMS: Final = {
    "max_sessions_total": _MANY,
    "max_rooms_total": _MANY,
    "max_users_per_room": _MANY,
    "max_rooms_per_user": _MANY,
}
_OPEN: Final[Mapping[str, Any]] = {
    "policy": {
        "rate_limit_rps": 0,
        "ext_allowlist": ["*:*"],
        "hot_allowlist": ["*:*"],
    },
    "limits": {"max_frame_bytes": 65_536},
}
_LIMITED: Final[Mapping[str, Any]] = {
    "policy": {**_RATE, **_LISTS, "rate_limit_scope": "both"},
    "limits": {"max_frame_bytes": 65_536, **_ROOMS},
}
_TRIED: Final[Mapping[str, Any]] = {
    "policy": {**_LIMITED["policy"], "shadow": {**_RATE, **_LISTS, **_ROOMS}},
    "limits": _LIMITED["limits"],
}


@dataclass(frozen=True, slots=True)
class Price:
    """What a message costs, in microseconds.

    Args:
        form: `hot` or `text`.
        without: Without policy.
        limited: With all of it.
        tried: With all of it, and all of it on trial as well.
    """

    form: str
    without: float
    limited: float
    tried: float


def _config(changes: Mapping[str, Any]) -> Config:
    return Config.model_validate(
        {"version": 1, "tenants": [{"id": "bench", **changes}]}
    )


async def prices(*, rounds: int = 60, count: int = 320) -> list[Price]:
    """Return what policy costs each form, the best of some rounds.

    Args:
        rounds: How often each gateway takes its turn.
        count: Messages in one turn of a gateway.
    """
    crowds = [await crowd(1, _config(one)) for one in (_OPEN, _LIMITED, _TRIED)]
    gc.collect()
    gc.freeze()
    found = []
    for form in FORMS:
        best = [float("inf")] * len(crowds)
        for _ in range(rounds):
            for place, (_, clock, receiver) in enumerate(crowds):
                take = receiver.binary if form == "hot" else receiver.text
                payload = FRAME if form == "hot" else TEXT

                def say(take: Any = take, payload: bytes = payload) -> None:
                    take(payload)

                us = time_of(say, clock, turn=16, runs=1, count=count)
                best[place] = min(best[place], us)
        found.append(Price(form, *best))
    gc.unfreeze()
    for gateway, _, _ in crowds:
        await gateway.stop()
    return found


def main() -> None:
    """Print the table."""
    say = sys.stdout.write
    say(f"{'form':5} {'without':>8} {'policy':>8} {'shadow too':>11} {'costs':>7}\n")
    for price in asyncio.run(prices()):
        say(
            f"{price.form:5} {price.without:>8.2f} {price.limited:>8.2f} "
            f"{price.tried:>11.2f} {price.limited - price.without:>7.2f}\n"
        )


if __name__ == "__main__":
    main()
