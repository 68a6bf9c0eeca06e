from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsprism_core.logs import EventLog, JsonFormatter, LineFormatter, configure


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Leave the logger of the package as it was."""
    root = logging.getLogger("wsprism")
    before = (root.handlers[:], root.level, root.propagate)
    yield
    root.handlers[:], root.level, root.propagate = before


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
