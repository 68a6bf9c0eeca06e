from __future__ import annotations

from typing import Any

from rich.console import Console

from support.readings import reading
from wsprism_cli.live import View, watch


def shown(view: View, width: int = 100, height: int = 30) -> list[str]:
    screen = Console(width=width, markup=False, emoji=False, color_system=None)
    with screen.capture() as capture:
        screen.print(view.screen(width, height))
    return [line.rstrip() for line in capture.get().splitlines()]


async def test_keys_sort_and_quit() -> None:
    view = View("http://x:1")
    view.show(reading())
    for sort in ("waiting", "stalled", "age", "waiting"):
        assert f"sessions by {sort}, 1,234 in all" in shown(view)
        view.press("s")
    view.press("x")
    assert not view.done.is_set()
    for key in ("q", "Q", "c-c"):
        ended = View("http://x:1")
        ended.press(key)
        assert ended.done.is_set()
        assert ended.changed.is_set()


async def test_before_the_first_reading_it_says_so() -> None:
    assert shown(View("http://x:1")) == ["reading ...", "q quits, s sorts"]


async def test_a_gateway_that_is_gone_leaves_its_last_reading_and_one_line() -> None:
    view = View("http://x:1")
    view.show(reading())
    view.complain("nothing listens on http://x:1; \x1b[2J start " + "it " * 100)
    lines = shown(view, 80)
    assert lines[0].startswith("nothing listens on http://x:1; \\x1b[2J start")
    assert len(lines[0]) <= 80
    assert lines[1].startswith("wsprism top")
    view.show(reading())
    assert shown(view)[0] == "q quits, s sorts"


async def test_the_screen_fits_the_terminal() -> None:
    view = View("http://x:1")
    told: dict[str, Any] = reading()
    told["sessions"]["items"] *= 50
    view.show(told)
    assert len(shown(view, 100, 30)) <= 30
    assert callable(watch)
