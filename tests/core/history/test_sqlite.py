from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from support.history_contract import HistoryContract, Told, message
from wsprism_core.history import sqlite_writer
from wsprism_core.history.port import (
    HistoryStore,
    NewMessage,
    Retention,
    StoreFull,
)
from wsprism_core.history.sqlite import FEW, NUMBERS_AHEAD, TURNS, SqliteStore
from wsprism_core.history.sqlite_writer import ROWS

epochs = count()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.db"


def a_store(
    path: Path, retention: Retention | None = None, **options: Any
) -> SqliteStore:
    kept = retention or Retention()
    return SqliteStore(
        path, lambda: f"e{next(epochs)}", lambda tenant, room: kept, **options
    )


class TestSqliteStore(HistoryContract):
    @pytest.fixture
    def new_store(self, path: Path) -> Callable[[Retention], HistoryStore]:
        return lambda retention: a_store(path, retention)


async def stored(store: SqliteStore, room: str, *messages: object) -> None:
    history, told = store.open("acme", room), Told()
    for data in messages:
        history.append(message(data, id=f"id-{data}"), told)
    await told.all(len(messages))
    history.close()


async def test_a_room_goes_on_where_it_was(path: Path) -> None:
    store = a_store(path)
    await store.start()
    await stored(store, "lobby", 1, 2, 3)
    room = store.open("acme", "lobby")
    epoch = room.epoch
    await store.stop()

    again = a_store(path)
    await again.start()
    room = again.open("acme", "lobby")
    assert (room.epoch, room.seq, room.oldest) == (epoch, 3, 1)
    assert [one.data for one in room.read(limit=9)] == [1, 2, 3]
    assert [(one.dedup, one.seq, one.ack) for one in room.receipts()] == [
        (("ann", f"id-{n}"), n, {"id": f"id-{n}"}) for n in (1, 2, 3)
    ]
    await stored(again, "lobby", 4)
    assert room.seq == 4
    await again.stop()


async def test_what_is_forgotten_is_not_in_the_file(path: Path) -> None:
    store = a_store(path)
    await store.start()
    await stored(store, "lobby", 1, 2, 3)
    await stored(store, "other", 1)
    room = store.open("acme", "lobby")
    epoch = room.epoch
    # Opened anew before the writer could do it, the room has nothing either.
    gate = threading.Event()

    def hold() -> None:
        gate.wait(10)

    store.run(hold)
    room.forget()
    room.close()
    room = store.open("acme", "lobby")
    assert (room.seq, room.oldest, list(room.read(limit=9))) == (3, 4, [])
    room.close()
    gate.set()
    await store.stop()
    rows = sqlite3.connect(path).execute("SELECT count(*) FROM messages").fetchall()
    assert rows == [(1,)]
    again = a_store(path)
    await again.start()
    room = again.open("acme", "lobby")
    assert (room.epoch, room.seq, room.oldest) == (epoch, 3, 4)
    await again.stop()


async def test_opened_again_a_room_is_as_large_as_before(path: Path) -> None:
    kept = Retention(bytes=1_000)
    store = a_store(path, kept)
    await store.start()
    await stored(store, "lobby", *("語" * 100,) * 2)
    await store.stop()
    again = a_store(path, kept)
    await again.start()
    room, told = again.open("acme", "lobby"), Told()
    room.append(message("語" * 100), told)
    await told.all(1)
    assert [one.seq for one in room.read(limit=9)] == [2, 3]
    await again.stop()


async def test_a_room_that_is_opened_reads_none_of_its_messages(path: Path) -> None:
    store = a_store(path)
    await store.start()
    await stored(store, "lobby", "a", "bb", "ccc")
    asked: list[str] = []
    store._reader.set_trace_callback(asked.append)
    room = store.open("acme", "lobby")
    assert (room.seq, room.oldest) == (3, 1)
    assert not [sql for sql in asked if "data" in sql or "dedup" in sql]
    # Of what came later, and of no more, before anybody wants to know of all.
    assert room.size_since(2) == room.size_since(0) - room.size_since(3) - 2 * 128 - 7
    told = Told()
    room.append(message("dddd"), told)
    await told.all(1)
    assert room.size_since(0) == 4 * 128 + 3 + 4 + 5 + 6
    await store.stop()


