from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsprism_core.realtime.clock import Clock
from wsprism_core.testing import VirtualClock


def test_time_stands_still_until_it_is_moved() -> None:
    clock: Clock = VirtualClock(wall_ms=1000)
    assert (clock.now(), clock.wall_ms()) == (0.0, 1000)
    assert isinstance(clock, VirtualClock)
    clock.advance(1.5)
    assert (clock.now(), clock.wall_ms()) == (1.5, 2500)


def test_many_small_steps_make_one_large_one() -> None:
    clock = VirtualClock()
    done: list[float] = []
    clock.after(1.0, lambda: done.append(clock.now()))
    for _ in range(10):
        assert done == []
        clock.advance(0.1)
    assert done == [1.0]


def test_work_runs_at_its_time_and_in_the_order_in_which_it_was_put_off() -> None:
    clock = VirtualClock()
    log: list[tuple[str, float]] = []

    def note(name: str, seconds: float) -> None:
        clock.after(seconds, lambda: log.append((name, clock.now())))

    note("late", 3)
    note("first", 1)
    note("second", 1)
    note("too late", 3.1)
    clock.advance(3)
    assert log == [("first", 1), ("second", 1), ("late", 3)]


def test_cancelled_work_is_forgotten_even_by_work_of_the_same_moment() -> None:
    clock = VirtualClock()
    log: list[str] = []

    def first() -> None:
        log.append("one")
        other.cancel()

    clock.after(1, first)
    other = clock.after(1, lambda: log.append("other"))
    clock.after(1, lambda: log.append("two"))
    clock.advance(2)
    other.cancel()
    assert log == ["one", "two"]


def test_work_that_puts_off_work_at_once_does_not_stop_time() -> None:
    clock = VirtualClock()
    log: list[float] = []

    def again() -> None:
        log.append(clock.now())
        if len(log) < 3:
            clock.after(0, again)

    clock.after(1, again)
    clock.after(2, lambda: log.append(clock.now()))
    clock.advance(5)
    assert log == [1, 1, 1, 2]


def test_the_end_of_a_turn_comes_after_each_timer() -> None:
    clock = VirtualClock()
    log: list[str] = []
    clock.after(1, lambda: clock.at_end_of_turn(lambda: log.append("end 1")))
    clock.after(2, lambda: log.append("timer 2"))
    clock.at_end_of_turn(lambda: log.append("end 0"))
    clock.advance(2)
    assert log == ["end 0", "end 1", "timer 2"]


def test_the_end_of_a_turn_comes_before_work_that_is_put_off_for_no_time() -> None:
    clock = VirtualClock()
    log: list[str] = []

    def work() -> None:
        clock.after(0, lambda: log.append("timer"))
        clock.at_end_of_turn(lambda: log.append("end"))

    clock.after(1, work)
    clock.advance(1)
    assert log == ["end", "timer"]


def test_what_the_end_of_a_turn_puts_off_waits_for_the_next_one() -> None:
    clock = VirtualClock()
    log: list[int] = []

    def first() -> None:
        log.append(1)
        clock.at_end_of_turn(lambda: log.append(2))

    clock.at_end_of_turn(first)
    assert clock.run_turn()
    assert log == [1]
    assert clock.run_turn()
    assert log == [1, 2]
    assert not clock.run_turn()


def test_settle_runs_what_is_due_and_passes_no_time() -> None:
    clock = VirtualClock()
    log: list[str] = []
    clock.after(0, lambda: clock.at_end_of_turn(lambda: log.append("end")))
    clock.after(0.001, lambda: log.append("later"))
    assert clock.settle()
    assert log == ["end"]
    assert clock.now() == 0.0
    assert not clock.settle()


def test_step_stops_at_the_next_timer() -> None:
    clock = VirtualClock()
    clock.after(2, lambda: None).cancel()
    clock.after(3, lambda: None)
    assert clock.step(5) == 2.0
    assert clock.now() == 3.0
    assert clock.step(2) == 0.0
    assert clock.now() == 5.0


def test_what_work_raises_reaches_the_test() -> None:
    clock = VirtualClock()
    clock.after(1, lambda: {}["nothing"])  # type: ignore[index]
    with pytest.raises(KeyError):
        clock.advance(1)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans())))
def test_order_is_by_time_then_by_insertion(plan: list[tuple[int, bool]]) -> None:
    clock = VirtualClock()
    ran: list[tuple[int, int]] = []
    timers = [
        clock.after(seconds, lambda one=(seconds, place): ran.append(one))  # type: ignore[misc]
        for place, (seconds, _) in enumerate(plan)
    ]
    for timer, (_, is_cancelled) in zip(timers, plan, strict=True):
        if is_cancelled:
            timer.cancel()
    clock.advance(5)
    kept = [(s, place) for place, (s, gone) in enumerate(plan) if not gone]
    assert ran == sorted(kept)
