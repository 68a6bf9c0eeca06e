from __future__ import annotations

import asyncio

import pytest

from wsprism_core.recording.clock import LiveTurnClock, TurnClock


def test_time_stands_still_within_a_turn() -> None:
    clock = TurnClock(1000)
    assert (clock.now(), clock.wall_ms()) == (0.0, 1000)
    clock.started()
    clock.begin(2_500_000_000, 3500)
    assert (clock.now(), clock.wall_ms()) == (2.5, 3500)


def test_timers_run_in_the_turn_that_begins_behind_them() -> None:
    clock, ran = TurnClock(0), []
    clock.after(2.0, lambda: ran.append(("two", clock.now())))
    clock.after(1.0, lambda: ran.append(("one", clock.now())))
    gone = clock.after(1.5, lambda: ran.append(("gone", clock.now())))
    clock.after(3.0, lambda: ran.append(("three", clock.now())))
    gone.cancel()
    clock.started()
    clock.begin(2_100_000_000, 0)
    assert ran == [("one", 2.1), ("two", 2.1)]


def test_what_a_timer_puts_off_waits_for_the_next_turn() -> None:
    clock, ran = TurnClock(0), []

    def first() -> None:
        ran.append("first")
        clock.after(0.0, lambda: ran.append("second"))
        clock.at_end_of_turn(lambda: ran.append("end"))

    clock.after(1.0, first)
    clock.started()
    clock.begin(1_000_000_000, 0)
    clock.end()
    assert ran == ["first", "end"]
    clock.begin(1_000_000_001, 0)
    assert ran == ["first", "end", "second"]


def test_what_is_put_off_from_outside_does_not_run_again() -> None:
    clock, ran = TurnClock(0), []
    clock.started()
    assert not clock.inside
    clock.after(0.0, lambda: ran.append("outside"))
    clock.begin(1, 0)
    assert ran == []


def test_work_that_fails_stops_nothing() -> None:
    clock, ran = TurnClock(0), []

    def fail() -> None:
        raise ZeroDivisionError

    clock.after(0.0, fail)
    clock.after(0.0, lambda: ran.append("next"))
    clock.started()
    clock.begin(1, 0)
    assert ran == ["next"]
    assert not clock.inside


class Live:
    """A live clock, and what it was told."""

    def __init__(self) -> None:
        self.turns: list[tuple[float, str]] = []
        self.clock = LiveTurnClock(
            asyncio.get_running_loop(),
            begun=lambda: self.turns.append((self.clock.now(), "begun")),
            ended=lambda: self.turns.append((self.clock.now(), "ended")),
        )


async def test_a_turn_ends_when_all_is_handled_that_was_ready() -> None:
    live = Live()
    clock = live.clock
    clock.started()
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    times = []

    def come() -> None:
        inside = clock.enter()
        times.append(clock.now())
        clock.leave(inside)

    asyncio.get_running_loop().call_soon(come)
    asyncio.get_running_loop().call_soon(come)
    inside = clock.enter()
    clock.at_end_of_turn(lambda: ended.set_result(None))
    clock.leave(inside)
    await ended
    await asyncio.sleep(0)
    assert len(set(times)) == 1
    assert [what for _, what in live.turns] == ["begun", "ended"]
    # Between turns time passes.
    assert clock.now() > times[0]


async def test_a_timer_begins_a_turn_of_its_own() -> None:
    live = Live()
    clock = live.clock
    ran: asyncio.Future[float] = asyncio.get_running_loop().create_future()
    clock.after(0.01, lambda: ran.set_result(clock.now()))
    later = clock.after(60.0, lambda: None)
    clock.started()
    async with asyncio.timeout(5):
        assert await ran >= 0.01
    later.cancel()
    clock.stop()


async def test_what_is_put_off_from_outside_runs_outside() -> None:
    live = Live()
    live.clock.started()
    ran: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    live.clock.after(0.0, lambda: ran.set_result(live.clock.inside))
    async with asyncio.timeout(5):
        assert await ran is False
    assert live.turns == []


async def test_a_stopped_clock_begins_no_turn_for_timers() -> None:
    live = Live()
    live.clock.after(0.0, lambda: pytest.fail("it ran"))
    live.clock.stop()
    live.clock.started()
    for _ in range(5):
        await asyncio.sleep(0)
    assert live.turns == []
