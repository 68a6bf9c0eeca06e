from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wsprism_core.backplane.receipts import Receipts
from wsprism_core.realtime.channel import Receipt


def add(receipts: Receipts, publisher: str, *ids: int, ts: int = 0) -> None:
    for id in ids:
        receipts.add((publisher, str(id)), Receipt(seq=id), ts)


def known(receipts: Receipts, publisher: str, *ids: int) -> list[int]:
    return [id for id in ids if receipts.get((publisher, str(id))) is not None]


def test_a_window_is_bounded_and_the_oldest_goes_first() -> None:
    receipts = Receipts(2, 1_000)
    add(receipts, "ann", 1, 2, 3)
    assert known(receipts, "ann", 1, 2, 3) == [2, 3]
    assert receipts.get(("ann", "3")) == Receipt(seq=3)
    assert len(receipts) == 2


def test_others_push_nothing_out_while_a_publisher_may_try_again() -> None:
    receipts = Receipts(3, 1_000)
    add(receipts, "ann", 1)
    add(receipts, "bob", *range(100), ts=999)
    assert known(receipts, "ann", 1) == [1]
    assert len(receipts) == 4


def test_who_has_gone_quiet_is_forgotten_where_there_are_too_many() -> None:
    receipts = Receipts(3, 1_000)
    add(receipts, "ann", 1)
    add(receipts, "bob", 1, 2, ts=5_000)
    # As many as that may stay for as long as the room does.
    assert known(receipts, "ann", 1) == [1]
    add(receipts, "bob", 3, ts=5_000)
    assert known(receipts, "ann", 1) == []
    assert known(receipts, "bob", 1, 2, 3) == [1, 2, 3]


def test_an_id_that_comes_again_counts_once() -> None:
    receipts = Receipts(2, 1_000)
    add(receipts, "ann", 1, 2, 1, 3)
    assert known(receipts, "ann", 1, 2, 3) == [1, 3]
    assert len(receipts) == 2


def test_without_a_window_nothing_is_remembered() -> None:
    receipts = Receipts(0, 1_000)
    add(receipts, "ann", 1)
    assert (known(receipts, "ann", 1), len(receipts)) == ([], 0)


@given(
    window=st.integers(0, 4),
    added=st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 9), st.integers(0, 400)),
        max_size=60,
    ),
)
def test_each_has_a_window_of_its_own(
    window: int, added: list[tuple[str, int, int]]
) -> None:
    receipts = Receipts(window, 1_000)
    said: dict[str, dict[int, int]] = {}
    now = 0
    for publisher, id, later in added:
        now += later
        add(receipts, publisher, id, ts=now)
        ids = said.setdefault(publisher, {})
        ids.pop(id, None)
        ids[id] = now
        count = 0
        for one, times in said.items():
            found = set(known(receipts, one, *range(10)))
            count += len(found)
            mine = list(times)[-window:] if window else []
            assert found <= set(mine)
            assert found >= {id for id in mine if times[id] > now - 1_000}
        assert len(receipts) == count
