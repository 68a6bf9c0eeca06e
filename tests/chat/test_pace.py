from __future__ import annotations

from wsprism_chat.pace import Pace


def test_so_many_pass_and_the_next_waits_for_the_oldest() -> None:
    pace = Pace(2, 10)
    assert pace.take("a", 0) == pace.take("a", 4) == 0
    assert pace.take("a", 5) == 5
    # What had to wait was not counted.
    assert pace.take("a", 10) == 0
    assert pace.take("a", 10) == 4


def test_each_key_is_counted_by_itself() -> None:
    pace = Pace(1, 10)
    assert pace.take(("r1", "ann"), 0) == pace.take(("r2", "ann"), 0) == 0
    assert pace.take(("r1", "ann"), 1) == 9


def test_none_at_all_is_none() -> None:
    assert Pace(0, 10).take("a", 0) == 10


def test_what_counts_no_more_is_forgotten() -> None:
    pace = Pace(2, 10)
    for n in range(100):
        pace.take(n, n)
        assert len(pace) <= 10
    pace.take("a", 200)
    assert len(pace) == 1
