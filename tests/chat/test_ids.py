from __future__ import annotations

from collections.abc import Iterator
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from wsprism_chat.ids import ID_LENGTH, MessageIds

#: Milliseconds of a clock that may stand still and go back.
TIMES = st.lists(st.integers(0, 2**44 - 1), min_size=1, max_size=50)


def ids_at(times: list[int], seed: int) -> Iterator[str]:
    clock = iter(times)
    source = MessageIds(lambda: next(clock), Random(seed))
    return (source.next() for _ in times)


@given(TIMES, st.integers())
def test_ids_are_unique_and_sort_in_the_order_of_issue(
    times: list[int], seed: int
) -> None:
    issued = list(ids_at(times, seed))
    assert issued == sorted(set(issued))


@given(TIMES, st.integers())
def test_the_same_seed_and_times_issue_the_same_ids(
    times: list[int], seed: int
) -> None:
    assert list(ids_at(times, seed)) == list(ids_at(times, seed))


@given(TIMES, st.integers())
def test_ids_are_short_and_safe_in_a_url(times: list[int], seed: int) -> None:
    for issued in ids_at(times, seed):
        assert len(issued) == ID_LENGTH
        assert issued.isalnum()
        assert issued == issued.lower()


def test_two_sources_at_the_same_time_issue_different_ids() -> None:
    ours = set(ids_at([1_767_225_600_000] * 1_000, seed=1))
    theirs = set(ids_at([1_767_225_600_000] * 1_000, seed=2))
    assert ours.isdisjoint(theirs)


def test_an_id_is_its_milliseconds_and_random_bits() -> None:
    class Ones(Random):
        def getrandbits(self, k: int, /) -> int:
            return (1 << k) - 1

    assert MessageIds(lambda: 0, Ones()).next() == "00000000000" + "7" + "f" * 8
    assert MessageIds(lambda: 1, Ones()).next() == "00000000001" + "7" + "f" * 8


def test_ids_of_one_millisecond_are_counted_up() -> None:
    source = MessageIds(lambda: 5, Random(1))
    first, second = source.next(), source.next()
    assert int(second, 16) == int(first, 16) + 1
