from __future__ import annotations

from typing import TYPE_CHECKING

from support.bench_results import a_result
from wsprism_cli.bench.conductor import Progress
from wsprism_cli.bench.scenarios import SCENARIOS, Wishes
from wsprism_cli.bench.verdict import judge
from wsprism_cli.bench.view import show_progress, show_result

if TYPE_CHECKING:
    import pytest


def test_a_table_for_each_phase_then_the_words(
    capsys: pytest.CaptureFixture[str],
) -> None:
    result = a_result("flood")
    judge(result)
    result.warnings, result.problems = ["mind \x1b[0m"], ["broken"]
    show_result(result)
    lines = capsys.readouterr().out.splitlines()
    at = lines.index("calm: 2.0 s, gateway CPU 50%, memory 50 MB, client CPU 50%")
    assert lines[at + 1].split() == [
        *("lane", "what", "sent/s", "received/s"),
        *("p50", "p90", "p99", "p99.9", "max", "lost", "conflated"),
    ]
    game = next(line for line in lines if line.startswith("realtime"))
    assert game.split() == [*"realtime game 50 100".split(), *["1", "ms"] * 5, "0", "0"]
    assert any(line.startswith("flood: 2.0 s") for line in lines)
    assert lines[-2:] == [r"note: mind \x1b[0m", "failed: broken"]
    assert result.summary[0] in lines


def test_a_storm_has_no_lanes_but_connections(
    capsys: pytest.CaptureFixture[str],
) -> None:
    result = a_result("storm")
    result.connects.connect.record(3_000_000)
    judge(result)
    show_result(result)
    told = capsys.readouterr().out
    assert "let in  p50 3 ms" in told
    assert "4,000 a second" in told
    assert "lane" not in told


def test_where_nobody_looks_each_step_is_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    progress = Progress(SCENARIOS["echo"].make(Wishes()))
    with show_progress() as watch:
        for progress.doing in ("connecting", "chat", "chat", "game"):
            watch(progress)
    assert capsys.readouterr() == ("", "echo: connecting\necho: chat\necho: game\n")
