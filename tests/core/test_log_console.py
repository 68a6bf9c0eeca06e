from __future__ import annotations

import io
import logging
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from wsprism_core.log_console import ConsoleHandler
from wsprism_core.logs import LineFormatter

#: What colours a text and does nothing else to a terminal.
COLOURS = re.compile(r"\x1b\[[\d;]*m")


def record(
    event: str, level: int = logging.INFO, **fields: object
) -> logging.LogRecord:
    made = logging.LogRecord("wsprism.x", level, "", 0, event, None, None)
    made.fields = fields
    return made


def shown(one: logging.LogRecord, width: int = 40) -> str:
    """Return what a narrow terminal gets."""
    file = io.StringIO()
    console = Console(
        file=file,
        force_terminal=True,
        color_system="truecolor",
        width=width,
        markup=False,
        emoji=False,
        highlight=False,
    )
    ConsoleHandler(console).handle(one)
    return file.getvalue()


def test_a_terminal_gets_colours() -> None:
    assert "\x1b[33m WARNING" in shown(record("e", logging.WARNING))
    assert "\x1b[1;31m ERROR" in shown(record("e", logging.ERROR))


@pytest.mark.parametrize(
    "value",
    [
        "[red]no markup[/red]",
        ":smile:",
        "\x1b[31mred",
        "two\r\nlines",
        "\x1b]0;title\x07",
        "\u2028\u202e\ud800",
        "x" * 500,
        "\u6f22" * 200,
        "http://example.com/1",
    ],
)
def test_it_says_what_a_plain_line_says(value: str) -> None:
    one = record("e", v=value, **{value: 1})
    assert COLOURS.sub("", shown(one)) == LineFormatter().format(one) + "\n"


@given(event=st.text(st.characters()), value=st.text(st.characters()))
def test_whatever_a_client_sent_an_event_is_one_line(event: str, value: str) -> None:
    one = record(event, v=value)
    said = COLOURS.sub("", shown(one))
    assert said == LineFormatter().format(one) + "\n"
    assert len(said.splitlines()) == 1


def test_a_traceback_stands_below() -> None:
    one = record("traceback")
    try:
        raise LookupError("why")
    except LookupError:
        one.exc_info = sys.exc_info()
    assert COLOURS.sub("", shown(one, 200)).endswith("LookupError: why\n")


def test_a_terminal_that_is_gone_harms_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)

    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError("gone")

    ConsoleHandler(Console(file=Gone())).handle(record("e"))


def test_standard_error_is_where_it_goes(capsys: pytest.CaptureFixture[str]) -> None:
    ConsoleHandler().handle(record("e", v=1))
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.endswith(" INFO e v=1\n")
