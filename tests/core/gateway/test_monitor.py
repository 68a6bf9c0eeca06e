from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from wsprism_core.gateway.monitor import LAG_BUCKETS, TICK, LagReading, Monitor
from wsprism_core.gateway.watchdog import Blame
from wsprism_core.metrics import Metrics
from wsprism_core.testing.clock import VirtualClock


class Late(VirtualClock):
    """A clock on which timers can be late."""

    def block(self, seconds: float) -> None:
        """Let time pass in which nothing runs, and then the timer that is due."""
        self._now += round(seconds * 1e9)
        self.settle()


class Totals:
    def __init__(self) -> None:
        self.received = 0
        self.sent = [0, 0]

    def __call__(self) -> tuple[int, list[int]]:
        return self.received, list(self.sent)


class Watched:
    """Stands in for the watchdog."""

    def __init__(self) -> None:
        self.blame = Blame()

    def beat(self) -> Blame:
        return self.blame

    def stop(self) -> None:
        pass


@contextmanager
def measuring(slow: float = 0.0) -> Iterator[tuple[Monitor, Late, Totals, Metrics]]:
    clock, totals, metrics = Late(), Totals(), Metrics()
    monitor = Monitor(clock, metrics, totals, slow=slow)
    monitor.start({})
    try:
        yield monitor, clock, totals, metrics
    finally:
        monitor.stop()


def advance(clock: Late, seconds: float) -> None:
    left = seconds
    while left > 0:
        left = clock.step(left)
        clock.settle()


def test_before_it_starts_all_is_nothing() -> None:
    monitor = Monitor(Late(), Metrics(), Totals(), slow=0.25)
    assert monitor.lag() == LagReading(0, 0, 0)
    assert (monitor.in_rate, monitor.lane_rates, monitor.cpu) == (0, [], 0)
    assert [one.count for one in monitor.gc()] == [0, 0, 0]
    monitor.stop()


def test_an_event_loop_on_time_has_no_lag() -> None:
    with measuring() as (monitor, clock, _, _):
        advance(clock, 10)
        assert monitor.lag().max == pytest.approx(0)
        buckets, total = monitor.lag_histogram()
        assert buckets[0][1] == buckets[-1][1] == pytest.approx(10 / TICK, abs=1)
        assert total == pytest.approx(0)


def test_how_late_it_is_is_measured() -> None:
    with measuring() as (monitor, clock, _, _):
        advance(clock, 5)
        clock.block(TICK + 0.3)
        advance(clock, 1)
        lag = monitor.lag()
        assert [lag.p50, lag.max] == pytest.approx([0, 0.3])
        buckets, total = monitor.lag_histogram()
        assert [bound for bound, _ in buckets] == [*map(str, LAG_BUCKETS), "+Inf"]
        counts = dict(buckets)
        assert counts["0.5"] - counts["0.25"] == 1
        assert counts["+Inf"] == counts["0.5"]
        assert total == pytest.approx(0.3)


def test_a_lag_is_forgotten_after_ten_seconds_but_not_by_the_histogram() -> None:
    with measuring() as (monitor, clock, _, _):
        clock.block(TICK + 9)
        advance(clock, 9.9)
        assert monitor.lag().max == pytest.approx(9)
        advance(clock, 0.2)
        assert monitor.lag().max == pytest.approx(0)
        buckets, _ = monitor.lag_histogram()
        assert buckets[-1][1] - buckets[-2][1] == 1


def test_rates_are_those_of_the_last_second() -> None:
    with measuring() as (monitor, clock, totals, _):
        totals.received, totals.sent = 100, [1000, 10]
        advance(clock, 1.01)
        assert monitor.in_rate == pytest.approx(100)
        assert monitor.lane_rates == pytest.approx([1000, 10])
        assert monitor.cpu > 0
        totals.sent = [1000, 40]
        advance(clock, 1)
        assert monitor.in_rate == 0
        assert monitor.lane_rates == pytest.approx([0, 30])


def test_pauses_of_the_collector_are_timed_while_it_runs() -> None:
    with measuring() as (monitor, _, _, _):
        before = monitor.gc()
        gc.collect(1)
        gc.collect(1)
        after = monitor.gc()
        assert [one.generation for one in after] == [0, 1, 2]
        assert after[1].count == before[1].count + 2
        assert after[1].total_s >= after[1].max_s > 0
    gc.collect(1)
    assert monitor.gc()[1].count == after[1].count


@pytest.mark.parametrize(
    ("blame", "metric", "event"),
    [
        (
            Blame("chat", "on_message", "chat", "chat.service:send:7"),
            ("chat", "on_message", "chat"),
            "slow_handler",
        ),
        (Blame(where="json:loads:1"), ("none", "none", "none"), "event_loop_late"),
    ],
)
def test_a_block_is_one_count_and_one_line(
    blame: Blame, metric: Any, event: str, caplog: pytest.LogCaptureFixture
) -> None:
    with measuring(slow=0.25) as (monitor, clock, _, metrics):
        assert monitor._watchdog is not None
        monitor._watchdog.stop()
        watched = Watched()
        monitor._watchdog = watched  # type: ignore[assignment]
        with caplog.at_level(logging.WARNING, "wsprism"):
            watched.blame = blame
            clock.block(TICK + 0.2)
            assert not metrics.slow_handlers
            clock.block(TICK + 5)
            watched.blame = Blame()
            advance(clock, 1)
        assert metrics.slow_handlers == {metric: 1}
        (line,) = caplog.records
        assert line.getMessage() == event
        fields = vars(line)["fields"]
        assert fields["ms"] == 5000
        assert fields["where"] == blame.where
        assert (fields["plugin"], fields["hook"], fields["svc"]) == metric


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux' /proc")
def test_memory_is_what_the_process_holds() -> None:
    monitor = Monitor(Late(), Metrics(), Totals(), slow=0)
    before = monitor.memory()
    assert before is not None
    ballast = b"x" * 50_000_000
    after = monitor.memory()
    assert after is not None
    assert after - before > 0.9 * len(ballast)


def test_where_there_is_no_proc_memory_is_the_peak(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("wsprism_core.gateway.monitor._STATM", "/no/such/file")
    memory = Monitor(Late(), Metrics(), Totals(), slow=0).memory()
    assert memory is None or memory > 10_000_000
