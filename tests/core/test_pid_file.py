from __future__ import annotations

import os
from pathlib import Path

import pytest

from wsprism_core.pid_file import pid_file


def test_it_is_there_as_long_as_the_process_runs(tmp_path: Path) -> None:
    path = tmp_path / "run" / "wsprism.pid"
    path.parent.mkdir()
    with pid_file(path):
        assert path.read_text() == f"{os.getpid()}\n"
        assert [one.name for one in path.parent.iterdir()] == ["wsprism.pid"]
    assert list(path.parent.iterdir()) == []


def test_one_that_was_left_behind_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "wsprism.pid"
    path.write_text("1234567\n")
    with pid_file(path):
        assert path.read_text() == f"{os.getpid()}\n"
    assert not path.exists()


def test_another_ones_is_left_there(tmp_path: Path) -> None:
    path = tmp_path / "wsprism.pid"
    with pid_file(path):
        path.write_text("1234567\n")
    assert path.read_text() == "1234567\n"


def test_one_that_somebody_removed_is_no_failure(tmp_path: Path) -> None:
    path = tmp_path / "wsprism.pid"
    with pid_file(path):
        path.unlink()


def test_where_it_cannot_be_written_nothing_is_left(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    with pytest.raises(OSError, match="folder"), pid_file(path):
        pytest.fail("there is no such file")
    assert [one.name for one in tmp_path.iterdir()] == ["folder"]
    missing = tmp_path / "nowhere" / "wsprism.pid"
    with pytest.raises(FileNotFoundError), pid_file(missing):
        pytest.fail("there is no such file")
