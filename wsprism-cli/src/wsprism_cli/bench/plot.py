"""The distribution of delays as a picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from wsprism_cli.bench.histogram import Histogram
from wsprism_cli.bench.results import Result

__all__ = ("FORMATS", "PlotError", "check", "plot")

#: By the end of the file's name.
FORMATS: Final = (".svg", ".png")
#: How rare the rarest delay is that is shown, in nines.
_NINES: Final = 5
_STEPS: Final = 40


class PlotError(Exception):
    """There can be no plot; the text says why."""


def check(path: Path) -> None:
    """See before the run whether a plot can be made.

    Raises:
        PlotError: matplotlib is not installed, or the name is of no known format.
    """
    if path.suffix.lower() not in FORMATS:
        raise PlotError(f"{path.name} must end in {' or '.join(FORMATS)}")
    if not path.absolute().parent.is_dir():
        raise PlotError(f"there is no folder {path.absolute().parent}")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise PlotError(
            "a plot needs matplotlib: pip install 'wsprism-cli[plot]', or in a checkout"
            " uv run --with matplotlib wsprism bench ... --plot FILE"
        ) from None


def plot(result: Result, path: Path) -> None:
    """Draw what was measured: a line for each lane and phase, the rarer the further.

    Args:
        result: What was measured.
        path: The file, SVG or PNG.

    Raises:
        OSError: The file can't be written.
    """
    from matplotlib.figure import Figure

    # Without pyplot there is no window, no state, and nothing to close.
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    axes = figure.add_subplot()
    for label, delays in _lines(result):
        points = list(_points(delays))
        axes.plot(*zip(*points, strict=True), label=label, linewidth=1.6)
    axes.set_yscale("log")
    ticks = range(_NINES + 1)
    axes.set_xticks(ticks, [_share(nines) for nines in ticks])
    axes.set_xlabel("percentile")
    axes.set_ylabel("milliseconds")
    axes.set_title(f"wsprism bench {result.scenario}, {result.clients:,} clients")
    axes.grid(visible=True, which="both", alpha=0.25)
    axes.legend()
    figure.savefig(path, format=path.suffix.lower().removeprefix("."), dpi=120)


def _lines(result: Result) -> Iterator[tuple[str, Histogram]]:
    for phase in result.phases:
        for one in phase.measured:
            if one.delays.count:
                yield f"{one.stream.lane} ({one.stream.name}), {phase.name}", one.delays
    if not any(phase.measured for phase in result.phases):
        yield "let in", result.connects.connect
        yield "joined", result.connects.join


def _points(delays: Histogram) -> Iterator[tuple[float, float]]:
    """Yield nines and milliseconds, as far as there are delays enough to tell."""
    for step in range(_NINES * _STEPS + 1):
        rare = 10 ** -(step / _STEPS)
        if step and rare * delays.count < 1:
            return
        yield step / _STEPS, max(1, delays.quantile(1 - rare)) / 1e6


def _share(nines: int) -> str:
    """Return `90` for one nine, `99.9` for three."""
    return f"{100 - 100 / 10**nines:.{max(0, nines - 2)}f}"