async def test_what_may_be_said_again_outlives_its_message(path: Path) -> None:
    store = a_store(path, Retention(messages=2), dedup=3, quiet_ms=5_000)
    await store.start()
    room, told = store.open("acme", "lobby"), Told()
    for n in range(10):
        room.append(message(n, ts=n * 1_000, id=f"id-{n}"), told)
        await told.all(n + 1)
    # What is forgotten with the last one is deleted with the next.
    room.append(message("last", ts=9_000), told)
    await told.all(11)
    assert [one.data for one in room.read(limit=9)] == [9, "last"]
    assert [one.seq for one in room.receipts()] == [5, 6, 7, 8, 9, 10]
    await store.stop()

    again = a_store(path, Retention(messages=2), dedup=3, quiet_ms=0)
    await again.start()
    room = again.open("acme", "lobby")
    assert [one.dedup[1] for one in room.receipts()] == ["id-7", "id-8", "id-9"]
    await again.stop()


async def test_what_nobody_says_again_any_more_goes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_writer, "SWEEP", 0.0)
    store = a_store(path, Retention(messages=0), quiet_ms=5_000)
    await store.start()
    now = int(time.time() * 1_000)
    for room, ts in (("old", 1_000), ("new", now)):
        history, told = store.open("acme", room), Told()
        for n in range(2):
            history.append(message(n, ts=ts, id=f"id-{n}"), told)
            await told.all(n + 1)
    async with asyncio.timeout(10):
        while len(store.query("SELECT * FROM receipts")) > 1:
            store.run(lambda: None)
            await asyncio.sleep(0)
    assert store.query("SELECT ts FROM receipts") == [(now,)]
    await store.stop()


async def test_member_numbers_are_never_given_again(path: Path) -> None:
    store = a_store(path)
    await store.start()
    room, told = store.open("acme", "lobby"), Told()
    room.append(message(), told)
    await told.all(1)
    for n in range(1, 3 * NUMBERS_AHEAD):
        room.note_numbers(n)
    # What is promised is in the file before it is used, whatever comes then.
    room.append(message(), told)
    await told.all(2)
    rows = sqlite3.connect(path).execute("SELECT numbers FROM rooms").fetchall()
    assert rows[0][0] >= 3 * NUMBERS_AHEAD - 1
    await store.stop()
    again = a_store(path)
    await again.start()
    assert again.open("acme", "lobby").numbers >= 3 * NUMBERS_AHEAD - 1
    await again.stop()


async def test_a_room_that_is_opened_again_at_once_is_the_same(path: Path) -> None:
    store = a_store(path)
    await store.start()
    told = Told()
    for n in range(50):
        room = store.open("acme", "lobby")
        room.append(message(n), told)
        room.close()
    assert await told.all(50) == list(range(1, 51))
    assert store.open("acme", "lobby").seq == 50
    await store.stop()


async def test_whoever_is_told_may_let_go_of_the_room(path: Path) -> None:
    store = a_store(path)
    await store.start()
    room, told = store.open("acme", "lobby"), Told()

    def close(seq: int | None) -> None:
        room.close()
        told(seq)

    room.append(message(), close)
    await told.all(1)
    # The loop is through with the batch, and the room is opened from the file.
    await asyncio.sleep(0)
    again = store.open("acme", "lobby")
    assert (again is room, again.seq) == (False, 1)
    await store.stop()


async def test_so_much_may_wait(path: Path) -> None:
    counts: Counter[str] = Counter()
    store = a_store(path, max_waiting=5, counts=counts)
    await store.start()
    room, told = store.open("acme", "lobby"), Told()
    for _ in range(5):
        room.append(message(), told)
    with pytest.raises(StoreFull):
        room.append(message(), told)
    assert (store.waiting, counts["refused"]) == (5, 1)
    await told.all(5)
    room.append(message(), told)
    assert await told.all(6) == [1, 2, 3, 4, 5, 6]
    await store.stop()


