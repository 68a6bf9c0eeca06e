from __future__ import annotations

import pytest

from simulation.mutations import MUTATIONS
from simulation.world import Failure, Plan, simulate

#: Seeds that are tried, one after the other, until one notices.
SEEDS = range(12)


def first_failure(name: str) -> Failure | None:
    for seed in SEEDS:
        with MUTATIONS[name].inject():
            try:
                simulate(Plan(seed, sessions=30, steps=300))
            except Failure as failure:
                return failure
    return None


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_of_the_engine_is_caught_by_its_invariant(name: str) -> None:
    failure = first_failure(name)
    assert failure is not None, f"no seed of {len(SEEDS)} noticed"
    assert failure.violation.invariant is MUTATIONS[name].caught_by, failure
