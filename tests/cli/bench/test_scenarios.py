from __future__ import annotations

import click
import pytest

from wsprism_cli.bench.command import bench
from wsprism_cli.bench.scenarios import SCENARIOS, Wishes
from wsprism_cli.bench.wire import LARGEST, SMALLEST


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("clients", [None, 4, 7, 1_000])
def test_a_plan_fits_together(name: str, clients: int | None) -> None:
    plan = SCENARIOS[name].make(Wishes(clients=clients))
    sizes = {group.name: group.size for group in plan.groups}
    streams = {stream.name: stream for stream in plan.streams}
    assert all(size >= 0 for size in sizes.values())
    assert plan.clients == sum(sizes.values())
    for stream in streams.values():
        assert stream.senders <= sizes[stream.group]
        assert (stream.kind == "ticker") == (stream.senders == 0)
        if stream.senders:
            assert bool(stream.rate) != bool(stream.window)
    for phase in plan.phases:
        assert set(phase.streams) <= set(streams)
        assert phase.counted is None or phase.counted in streams
    assert any(phase.recorded for phase in plan.phases)


@pytest.mark.parametrize("name", ["echo", "fanout", "flood", "soak"])
def test_as_many_connect_as_were_asked_for(name: str) -> None:
    for clients in range(SCENARIOS[name].least_clients, 60):
        assert SCENARIOS[name].make(Wishes(clients=clients)).clients == clients


def test_slow_adds_the_two_who_send() -> None:
    assert SCENARIOS["slow"].make(Wishes(clients=3)).clients == 5


def test_a_rate_opens_the_loop() -> None:
    for name in ("echo", "fanout"):
        for stream in SCENARIOS[name].make(Wishes(rate=10)).streams:
            assert (stream.rate, stream.window) == (10, 0)


def test_too_few_clients_and_too_small_messages_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 clients"):
        SCENARIOS["flood"].make(Wishes(clients=1))
    with pytest.raises(ValueError, match="at least 26 bytes"):
        SCENARIOS["echo"].make(Wishes(size=25))


def test_the_command_knows_how_large_a_message_may_be() -> None:
    (size,) = (one for one in bench.params if one.name == "size")
    assert isinstance(size.type, click.IntRange)
    assert (size.type.min, size.type.max) == (SMALLEST, LARGEST)


def test_a_window_is_for_a_closed_loop() -> None:
    assert SCENARIOS["flood"].make(Wishes(window=3)).streams[-1].window == 3
    with pytest.raises(ValueError, match="has no closed loop"):
        SCENARIOS["soak"].make(Wishes(window=3))
    with pytest.raises(ValueError, match="a rate or a window, not both"):
        SCENARIOS["flood"].make(Wishes(window=3, rate=3))


def test_the_help_tells_of_every_scenario() -> None:
    assert set(bench.params[0].type.choices) == set(SCENARIOS)  # type: ignore[attr-defined]
    for name, scenario in SCENARIOS.items():
        assert f"  {name:<8} {scenario.summary}\n" in (bench.epilog or "")
