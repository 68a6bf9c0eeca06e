from __future__ import annotations

import sys
from pathlib import Path

import pytest

from support.bench_results import a_result
from wsprism_cli.bench.plot import PlotError, check, plot


@pytest.mark.parametrize("scenario", ["flood", "storm"])
def test_a_line_for_each_lane_and_phase(scenario: str, tmp_path: Path) -> None:
    result = a_result(scenario)
    result.connects.connect.record(1_000_000)
    result.connects.join.record(2_000_000)
    path = tmp_path / "delays.svg"
    plot(result, path)
    drawn = path.read_text(encoding="utf-8")
    assert drawn.startswith("<?xml")
    labels = (
        ("realtime (game), calm", "interactive (chat), flood")
        if scenario == "flood"
        else ("let in", "joined")
    )
    # Text is drawn as shapes; what it says stands beside them in a comment.
    for label in labels:
        assert f"<!-- {label} -->" in drawn


def test_a_png_is_one(tmp_path: Path) -> None:
    path = tmp_path / "delays.PNG"
    plot(a_result("echo"), path)
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["x.pdf", "x", "missing/x.svg"])
def test_what_cannot_be_is_refused_before(name: str, tmp_path: Path) -> None:
    with pytest.raises(PlotError):
        check(tmp_path / name)


def test_without_matplotlib_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(PlotError, match=r"pip install 'wsprism-cli\[plot\]'") as error:
        check(tmp_path / "x.svg")
    assert "uv run --with matplotlib wsprism bench ... --plot" in str(error.value)
