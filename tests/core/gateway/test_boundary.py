from __future__ import annotations

from random import Random
from typing import Any

from support.services import Lab
from wsprism_core.gateway.boundary import Boundary
from wsprism_core.testing import GatewayHarness


def test_the_plain_one_is_not_there() -> None:
    boundary, function = Boundary(), lambda *_: None
    passed: list[Any] = [
        boundary.authenticate(function),
        boundary.perform(function),
        boundary.drain(function),
        boundary.trace_ids(lambda: "1"),
        boundary.random(Random),
    ]
    assert passed[:3] == [function] * 3
    assert passed[3]() == "1"
    assert passed[4] is Random
    assert boundary.spawns


async def test_the_chance_of_a_plugin_is_its_own_and_repeats(
    gateway: type[GatewayHarness],
) -> None:
    drawn = []
    for seed in (1, 1, 2):
        async with gateway(Lab, seed=seed) as gw:
            drawn.append(gw.api.random.getrandbits(64))
            assert gw.api.random is gw.api.random
            drawn.append(gw.gateway.api_of("other").random.getrandbits(64))
    assert drawn[:2] == drawn[2:4]
    assert len(set(drawn)) == 4
