from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from wsprism_core.history.sqlite_state import STATE_SCHEMA, StateTable


class File:
    """A file of state whose writer's thread is this one, when it is told to."""

    def __init__(self, path: Path) -> None:
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.executescript(STATE_SCHEMA)
        self.work: list[Callable[[], None]] = []
        self.table = StateTable(self.db, self.db, self.work.append)

    def write(self) -> None:
        while self.work:
            self.work.pop(0)()


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path / "state.db")


def test_what_is_written_is_of_each_plugin_apart(file: File) -> None:
    file.table.save("chat", "a", b"1")
    file.table.save("chat", "b", b"\x00\xff")
    file.table.save("party", "a", b"2")
    assert file.table.load("chat") == {}
    file.write()
    assert file.table.load("chat") == {"a": b"1", "b": b"\x00\xff"}
    assert file.table.load("party") == {"a": b"2"}


def test_however_often_a_value_changes_it_is_written_once(file: File) -> None:
    for n in range(100):
        file.table.save("chat", "mark", b"%d" % n)
    assert len(file.work) == 1
    file.write()
    assert file.table.load("chat") == {"mark": b"99"}
    file.table.save("chat", "mark", None)
    assert len(file.work) == 1
    file.write()
    assert file.table.load("chat") == {}


def test_what_could_not_be_written_is_written_later(
    file: File, caplog: pytest.LogCaptureFixture
) -> None:
    file.db.execute("ALTER TABLE state RENAME TO gone")
    file.table.save("chat", "a", b"1")
    file.table.save("chat", "b", b"1")
    file.write()
    assert "state_not_stored" in caplog.text
    file.db.execute("ALTER TABLE gone RENAME TO state")
    file.table.save("chat", "b", b"2")
    file.write()
    assert file.table.load("chat") == {"a": b"1", "b": b"2"}
