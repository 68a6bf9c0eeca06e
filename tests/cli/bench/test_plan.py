from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from wsprism_cli.bench.plan import Plan
from wsprism_cli.bench.scenarios import SCENARIOS, Wishes


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_plan_goes_through_json(name: str) -> None:
    plan = SCENARIOS[name].make(Wishes())
    told = json.loads(json.dumps(asdict(plan)))
    assert Plan.from_json(told) == plan


def test_it_knows_how_many_and_how_long() -> None:
    plan = SCENARIOS["flood"].make(Wishes(duration=8, clients=50))
    assert plan.clients == 50
    assert plan.seconds == pytest.approx(10, abs=0.5)