async def test_messages_of_a_few_turns_go_to_the_writer_together(path: Path) -> None:
    store = a_store(path)
    await store.start()
    room, told, given = store.open("acme", "lobby"), Told(), list[Any]()
    queue, store._queue = store._queue, cast("Any", SimpleNamespace(put=given.append))

    async def say(count: int) -> None:
        for n in range(count):
            room.append(message(n), told)
            if n % 10 == 9:
                await asyncio.sleep(0)

    await say(30)
    assert given == []
    for _ in range(2):
        await asyncio.sleep(0)
    assert [len(one) for one in given] == [30]
    # However many come in each turn, there is an end to the waiting.
    given.clear()
    await say(20 * TURNS * 10)
    assert {len(one) for one in given} == {TURNS * 10}
    # Nor does it pay where each turn brings but a few.
    given.clear()
    for n in range(FEW):
        room.append(message(n), told)
    await asyncio.sleep(0)
    assert [len(one) for one in given] == [FEW]
    # What is to be done in between is done behind what came before.
    given.clear()
    room.append(message("gone"), told)
    room.forget()
    assert isinstance(given[-2], list)
    assert callable(given[-1])
    store._queue = queue
    await store.stop()


async def test_a_batch_of_any_size_is_stored_whole(path: Path) -> None:
    store = a_store(path)
    await store.start()
    for size in (1, ROWS - 1, ROWS, ROWS + 1, 3 * ROWS):
        room, told = store.open("acme", f"r{size}"), Told()
        for n in range(size):
            room.append(message(n), told)
        await told.all(size)
        assert [one.data for one in room.read(limit=size)] == list(range(size))
    await store.stop()


def stop_short() -> None:
    raise RuntimeError


async def test_what_cannot_be_stored_is_one_messages_trouble(path: Path) -> None:
    store = a_store(path)
    await store.start()
    room, told = store.open("acme", "lobby"), Told()
    with pytest.raises(ValueError, match="not JSON serializable"):
        room.append(NewMessage(1, "chat", "msg", "x", None, {"id": b"x"}), told)
    # What SQLite takes for no text.
    room.append(NewMessage(1, "chat", "msg", "x", ("ann", "\ud800"), None), told)
    assert await told.all(1) == [None]
    store.run(stop_short)

    def fail(seq: int | None) -> None:
        raise RuntimeError(seq)

    room.append(message("heard by nobody"), fail)
    room.append(message("kept"), told)
    assert await told.all(2) == [None, 2]
    await store.stop()


async def test_what_waits_is_stored_before_it_stops(path: Path) -> None:
    store = a_store(path)
    await store.start()
    room, told = store.open("acme", "lobby"), Told()
    for n in range(500):
        room.append(message(n), told)
    await store.stop()
    assert told.numbers == list(range(1, 501))


async def test_a_full_disk_takes_nothing_and_gives_nothing_away(path: Path) -> None:
    counts: Counter[str] = Counter()
    store = a_store(path, counts=counts)
    await store.start()
    room, told = store.open("acme", "lobby"), Told()
    room.append(message("before"), told)
    await told.all(1)
    # SQLite says the same of this as of a disk that is full.
    writer = store._writer
    assert writer is not None
    pages = writer.db.execute("PRAGMA page_count").fetchone()[0]
    store.run(lambda: writer.db.execute(f"PRAGMA max_page_count = {pages}").close())
    for _ in range(3):
        room.append(message("x" * 100_000), told)
    assert await told.all(4) == [1, None, None, None]
    assert (room.seq, counts) == (1, {"stored": 1, "failed": 3})
    store.run(lambda: writer.db.execute("PRAGMA max_page_count = 100000").close())
    room.append(message("after"), told)
    assert (await told.all(5))[-1] == 2
    assert [one.data for one in room.read(limit=9)] == ["before", "after"]
    await store.stop()


