"""Results of `wsprism bench` that nobody had to wait for."""

from __future__ import annotations

from wsprism_cli.bench.gateway import LaneCounts
from wsprism_cli.bench.histogram import Histogram
from wsprism_cli.bench.results import Measured, PhaseResult, Result, Returns
from wsprism_cli.bench.scenarios import SCENARIOS, Wishes


def of(*delays: int) -> Histogram:
    """Return a histogram of durations in nanoseconds."""
    histogram = Histogram()
    for delay in delays:
        histogram.record(delay)
    return histogram


def a_result(scenario: str) -> Result:
    """Return a result in which everything took a millisecond."""
    plan = SCENARIOS[scenario].make(Wishes())
    phases = [
        PhaseResult(
            phase.name,
            2.0,
            [
                Measured(
                    stream,
                    sent=100 if stream.senders else 0,
                    received=200,
                    delays=of(1_000_000),
                    counts=LaneCounts(),
                )
                for stream in plan.streams
                if stream.name in phase.streams
            ],
            gateway_cpu=0.5,
            memory=50_000_000,
            client_cpu=0.5,
        )
        for phase in plan.phases
        if phase.recorded
    ]
    result = Result(scenario, plan.clients, 1, True, (0,), (1,), phases=phases)
    if scenario == "resume":
        result.returns = Returns(dropped=2, back=of(1, 2), whole=of(3, 4), again=5)
    result.connects.count, result.connects.seconds = plan.clients, 0.5
    return result
