from __future__ import annotations

import pytest

from support.bench_results import a_result, of
from wsprism_cli.bench.gateway import LaneCounts
from wsprism_cli.bench.results import Account, Sample
from wsprism_cli.bench.scenarios import SCENARIOS
from wsprism_cli.bench.verdict import duration, judge, size


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_when_all_is_well_there_is_a_summary_and_nothing_else(scenario: str) -> None:
    result = a_result(scenario)
    judge(result)
    assert (result.problems, result.warnings) == ([], [])
    assert result.summary


# ------------------------------------------------------------------- the bottleneck


def test_a_client_that_is_the_limit_is_named() -> None:
    result = a_result("fanout")
    result.phase("chat").client_cpu = 0.97
    judge(result)
    assert result.warnings == [
        (
            "chat: the load client was the limit and not the gateway: it used 97% of"
            " its core, the gateway only 50%; the gateway can do more than this"
        ),
    ]


def test_so_it_is_where_the_gateway_cannot_be_seen() -> None:
    result = a_result("fanout")
    result.phase("chat").client_cpu = 0.97
    result.phase("chat").gateway_cpu = None
    judge(result)
    (warning,) = result.warnings
    assert "it used 97% of its core; the gateway can do more" in warning


def test_so_it_is_in_a_storm() -> None:
    result = a_result("storm")
    result.connects.client_cpu, result.connects.gateway_cpu = 0.95, 0.6
    judge(result)
    (warning,) = result.warnings
    assert warning.startswith("connecting: the load client was the limit")


def test_where_the_gateway_is_full_too_it_is_the_limit() -> None:
    result = a_result("fanout")
    result.phase("chat").client_cpu = 0.97
    result.phase("chat").gateway_cpu = 0.99
    judge(result)
    assert result.warnings == []


def test_a_client_that_is_late_is_named() -> None:
    result = a_result("flood")
    result.phase("flood").lag = of(8_000_000)
    judge(result)
    assert result.warnings == [
        (
            "flood: the load client itself was up to 8 ms late (p99), and that is in"
            " the delays"
        ),
    ]


def test_a_machine_that_is_busy_otherwise_is_named() -> None:
    result = a_result("flood")
    result.phase("calm").others_cpu = 0.2
    result.phase("flood").others_cpu = 1.34
    judge(result)
    assert result.warnings == [
        (
            "flood: other programs used 1.3 cores of this machine meanwhile; measure"
            " again when it is quiet"
        ),
    ]


def test_load_and_gateway_on_the_same_cores_are_named() -> None:
    result = a_result("echo")
    result.load_cores = ()
    judge(result)
    assert "share the cores" in result.warnings[0]


def test_refusals_and_what_could_not_be_sent_are_named() -> None:
    result = a_result("flood")
    result.errors = {"RATE_LIMITED": 12}
    result.phase("flood").of("chat").unsent = 3
    judge(result)
    assert result.warnings == [
        (
            "flood: 3 messages of chat were not sent: the gateway did not take them in"
            " time"
        ),
        "the gateway refused 12 messages with RATE_LIMITED",
    ]


# --------------------------------------------------------------------- what failed


def test_sessions_that_were_closed_fail_the_run() -> None:
    result = a_result("slow")
    result.closed = {"4001": 1, "refused": 2}
    judge(result)
    assert result.problems == [
        "1 connection was closed, code 4001",
        "2 connections were not let in again",
    ]
    assert "All sessions stayed open." not in result.summary


def test_messages_that_vanished_fail_the_run() -> None:
    result = a_result("slow")
    result.accounts = [Account(10, 5, 2, 0), Account(10, 5, 0, 1)]
    judge(result)
    assert result.problems == [
        "2 chat messages neither came nor were inside the range of a sys.lost",
        "1 chat messages came, or were told of, twice",
    ]
    assert "20 came and 10 were told of" in result.summary[1]
    assert "2 went in silence" in result.summary[1]


def test_sessions_that_do_not_come_back_fail_the_run() -> None:
    result = a_result("resume")
    assert result.returns is not None
    result.returns.dropped = 6
    result.returns.refused = {"not resumed: expired": 3}
    judge(result)
    assert result.problems == [
        "3 sessions did not come back whole: not resumed: expired",
        "1 session had not come back whole at the end",
    ]


def test_a_stream_that_stays_away_fails_the_run() -> None:
    result = a_result("echo")
    late = result.phase("chat").of("chat")
    late.received = 0
    judge(result)
    assert result.problems == []
    late.delays = of()
    result.phase("game").of("game").sent = 0
    judge(result)
    assert result.problems == [
        "chat: nothing of chat came back",
        "game: nothing of game could be sent",
    ]


def test_sessions_that_stay_fail_the_run() -> None:
    result = a_result("soak")
    result.sessions_left = 4
    judge(result)
    assert result.problems == ["4 connections were still open after all hung up"]


# ------------------------------------------------------------------------ the words


def test_flood_says_what_became_of_the_other_lanes() -> None:
    result = a_result("flood")
    result.phase("flood").of("game").delays = of(2_500_000)
    result.phase("flood").of("chat").received = 2_000_000
    judge(result)
    assert result.summary[0].startswith("Chat flooded: 1,000,000 messages delivered a")
    assert (
        "Meanwhile 99 of 100 inputs of the game took at most 2.5 ms; before the flood"
        " it was 1 ms (2.5 times as long)."
    ) in result.summary
    assert result.summary[-1].endswith("Nothing was lost, and nothing was left out.")


def test_flood_says_what_was_lost() -> None:
    result = a_result("flood")
    result.phase("flood").of("chat").counts = LaneCounts(conflated=7, lost=3)
    judge(result)
    assert "3 messages were lost to readers who were too slow" in result.summary[-1]
    for one in result.phase("flood").measured:
        one.counts = None
    judge(result)
    assert "can't be said" in result.summary[-1]


def test_memory_that_grows_is_told() -> None:
    result = a_result("soak")
    result.samples = [Sample(at, 50_000_000 + at * 10**6, 0.1, {}) for at in range(40)]
    judge(result)
    assert any("it grew by 29%" in text for text in result.summary)
    result.samples = [Sample(at, 50_000_000, 0.1, {}) for at in range(40)]
    judge(result)
    assert "The gateway's memory was 50 MB half-way and 50 MB at the end." in (
        result.summary
    )


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0 us"),
        (380_400, "380 us"),
        (999_600, "1 ms"),
        (4_123_000, "4.12 ms"),
        (999_600_000, "1 s"),
        (61_000_000_000, "61 s"),
    ],
)
def test_durations_are_short(ns: int, text: str) -> None:
    assert duration(ns) == text


def test_sizes_are_short() -> None:
    assert [size(n) for n in (7_350, 51_200_000)] == ["7.35 KB", "51 MB"]


def test_a_stream_that_did_not_flow_is_none() -> None:
    with pytest.raises(KeyError):
        a_result("flood").phase("calm").of("chat")
    with pytest.raises(KeyError):
        a_result("flood").phase("nothing")