@pytest.fixture
def no_database(tmp_path: Path) -> Path:
    path = tmp_path / "other" / "history.db"
    path.parent.mkdir()
    path.write_bytes(b"this is no database" * 100)
    return path


async def test_a_file_of_something_else_is_refused(
    path: Path, no_database: Path
) -> None:
    with pytest.raises(OSError, match=r"history\.db"):
        await a_store(no_database).start()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 77")
    db.close()
    with pytest.raises(OSError, match="format 77"):
        await a_store(path).start()


async def test_a_file_belongs_to_one_gateway(path: Path) -> None:
    store = a_store(path)
    await store.start()
    with pytest.raises(OSError, match="another gateway"):
        await a_store(path).start()
    await store.stop()
    again = a_store(path)
    await again.start()
    await again.stop()


@pytest.mark.parametrize(
    ("sync", "clean", "same_boot", "anew"),
    [
        ("normal", True, False, False),
        ("normal", False, True, False),
        ("normal", False, False, True),
        ("full", False, False, False),
    ],
)
async def test_epochs_are_new_only_where_something_may_be_lost(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sync: str,
    clean: bool,
    same_boot: bool,
    anew: bool,
) -> None:
    monkeypatch.setattr(sqlite_writer, "_boot_id", lambda: "one")
    store = a_store(path, sync=sync)
    await store.start()
    await stored(store, "lobby", 1)
    epoch = store.open("acme", "lobby").epoch
    await store.stop()
    if not clean:
        with sqlite3.connect(path) as db:
            db.execute("UPDATE facts SET value = '1' WHERE name = 'open'")
        db.close()
    if not same_boot:
        monkeypatch.setattr(sqlite_writer, "_boot_id", lambda: "two")
    again = a_store(path)
    await again.start()
    room = again.open("acme", "lobby")
    assert (room.epoch != epoch, room.seq) == (anew, 1)
    await again.stop()


async def test_what_is_old_goes_from_rooms_that_nobody_opens(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_writer, "SWEEP", 0.0)
    store = a_store(path, Retention(age=3_600))
    await store.start()
    # Written in 1970.
    await stored(store, "old", 1, 2)
    await stored(store, "other", 1)
    async with asyncio.timeout(10):
        while store.query("SELECT 1 FROM messages UNION ALL SELECT 1 FROM rooms"):
            store.run(lambda: None)
            await asyncio.sleep(0)
    room = store.open("acme", "old")
    assert (room.seq, room.oldest) == (0, 1)
    await store.stop()


_KILLED = """
import asyncio, itertools, sys
from pathlib import Path
from wsprism_core.history.port import NewMessage, Retention
from wsprism_core.history.sqlite import SqliteStore

async def main():
    kept = Retention(messages=10**6)
    store = SqliteStore(Path(sys.argv[1]), lambda: "e", lambda t, r: kept)
    await store.start()
    room = store.open("acme", "lobby")
    def told(seq):
        print(seq, flush=True)
    for n in itertools.count(1):
        while store.waiting > 500:
            await asyncio.sleep(0)
        room.append(NewMessage(n, "chat", "msg", n), told)
asyncio.run(main())
"""


@pytest.fixture
def told_before_the_kill(path: Path) -> int:
    """The last number that a process told before it was killed in mid-load."""
    line = [sys.executable, "-c", _KILLED, str(path)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        told = 0
        for number in child.stdout:
            if told < 2_000 <= int(number):
                os.kill(child.pid, signal.SIGKILL)
            # What was cut off in mid-line was not told.
            if number.endswith("\n"):
                told = int(number)
    return told


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
async def test_what_was_told_is_there_after_a_kill(
    path: Path, told_before_the_kill: int
) -> None:
    store = a_store(path, Retention(messages=10**6))
    await store.start()
    room = store.open("acme", "lobby")
    assert room.epoch == "e"
    assert room.seq >= told_before_the_kill >= 2_000
    assert [one.data for one in room.read(after=0, limit=10**6)] == list(
        range(1, room.seq + 1)
    )
    await store.stop()
