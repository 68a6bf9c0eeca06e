from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsprism_core.history.port import Retention
from wsprism_core.history.retention import ENVELOPE_BYTES, RetentionWindow, as_json


def after(retention: Retention, *added: tuple[int, int]) -> tuple[list[int], int]:
    """Return how many were forgotten with each, and how many are kept."""
    window = RetentionWindow(retention)
    return [window.add(size, ts) for size, ts in added], len(window)


def test_the_oldest_goes_when_there_are_too_many() -> None:
    added = [(10, 1_000)] * 4
    assert after(Retention(messages=2), *added) == ([0, 0, 1, 1], 2)
    assert after(Retention(messages=0), *added) == ([1, 1, 1, 1], 0)


def test_the_oldest_go_when_they_take_too_much() -> None:
    room = 2 * (ENVELOPE_BYTES + 100)
    kept = Retention(bytes=room)
    assert after(kept, (100, 1), (100, 2), (1, 3)) == ([0, 0, 1], 2)
    # What is too large by itself takes the others with it.
    assert after(kept, (100, 1), (100, 2), (room, 3)) == ([0, 0, 3], 0)


def test_the_oldest_go_when_they_are_too_old() -> None:
    times = [(10, 1_000), (10, 2_000), (10, 4_000), (10, 4_001)]
    assert after(Retention(age=2), *times) == ([0, 0, 1, 1], 2)


def test_what_is_kept_already_counts() -> None:
    window = RetentionWindow(Retention(messages=2), [(10, 1), (10, 2)])
    assert len(window) == 2
    assert window.add(10, 3) == 1


def test_what_is_cleared_counts_no_more() -> None:
    kept = Retention(messages=2, bytes=2 * (ENVELOPE_BYTES + 10))
    window = RetentionWindow(kept, [(10, 1), (10, 2)])
    window.clear()
    assert len(window) == 0
    assert [window.add(10, 3), window.add(10, 4), window.add(10, 5)] == [0, 0, 1]


def test_the_newest_have_a_size() -> None:
    window = RetentionWindow(Retention(messages=3), [(1, 1), (20, 1)])
    window.add(300, 1)
    assert window.add(4_000, 1) == 1
    sizes = [window.newest(count) - count * ENVELOPE_BYTES for count in range(4)]
    assert sizes == [0, 4_000, 4_300, 4_320]
    assert window.newest(9) == window.newest(3)


def test_what_json_cannot_say_is_told() -> None:
    assert as_json({"msg": "hi"}) == b'{"msg":"hi"}'
    with pytest.raises(ValueError, match="not JSON serializable"):
        as_json({"msg": object()})


@given(
    retention=st.builds(
        Retention,
        messages=st.integers(0, 6),
        bytes=st.sampled_from([0, 150, 400, 2_000]),
        age=st.sampled_from([0.0, 1.0, 5.0]),
    ),
    added=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 8_000)), max_size=40),
)
def test_it_is_what_one_bound_after_the_other_leaves(
    retention: Retention, added: list[tuple[int, int]]
) -> None:
    window = RetentionWindow(retention)
    kept: list[tuple[int, int]] = []
    for size, ts in added:
        kept.append((size + ENVELOPE_BYTES, ts))
        before = len(kept)
        while len(kept) > retention.messages:
            del kept[0]
        while retention.bytes and sum(size for size, _ in kept) > retention.bytes:
            del kept[0]
        while retention.age and kept and kept[0][1] < ts - retention.age * 1000:
            del kept[0]
        assert window.add(size, ts) == before - len(kept)
        assert len(window) == len(kept)
        assert window.newest(len(kept)) == sum(size for size, _ in kept)
