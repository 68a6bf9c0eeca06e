from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wsprism_cli.bench.ledger import Ledger

#: What becomes of a run of numbers: how many, and what.
runs = st.lists(
    st.tuples(st.integers(1, 5), st.sampled_from(["came", "lost", "missing", "twice"]))
)


@given(st.integers(0, 1_000), runs)
def test_every_number_is_accounted_for(head: int, fates: list[tuple[int, str]]) -> None:
    ledger, seq = Ledger(head), head
    told = dict.fromkeys(("came", "lost", "missing", "twice"), 0)
    for count, fate in [*fates, (1, "came")]:
        first, seq = seq + 1, seq + count
        told[fate] += count
        if fate == "lost":
            ledger.range(first, seq)
        elif fate != "missing":
            for number in range(first, seq + 1):
                ledger.message(number)
        if fate == "twice":
            ledger.range(first, seq)
    assert ledger.last == seq
    assert ledger.received == told["came"] + told["twice"]
    assert ledger.lost == told["lost"]
    assert ledger.missing == told["missing"]
    assert ledger.repeated == told["twice"]


def test_what_came_may_come_again_once_the_session_goes_on() -> None:
    ledger = Ledger(10)
    ledger.message(11)
    ledger.message(12)
    ledger.came_back()
    for seq in (11, 12, 13):
        ledger.message(seq)
    assert (ledger.again, ledger.repeated, ledger.missing) == (2, 0, 0)
    # What is new has come: nothing is old any more.
    ledger.message(13)
    assert (ledger.again, ledger.repeated, ledger.received) == (2, 1, 3)
    ledger.came_back()
    ledger.message(15)
    assert ledger.missing == 1


def test_a_range_that_overlaps_is_new_only_in_part() -> None:
    ledger = Ledger(10)
    ledger.message(11)
    ledger.range(11, 14)
    assert (ledger.received, ledger.lost, ledger.repeated) == (1, 3, 1)
