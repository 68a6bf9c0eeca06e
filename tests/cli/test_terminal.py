from __future__ import annotations

import sys

import pytest
from click.exceptions import Exit
from hypothesis import given
from hypothesis import strategies as st

from wsprism_cli.terminal import console, fail, is_interactive, is_rich, printable


class Stream:
    def __init__(self, is_tty: bool) -> None:
        self._is_tty = is_tty

    def isatty(self) -> bool:
        return self._is_tty


@pytest.mark.parametrize(
    ("tty", "environ", "rich"),
    [
        (True, {"TERM": "xterm"}, True),
        (False, {"TERM": "xterm"}, False),
        (True, {"TERM": "dumb"}, False),
        (True, {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (True, {"TERM": "xterm", "NO_COLOR": ""}, True),
    ],
)
def test_colours_are_for_terminals_that_want_them(
    monkeypatch: pytest.MonkeyPatch, tty: bool, environ: dict[str, str], rich: bool
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", Stream(tty))
    assert is_rich() is rich


@pytest.mark.parametrize(
    ("stdin", "stdout", "term", "interactive"),
    [
        (True, True, "xterm", True),
        (False, True, "xterm", False),
        (True, False, "xterm", False),
        (True, True, "dumb", False),
    ],
)
def test_a_prompt_is_for_people_at_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
    stdin: bool,
    stdout: bool,
    term: str,
    interactive: bool,
) -> None:
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr(sys, "stdin", Stream(stdin))
    monkeypatch.setattr(sys, "stdout", Stream(stdout))
    assert is_interactive() is interactive


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain [bold] text é 😀", "plain [bold] text é 😀"),
        ("\x1b[2J", r"\x1b[2J"),
        ("\x9b2J", r"\x9b2J"),
        ("two\nlines", r"two\nlines"),
        ("\u202eabc", r"\u202eabc"),
        ("\ud800", r"\ud800"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(st.characters(), max_size=20))
def test_printable_always_is(text: str) -> None:
    assert printable(text).isprintable()


def test_an_error_is_plain_and_leaves_with_its_code(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(Exit) as caught:
        fail("first \x1b[31m\n  second", 2)
    assert caught.value.exit_code == 2
    assert capsys.readouterr().err == "error: first \\x1b[31m\n  second\n"


def test_markup_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    console().print("[red]x[/red] :smile:")
    assert capsys.readouterr().out == "[red]x[/red] :smile:\n"
