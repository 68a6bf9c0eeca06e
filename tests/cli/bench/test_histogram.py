from __future__ import annotations

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from wsprism_cli.bench.histogram import Histogram

durations = st.lists(st.integers(0, 2**47 - 1), min_size=1, max_size=200)
shares = st.floats(0, 1)


def recorded(values: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


@given(durations, shares)
def test_a_quantile_is_at_most_a_64th_too_large(
    values: list[int], share: float
) -> None:
    exact = sorted(values)[max(1, math.ceil(share * len(values))) - 1]
    found = recorded(values).quantile(share)
    assert exact <= found <= exact + exact / 64


@given(durations)
def test_the_longest_is_exact(values: list[int]) -> None:
    histogram = recorded(values)
    assert histogram.max == max(values) == histogram.quantile(1)
    assert histogram.count == len(values)


@given(durations, durations, shares)
def test_adding_is_as_recording_in_one(
    some: list[int], others: list[int], share: float
) -> None:
    both = recorded(some)
    both.add(recorded(others))
    assert both.to_json() == recorded(some + others).to_json()
    assert both.quantile(share) == recorded(some + others).quantile(share)


@given(durations)
def test_it_comes_back_from_json(values: list[int]) -> None:
    told = json.loads(json.dumps(recorded(values).to_json()))
    back = Histogram.from_json(told)
    assert (back.to_json(), back.count) == (told, len(values))


@given(durations, durations)
def test_what_came_since_is_what_was_recorded_since(
    before: list[int], since: list[int]
) -> None:
    fresh = recorded(before + since).without(recorded(before))
    counts, expected = fresh.to_json(), recorded(since).to_json()
    assert counts.pop("max") >= expected.pop("max")
    assert counts == expected


def test_nothing_has_no_duration() -> None:
    assert (Histogram().quantile(0.99), Histogram().max) == (0, 0)


def test_what_is_out_of_range_is_at_its_ends() -> None:
    histogram = recorded([-5, 2**60, 2**59])
    assert histogram.quantile(0.1) == 0
    assert histogram.quantile(0.5) == 2**47 - 1
    assert histogram.max == 2**60
