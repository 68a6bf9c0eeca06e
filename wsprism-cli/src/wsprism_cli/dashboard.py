"""What `wsprism top` shows: readings of a gateway as tables for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from wsprism_cli.terminal import printable

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

__all__ = ("SORT_KEYS", "Reading", "duration", "render", "size", "sorted_sessions")

#: What sessions can be sorted by, in the order in which the key `s` goes through them.
SORT_KEYS: Final = ("waiting", "stalled", "age")
Reading = dict[str, Any]

#: Columns from which on every column of a table is shown.
WIDE: Final = 100
_BY: Final = {"waiting": "bytes", "stalled": "stalled_s", "age": "age_s"}


def render(
    reading: Reading,
    *,
    url: str,
    sort: str = "waiting",
    width: int,
    height: int | None = None,
) -> RenderableType:
    """Return a reading as a screen.

    Args:
        reading: What the gateway answered: `overview`, `sessions` and `rooms`.
        url: Where it was read.
        sort: What sessions are sorted by, one of `SORT_KEYS`.
        width: Columns of the terminal; where they are few, some are left out.
        height: Lines of the terminal; rows that would not fit are left out. None shows
            all.
    """
    from rich.console import Group
    from rich.text import Text

    overview = reading["overview"]
    lanes = overview["lanes"]
    sessions = sorted_sessions(reading["sessions"]["items"], sort)
    rooms = reading["rooms"]["items"]
    if height is not None:
        # The head, and of each table its title, its header and a line between.
        left = max(2, height - 3 - (len(lanes) + 3) - 3 - 3 - 1)
        shown_rooms = min(len(rooms), max(1, left // 3))
        rooms = rooms[:shown_rooms]
        sessions = sessions[: max(1, left - len(rooms))]
    return Group(
        *_head(overview, url),
        Text(),
        _lanes(lanes),
        Text(),
        _sessions(sessions, reading["sessions"]["total"], sort, is_wide=width >= WIDE),
        Text(),
        _rooms(rooms, reading["rooms"]["total"]),
    )


def sorted_sessions(sessions: Iterable[Reading], sort: str) -> list[Reading]:
    """Return sessions sorted by one of `SORT_KEYS`, the largest first."""
    return sorted(sessions, key=lambda one: one[_BY[sort]] or 0, reverse=True)


def size(count: float | None) -> str:
    """Return bytes for people: `3.2 MiB`."""
    if count is None:
        return "-"
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def duration(seconds: float | None) -> str:
    """Return a time for people: `0.4 ms`, `1.2 s`, `2 h 05 min`."""
    if seconds is None:
        return "-"
    if seconds < 0.01:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes} min {int(seconds % 60):02} s"
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{minutes // (24 * 60)} d {minutes // 60 % 24} h"


def _head(overview: Reading, url: str) -> Iterable[RenderableType]:
    from rich.text import Text

    lag, gc = overview["loop_lag"], overview["gc"]
    longest = max((one["max_s"] for one in gc), default=0.0)
    pauses = sum(one["count"] for one in gc)
    yield Text.assemble(
        ("wsprism top", "bold cyan"),
        f"  {printable(url)}  up {duration(overview['uptime_s'])}",
        f"  sessions {_number(overview['sessions'])}",
        _warned(f" ({_number(overview['stalled'])} stalled)", overview["stalled"]),
        f"  rooms {_number(overview['rooms'])}",
    )
    yield Text.assemble(
        f"in {_rate(overview['in_per_s'])}  out {_rate(overview['out_per_s'])}",
        f"  waiting {size(overview['waiting_bytes'])}",
        f"  CPU {overview['cpu']:.0%}  memory {size(overview['memory_bytes'])}",
    )
    yield Text.assemble(
        f"loop lag p50 {duration(lag['p50'])}  p99 {duration(lag['p99'])}  ",
        _warned(f"max {duration(lag['max'])}", lag["max"] > 0.1),
        f"  GC {_number(pauses)} pauses, longest {duration(longest)}",
    )


def _lanes(lanes: Iterable[Reading]) -> Table:
    table = _table("lane", "out/s", "waiting", "bytes", "conflated", "dropped", "lost")
    table.add_column("closed", justify="right")
    for lane in lanes:
        table.add_row(
            printable(lane["lane"]),
            _rate(lane["out_per_s"]),
            _warned(_number(lane["waiting_messages"]), lane["waiting_messages"]),
            size(lane["waiting_bytes"]),
            _number(lane["conflated"]),
            _warned(_number(lane["dropped"]), lane["dropped"]),
            _warned(_number(lane["lost"]), lane["lost"]),
            _warned(_number(lane["overflowed"]), lane["overflowed"]),
        )
    return table


def _sessions(
    sessions: Iterable[Reading], total: int, sort: str, *, is_wide: bool
) -> Table:
    from rich.text import Text

    table = _table("session", title=f"sessions by {sort}, {_number(total)} in all")
    table.add_column(
        "user", overflow="ellipsis", no_wrap=True, min_width=12, max_width=20
    )
    if is_wide:
        table.add_column("tenant", overflow="ellipsis", no_wrap=True, max_width=20)
        table.add_column("age", justify="right", no_wrap=True)
    for name in ("stalled", "waiting", "bytes"):
        table.add_column(name, justify="right", no_wrap=True, min_width=9)
    table.add_column("what waits", overflow="ellipsis", no_wrap=True, ratio=1)
    for one in sessions:
        wide = [Text(printable(one["tenant"])), duration(one["age_s"])]
        table.add_row(
            printable(one["id"]),
            Text(printable(one["user"])),
            *(wide if is_wide else ()),
            _warned(duration(one["stalled_s"]), one["stalled_s"] is not None),
            _number(one["messages"]),
            size(one["bytes"]),
            Text(_what_waits(one["lanes"])),
        )
    return table


def _what_waits(lanes: Iterable[Reading]) -> str:
    """Return the lanes of a session in which something waits or went."""
    parts = []
    for lane in lanes:
        went = [
            f"{lane[what]} {what}"
            for what in ("conflated", "dropped", "lost")
            if lane[what]
        ]
        if lane["messages"]:
            waits = f"{lane['messages']} for {duration(lane['oldest_s'])}"
            parts.append(f"{lane['lane']} {', '.join([waits, *went])}")
        elif went:
            parts.append(f"{lane['lane']} {', '.join(went)}")
    return printable("; ".join(parts))


def _rooms(rooms: Iterable[Reading], total: int) -> Table:
    from rich.text import Text

    table = _table("room", title=f"rooms by rate, {_number(total)} in all")
    table.add_column("tenant", overflow="ellipsis", no_wrap=True, max_width=20)
    for name in ("published/s", "members", "audience", "seq"):
        table.add_column(name, justify="right", no_wrap=True)
    for room in rooms:
        table.add_row(
            Text(printable(room["name"])),
            Text(printable(room["tenant"])),
            _rate(room["published_per_s"]),
            _number(room["members"]),
            _number(room["audience"]),
            _number(room["seq"]),
        )
    return table


def _table(first: str, *others: str, title: str | None = None) -> Table:
    from rich.table import Table

    table = Table(
        box=None,
        padding=(0, 2, 0, 0),
        header_style="bold",
        title=title,
        title_justify="left",
        title_style="bold cyan",
    )
    table.add_column(
        first, overflow="ellipsis", no_wrap=True, min_width=7, max_width=32
    )
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _number(count: int) -> str:
    return f"{count:,}"


def _rate(per_second: float) -> str:
    return f"{per_second:,.1f}/s" if per_second < 100 else f"{per_second:,.0f}/s"


def _warned(text: str, matters: object) -> Any:
    """Return a text that stands out where it matters."""
    from rich.text import Text

    return Text(text, style="yellow" if matters else "")
