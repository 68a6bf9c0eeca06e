from __future__ import annotations

import pickle
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from simulation.invariants import EXPLAINED, Invariant, Violation
from simulation.mutations import MUTATIONS
from simulation.world import Failure, Outcome, Plan, simulate

TESTS: Final = Path(__file__).parents[1]
#: Those of every check, in batches; `poe simulate` has many more.
BATCHES: Final = tuple(range(first, first + 12) for first in range(0, 24, 12))
#: How they are run again.
SIZE: Final = ("--sessions", "24", "--steps", "200")


def outcome_of(seed: int) -> Outcome:
    return simulate(Plan(seed, sessions=24, steps=200))


@pytest.mark.parametrize("seeds", BATCHES, ids=str)
def test_everything_holds_and_everything_happens(seeds: range) -> None:
    counts: Counter[str] = Counter()
    for seed in seeds:
        counts += outcome_of(seed).counts
    for name in (
        *("conflated", "dropped", "lost", "discarded", "pulled", "recovered"),
        *("resumed", "not resumed"),
    ):
        assert counts[name] > 0, counts
    for code in (1000, 1006, 4001):
        assert counts[f"closed {code}"] > 0, counts


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert outcome_of(5).transcript == outcome_of(5).transcript
    assert outcome_of(5).transcript != outcome_of(6).transcript


def test_it_gives_the_same_bytes_in_another_process() -> None:
    # Strings hash to other numbers there, so nothing may hang on the order of a set.
    line = [sys.executable, "-m", "simulation", "--seed", "5", *SIZE]
    run = subprocess.run(line, cwd=TESTS, capture_output=True, text=True, timeout=50)
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"transcript {outcome_of(5).transcript}" in run.stdout


def test_a_failure_names_all_that_runs_it_again() -> None:
    violation = Violation(Invariant.FIFO, "c1: b came before a")
    failure = Failure(Plan(7, 40, 300), 12, violation, ["a step"])
    assert str(failure) == (
        "seed 7, step 12: fifo: c1: b came before a\n"
        "  (Messages of one session and lane leave in the order of posting.)\n"
        "  again: uv run poe simulate --seed 7 --sessions 40 --steps 300 --trace 30"
    )
    assert str(pickle.loads(pickle.dumps(failure))) == str(failure)


def test_the_command_runs_a_failing_seed_again(tmp_path: Path) -> None:
    mutated = tmp_path / "mutated.py"
    mutated.write_text(
        "from simulation.__main__ import main\n"
        "from simulation.mutations import MUTATIONS\n"
        "with MUTATIONS['reorder_a_lane'].inject():\n"
        "    main()\n"
    )
    line = [sys.executable, str(mutated), "--seed", "0", *SIZE, "--trace", "5"]
    run = subprocess.run(
        line,
        cwd=TESTS,
        env={"PYTHONPATH": str(TESTS), "COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert run.returncode == 1
    assert "fifo: " in run.stdout
    assert "--seed 0 --sessions 24 --steps 200" in run.stdout
    step = re.search(r"seed 0, step (\d+):", run.stdout)
    assert step is not None
    assert re.search(rf"^ +{step[1]} +\d+\.\d+s  c\d+ ", run.stdout, re.MULTILINE)


def test_every_invariant_is_explained_and_has_a_mutation_that_breaks_it() -> None:
    assert set(EXPLAINED) == set(Invariant)
    broken = {mutation.caught_by for mutation in MUTATIONS.values()}
    assert broken == set(Invariant)


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_page_has_every_mutation_beside_its_invariant(name: str) -> None:
    page = TESTS.parent / "docs" / "explanation" / "simulation.md"
    text = page.read_text(encoding="utf-8")
    invariant = MUTATIONS[name].caught_by
    row = re.search(rf"^\| `{invariant}` \| .*$", text, re.MULTILINE)
    assert row is not None
    assert f"`{name}`" in row[0]
