from __future__ import annotations

import pytest

from simulation.mutations import MUTATIONS
from simulation.world import Failure, Plan, simulate

#: Seeds that are tried, one after the other, until one notices.
SEEDS = range(12)


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_of_the_engine_is_caught_by_its_invariant(name: str) -> None:
    mutation = MUTATIONS[name]
    for seed in SEEDS:
        with mutation.inject():
            try:
                simulate(Plan(seed, sessions=30, steps=300))
            except Failure as failure:
                assert failure.violation.invariant is mutation.caught_by, failure
                return
    pytest.fail(f"no seed of {len(SEEDS)} noticed")
