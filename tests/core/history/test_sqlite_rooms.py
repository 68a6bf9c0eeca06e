from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from support.history_contract import Told, message
from wsprism_core.history import sqlite_writer
from wsprism_core.history.port import NewMessage, Retention, StoreFull
from wsprism_core.history.sqlite import NUMBERS_AHEAD, SqliteStore

epochs = count()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.db"


async def started(path: Path, age: int = 0, **options: Any) -> SqliteStore:
    store = SqliteStore(
        path,
        lambda: f"e{next(epochs)}",
        lambda tenant, room: Retention(age=age),
        quiet_ms=0,
        **options,
    )
    await store.start()
    return store


async def say(store: SqliteStore, tenant: str, name: str, ts: int = 1_000) -> None:
    room, told = store.open(tenant, name), Told()
    try:
        room.append(message(ts=ts), told)
        await told.all(1)
    finally:
        room.close()


async def until(store: SqliteStore, holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            store.run(lambda: None)
            await asyncio.sleep(0)


def names(store: SqliteStore) -> list[str]:
    return [name for (name,) in store.query("SELECT name FROM rooms ORDER BY id")]


async def test_so_many_rooms_of_a_tenant_are_kept(path: Path) -> None:
    counts: Counter[str] = Counter()
    store = await started(path, max_rooms=2, counts=counts)
    for name in ("r1", "r2", "r1"):
        await say(store, "acme", name)
    with pytest.raises(StoreFull, match="no more rooms"):
        await say(store, "acme", "r3")
    assert counts == {"stored": 3, "refused": 1}
    # Nobody else has fewer for it, and who only comes and goes is none.
    store.open("acme", "r4").close()
    await say(store, "other", "r3")
    await store.stop()
    # It counts what the file has.
    store = await started(path, max_rooms=2)
    with pytest.raises(StoreFull):
        await say(store, "acme", "r3")
    await say(store, "acme", "r2")
    assert names(store) == ["r1", "r2", "r3"]
    await store.stop()


async def test_coming_and_going_makes_no_row_of_a_room_that_is_refused(
    path: Path,
) -> None:
    store = await started(path, max_rooms=1)
    await say(store, "acme", "r1")
    room = store.open("acme", "r2")
    with pytest.raises(StoreFull):
        room.append(message(), Told())
    for n in range(1, 2 * NUMBERS_AHEAD):
        room.note_numbers(n)
    await say(store, "acme", "r1")
    assert names(store) == ["r1"]
    await store.stop()


async def test_a_room_counts_whose_second_batch_is_stored(path: Path) -> None:
    store = await started(path, max_rooms=1)
    room, told = store.open("acme", "r1"), Told()
    # One batch that fails, and another behind it.
    room.append(NewMessage(1, "chat", "msg", "x", ("ann", "\ud800"), None), told)
    store._hand_on()
    store.run(lambda: None)
    room.append(message(), told)
    assert await told.all(2) == [None, 1]
    assert store._in_file.by_tenant == {"acme": 1}
    room.append(message(), told)
    assert (await told.all(3))[-1] == 2
    with pytest.raises(StoreFull):
        await say(store, "acme", "r2")
    await store.stop()


async def test_rooms_of_which_nothing_is_kept_any_more_do_not_count(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_writer, "SWEEP", 0.0)
    monkeypatch.setattr(sqlite_writer, "SLICE", 2)
    store = await started(path, age=60, max_rooms=5)
    now = int(time.time() * 1_000)
    for number in range(4):
        await say(store, "acme", f"old-{number}")
    held = store.open("acme", "held")
    told = Told()
    held.append(message(), told)
    await told.all(1)
    await say(store, "other", "new", now)
    await until(store, lambda: names(store) == ["held", "new"])
    await until(store, lambda: store._in_file.by_tenant == {"acme": 1, "other": 1})
    # One that is in use stays, and so do its numbers.
    held.append(message(ts=now), told)
    assert await told.all(2) == [1, 2]
    await store.stop()


async def test_a_room_that_is_opened_while_it_goes_begins_anew(path: Path) -> None:
    store = await started(path)
    await say(store, "acme", "lobby")
    before = store.open("acme", "lobby")
    before.forget()
    before.close()
    await until(store, lambda: ("acme", "lobby") not in store._rooms)
    ((id,),) = store.query("SELECT id FROM rooms")
    store._drop_empty([(id, ("acme", "lobby"))])
    again = store.open("acme", "lobby")
    assert (again.epoch == before.epoch, again.seq) == (False, 0)
    told = Told()
    again.append(message(), told)
    assert await told.all(1) == [1]
    assert store.query("SELECT id FROM rooms") == [(again.id,)]
    assert store._in_file.by_tenant == {"acme": 1}
    await store.stop()


async def test_one_that_could_not_be_deleted_is_replaced(path: Path) -> None:
    store = await started(path)
    await say(store, "acme", "lobby")
    # As if it was on its way out, and the disk had other ideas.
    store._in_file.let_go([("acme", "lobby")])
    again, told = store.open("acme", "lobby"), Told()
    again.append(message(), told)
    assert await told.all(1) == [1]
    assert store.query("SELECT id, epoch FROM rooms") == [(again.id, again.epoch)]
    await until(store, lambda: store._in_file.by_tenant == {"acme": 1})
    await store.stop()


async def test_a_room_whose_first_message_was_not_stored_does_not_count(
    path: Path,
) -> None:
    store = await started(path, max_rooms=1)
    writer = store._writer
    assert writer is not None
    pages = writer.db.execute("PRAGMA page_count").fetchone()[0]
    store.run(lambda: writer.db.execute(f"PRAGMA max_page_count = {pages}").close())
    room, told = store.open("acme", "r1"), Told()
    for _ in range(2):
        room.append(message("x" * 100_000), told)
    assert await told.all(2) == [None, None]
    store.run(lambda: writer.db.execute("PRAGMA max_page_count = 100000").close())
    await say(store, "acme", "r2")
    with pytest.raises(StoreFull):
        room.append(message(), told)
    await store.stop()
