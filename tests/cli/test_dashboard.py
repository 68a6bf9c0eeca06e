from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from support.readings import LANES, reading, session
from wsprism_cli.dashboard import duration, render, size, sorted_sessions


def shown(told: dict[str, Any], width: int = 120, **options: Any) -> list[str]:
    screen = Console(width=width, markup=False, emoji=False, color_system=None)
    with screen.capture() as capture:
        screen.print(render(told, url="http://x:1", width=width, **options))
    return [line.rstrip() for line in capture.get().splitlines()]


def test_everything_that_is_read_is_shown() -> None:
    lines = shown(reading())
    assert lines[0] == (
        "wsprism top  http://x:1  up 2 h 05 min  sessions 1,234 (1 stalled)  rooms 2"
    )
    assert lines[1] == (
        "in 12.3/s  out 5,679/s  waiting 4.0 KiB  CPU 50%  memory 50.0 MiB"
    )
    assert lines[2] == (
        "loop lag p50 0.5 ms  p99 2.0 ms  max 300 ms  GC 11 pauses, longest 4.0 ms"
    )
    words = [line.split() for line in lines]
    assert words[4][:4] == ["lane", "out/s", "waiting", "bytes"]
    assert [row[0] for row in words[5:10]] == LANES
    assert words[8][-2:] == ["3", "0"]
    assert "sessions by waiting, 1,234 in all" in lines
    a1 = next(line for line in lines if line.startswith("a1 "))
    assert a1.split()[1:3] == ["user:a1", "acme"]
    assert a1.endswith("2.5 s          7    4.0 KiB  interactive 7 for 250 ms, 3 lost")
    lobby = next(line.split() for line in lines if line.startswith("lobby"))
    assert lobby == ["lobby", "acme", "99.5/s", "40", "41", "1,000,000"]


def test_an_unknown_memory_is_no_number() -> None:
    told = reading()
    told["overview"]["memory_bytes"] = None
    assert "memory -" in shown(told)[1]


@pytest.mark.parametrize("width", [80, 60])
def test_a_narrow_terminal_leaves_out_columns_and_cuts_no_number(width: int) -> None:
    lines = shown(reading(), width=width)
    a1 = next(line for line in lines if line.startswith("a1 "))
    assert "acme" not in a1
    assert a1.split()[1:7] == ["user:a1", "2.5", "s", "7", "4.0", "KiB"]
    assert all(len(line) <= width for line in lines)


@pytest.mark.parametrize("height", [24, 30, 50])
def test_what_does_not_fit_is_left_out(height: int) -> None:
    told = reading()
    told["sessions"]["items"] = [session(f"{n:x}") for n in range(100)]
    told["rooms"]["items"] *= 100
    lines = shown(told, height=height)
    assert height - 3 <= len(lines) <= height
    assert any(line.startswith("lobby") for line in lines)
    assert any(line.startswith("0 ") for line in lines)


def test_what_clients_chose_commands_no_terminal() -> None:
    told = reading()
    told["rooms"]["items"][0]["tenant"] = "[red]\x1b[2J"
    told["sessions"]["items"][0]["user"] = "user:\x1b]0;x\x07\n"
    text = "\n".join(shown(told))
    assert "\x1b" not in text
    assert "[red]\\x1b[2J" in text


@pytest.mark.parametrize(
    ("sort", "ids"), [("waiting", "cab"), ("stalled", "bca"), ("age", "abc")]
)
def test_sessions_are_sorted(sort: str, ids: str) -> None:
    sessions = [
        session("a", bytes=5, stalled_s=None, age_s=9.0),
        session("b", bytes=0, stalled_s=7.0, age_s=8.0),
        session("c", bytes=9, stalled_s=1.0, age_s=7.0),
    ]
    assert "".join(one["id"] for one in sorted_sessions(sessions, sort)) == ids


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "-"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (5 * 1024**2, "5.0 MiB"),
        (3 * 1024**4, "3072.0 GiB"),
    ],
)
def test_sizes(count: float | None, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.0, "0.0 ms"),
        (0.0099, "9.9 ms"),
        (0.9, "900 ms"),
        (59.9, "59.9 s"),
        (60, "1 min 00 s"),
        (3_599, "59 min 59 s"),
        (3_600, "1 h 00 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text
