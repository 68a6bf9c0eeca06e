from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsprism_core.realtime.wheel import SLOTS, Wheel
from wsprism_core.testing.clock import VirtualClock, VirtualTimer


def turning(tick: float = 0.1) -> tuple[VirtualClock, Wheel]:
    clock = VirtualClock()
    wheel = Wheel(clock, tick)
    wheel.start()
    return clock, wheel


@given(st.lists(st.floats(0, 60), max_size=20), st.floats(0.05, 2))
def test_work_is_done_once_when_it_is_due_and_at_most_a_tick_later(
    delays: list[float], tick: float
) -> None:
    clock, wheel = turning(tick)
    done: list[tuple[float, float]] = []

    def note(delay: float) -> None:
        done.append((delay, clock.now()))

    for delay in delays:
        wheel.after(delay, partial(note, delay))
    clock.advance(60 + 2 * tick)
    assert sorted(delay for delay, _ in done) == sorted(delays)
    for delay, when in done:
        assert delay - 1e-6 <= when <= max(delay, 0) + tick + 1e-6
    assert len(wheel) == 0


def test_further_ahead_than_the_wheel_is_round() -> None:
    clock, wheel = turning()
    done: list[float] = []
    for rounds in (1, 2, 5):
        wheel.after(SLOTS * 0.1 * rounds, lambda: done.append(clock.now()))
    clock.advance(SLOTS * 0.1 * 6)
    expected = [SLOTS * 0.1 * rounds for rounds in (1, 2, 5)]
    assert [math.isclose(a, b) for a, b in zip(done, expected, strict=True)] == [
        True
    ] * 3


def test_what_is_cancelled_is_never_done() -> None:
    clock, wheel = turning()
    deadline = wheel.after(1, pytest.fail)
    deadline.cancel()
    deadline.cancel()
    assert len(wheel) == 0
    clock.advance(5)


def test_work_may_cancel_what_is_due_with_it_and_put_off_more() -> None:
    clock, wheel = turning()
    done: list[str] = []

    def first() -> None:
        done.append("first")
        second.cancel()
        wheel.after(0.1, lambda: done.append("third"))

    wheel.after(1, first)
    second = wheel.after(1, lambda: done.append("second"))
    clock.advance(1.05)
    assert done == ["first"]
    clock.advance(0.1)
    assert done == ["first", "third"]


class StuckClock(VirtualClock):
    """Its timers run when told to: a loop that is blocked is that late."""

    def __init__(self) -> None:
        super().__init__()
        self.due: Callable[[], None] = pytest.fail

    def after(self, seconds: float, work: Callable[[], None]) -> VirtualTimer:
        self.due = work
        return super().after(1_000, work)


def test_a_blocked_loop_puts_deadlines_off() -> None:
    clock = StuckClock()
    wheel = Wheel(clock, 0.1)
    wheel.start()
    done: list[int] = []
    wheel.after(0.3, lambda: done.append(wheel.ticks))
    for _ in range(3):
        assert done == []
        clock.advance(5)
        clock.due()
    assert done == [3]


def test_a_wheel_that_is_stopped_turns_no_more() -> None:
    clock, wheel = turning()
    wheel.after(1, pytest.fail)
    wheel.stop()
    wheel.stop()
    clock.advance(5)
    assert wheel.ticks == 0


@pytest.mark.parametrize("runs", [True, False], ids=["after it ran", "cancelled"])
def test_a_deadline_that_is_over_keeps_nothing_alive(runs: bool) -> None:
    class Owner:
        def work(self) -> None:
            pass

    clock, wheel = turning()
    owner = Owner()
    gone = weakref.ref(owner)
    deadline = wheel.after(1.0, owner.work)
    del owner
    assert gone() is not None
    if runs:
        clock.advance(2.0)
    else:
        deadline.cancel()
    assert gone() is None
    # Whoever has it still may cancel it again.
    deadline.cancel()


def test_what_fails_and_never_should_costs_the_others_a_tick() -> None:
    clock, wheel = turning()
    done: list[str] = []

    def fail() -> None:
        raise RuntimeError("a bug")

    wheel.after(1, lambda: done.append("first"))
    wheel.after(1, fail)
    wheel.after(1, lambda: done.append("third"))
    with pytest.raises(RuntimeError):
        clock.advance(1.05)
    assert done == ["first"]
    clock.advance(0.2)
    assert done == ["first", "third"]
