from __future__ import annotations

import io
import json
import logging
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsprism_core.logs import (
    EventLog,
    JsonFormatter,
    LineFormatter,
    configure,
    summed_up,
)


def record(event: str, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord("wsprism.x", logging.INFO, "", 0, event, None, None)
    made.fields = fields
    return made


def test_a_line_has_the_event_and_its_fields() -> None:
    line = LineFormatter().format(record("session_opened", user="user:ann", n=3))
    assert line.endswith("INFO session_opened user=user:ann n=3")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("two words", '"two words"'),
        ("line\r\nbreak", '"line\\r\\nbreak"'),
        ("\x1b[31mred", '"\\u001b[31mred"'),
        ("", '""'),
        ("\ud800", '"\\ud800"'),
    ],
)
def test_a_field_stays_on_its_line(value: str, shown: str) -> None:
    assert LineFormatter().format(record("e", v=value)).endswith(f"v={shown}")


@given(value=st.text(st.characters()))
def test_whatever_a_client_sent_an_event_is_one_line(value: str) -> None:
    assert len(LineFormatter().format(record("e", v=value)).splitlines()) == 1
    assert len(JsonFormatter().format(record("e", v=value)).splitlines()) == 1


def test_json_has_the_same_fields() -> None:
    entry = json.loads(JsonFormatter().format(record("e", user="user:ann", n=3)))
    assert entry["event"] == "e"
    assert entry["level"] == "info"
    assert (entry["user"], entry["n"]) == ("user:ann", 3)
    assert isinstance(entry["ts"], int)


def test_an_error_is_one_line_and_a_traceback_only_for_those_who_debug(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure("info")
    EventLog("x").error("failed", exc=ValueError("no\nway"))
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert 'error="ValueError: no\\nway"' in said
    configure("debug")
    EventLog("x").error("failed", exc=ValueError("no"))
    assert "traceback" in capsys.readouterr().err


def test_an_error_that_has_no_text_is_logged_by_its_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    configure("debug")
    EventLog("x").error("failed", exc=Broken())
    assert 'error="Broken: no text"' in capsys.readouterr().err


def test_configuring_twice_does_not_log_twice(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure()
    configure("warning", as_json=True)
    log = EventLog("x")
    log.info("quiet")
    log.warning("loud")
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["event"] == "loud"


def test_what_comes_too_often_is_summed_up_at_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure(warnings_per_second=2, as_json=True)
    for _ in range(5):
        EventLog("x").warning("refused")
    assert summed_up() == 3
    # Who configures anew has ended what was before.
    configure()
    assert summed_up() == 0
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [one["event"] for one in events] == ["refused", "refused", "repeated"]
    assert (events[2]["what"], events[2]["count"]) == ("refused", 3)


class Terminal(io.StringIO):
    """Standard error, where somebody looks at it."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("changes", "as_json", "is_coloured"),
    [
        ({}, False, True),
        ({}, True, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": ""}, False, True),
        ({"TERM": "dumb"}, False, False),
    ],
)
def test_colours_are_for_who_looks_and_wants_them(
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, str],
    as_json: bool,
    is_coloured: bool,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    configure(as_json=as_json)
    EventLog("x").warning("loud", v="[b]x[/b]")
    said = terminal.getvalue()
    assert ("\x1b[" in said) is is_coloured
    assert said.count("\n") == 1
    assert "[b]x[/b]" in said


def test_no_colours_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    configure()
    EventLog("x").warning("loud")
    assert "\x1b" not in capsys.readouterr().err


def test_without_rich_lines_are_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delitem(sys.modules, "wsprism_core.log_console", raising=False)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    configure()
    EventLog("x").warning("loud")
    assert terminal.getvalue().endswith(" WARNING loud\n")
    assert "\x1b" not in terminal.getvalue()
