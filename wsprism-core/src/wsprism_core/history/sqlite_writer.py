"""The thread that writes a file of history: batches, sweeps, and what else is asked.

A statement of SQLite takes many rows. One for each would take and release the
interpreter's lock as often, against an event loop that wants it too.
"""

from __future__ import annotations

import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from wsprism_core.history.port import NewMessage, Retention
from wsprism_core.history.sqlite_rooms import RoomKey
from wsprism_core.history.sqlite_state import STATE_SCHEMA
from wsprism_core.logs import EventLog
from wsprism_core.protocol.layout import MAX_SAFE_INTEGER

if TYPE_CHECKING:
    from wsprism_core.history.sqlite import SqliteHistory

__all__ = ("ROWS", "Tasks", "Waiting", "Writer")

#: From so many messages on a transaction takes in no more.
BATCH: Final = 2_000
#: Seconds between two looks for what has become too old in rooms that nobody opens, and
#: how many rooms are looked at: the writer has other things to do.
SWEEP: Final = 1.0
SLICE: Final = 100

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS rooms (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    epoch TEXT NOT NULL,
    head INTEGER NOT NULL,
    numbers INTEGER NOT NULL,
    UNIQUE (tenant, name)
);
CREATE TABLE IF NOT EXISTS messages (
    room INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    ts INTEGER NOT NULL,
    svc TEXT NOT NULL,
    type TEXT NOT NULL,
    data TEXT NOT NULL,
    publisher TEXT,
    dedup TEXT,
    ack TEXT,
    PRIMARY KEY (room, seq)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS receipts (
    room INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    ts INTEGER NOT NULL,
    publisher TEXT NOT NULL,
    dedup TEXT NOT NULL,
    ack TEXT,
    PRIMARY KEY (room, seq)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
#: A file with another number was written by another version.
_VERSION: Final = 1

_INSERT: Final = "INSERT INTO messages VALUES "
_ROW: Final = "(?, ?, ?, ?, ?, ?, ?, ?, ?)"
#: Rows of one statement.
ROWS: Final = 64
#: What may still be said again outlives its message.
_KEEP_RECEIPTS: Final = """
INSERT OR IGNORE INTO receipts
SELECT room, seq, ts, publisher, dedup, ack FROM messages
WHERE room = ? AND seq <= ? AND ts > ? AND dedup IS NOT NULL
"""
#: One that was to be deleted, and could not be.
_REPLACE_ROOM: Final = "DELETE FROM rooms WHERE tenant = ? AND name = ? AND id <> ?"
_EMPTY: Final = """
NOT EXISTS (SELECT 1 FROM messages WHERE room = rooms.id)
AND NOT EXISTS (SELECT 1 FROM receipts WHERE room = rooms.id)
"""
_SAVE_ROOM: Final = """
INSERT INTO rooms VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE
SET head = max(head, excluded.head), numbers = max(numbers, excluded.numbers)
"""


@dataclass(slots=True)
class Waiting:
    """A message on its way to the file."""

    room: SqliteHistory
    message: NewMessage
    data: str
    ack: str | None
    #: Of the data, in bytes.
    size: int
    stored: Callable[[int | None], None]
    #: How often the room had been told to forget what it has.
    era: int


#: What there is to do: messages to store, and work between two transactions.
Tasks: TypeAlias = queue.SimpleQueue["list[Waiting] | Callable[[], None]"]


class Writer(threading.Thread):
    """The one that writes.

    Args:
        path: The file.
        sync: How a commit is made safe.
        queue: What there is to do.

    Attributes:
        db: Its connection; once it has started, for `SqliteStore.run` alone.
        committed: Told of each batch, with the numbers that it got; None is a batch
            that could not be stored.
        found_empty: Told of rooms of which nothing is kept.
        deleted: Told of rooms that were to be deleted, and of those that are.
        retention: How much of a room is kept, by tenant and name.
    """

    committed: Callable[[list[Waiting], list[int] | None], None]
    found_empty: Callable[[list[tuple[int, RoomKey]]], None]
    deleted: Callable[[list[RoomKey], list[RoomKey]], None]
    retention: Callable[[str, str], Retention]

    def __init__(
        self,
        path: Path,
        sync: str,
        queue: Tasks,
        quiet_ms: int,
    ) -> None:
        super().__init__(name="wsprism-history", daemon=True)
        self._queue = queue
        self._sync = sync
        self._quiet_ms = quiet_ms
        self._over = False
        # The last room that was looked at.
        self._swept = 0
        self._log = EventLog("history")
        self.db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)

    def prepare(self, new_epoch: Callable[[], str]) -> None:
        """Make the tables, and begin new epochs where something may be lost.

        Raises:
            sqlite3.Error: The file is none of ours, or in use.
        """
        db = self.db
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {self._sync}")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, _VERSION):
            raise sqlite3.DatabaseError(
                f"it has format {version}, and this version reads {_VERSION}"
            )
        db.executescript(_SCHEMA + STATE_SCHEMA)
        db.execute(f"PRAGMA user_version = {_VERSION}")
        facts = dict(db.execute("SELECT name, value FROM facts").fetchall())
        boot = _boot_id()
        may_have_lost = (
            facts.get("open") == "1"
            and facts.get("sync") != "full"
            and (boot == "" or facts.get("boot") != boot)
        )
        db.execute("BEGIN IMMEDIATE")
        if may_have_lost:
            self._begin_anew(new_epoch)
        for name, value in (("open", "1"), ("sync", self._sync), ("boot", boot)):
            db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))
        db.execute("COMMIT")

    def run(self) -> None:
        """Write until it is over."""
        swept = time.monotonic()
        while not self._over:
            try:
                first = self._queue.get(timeout=SWEEP)
            except queue.Empty:
                first = None
            if first is not None:
                self._write(first)
            if time.monotonic() - swept >= SWEEP:
                swept = time.monotonic()
                self._sweep()
        self.db.execute("UPDATE facts SET value = '0' WHERE name = 'open'")
        self.db.close()

    def finish(self) -> None:
        """Write what waits, and end; called from another thread."""
        self._queue.put(self._end)
        self.join()

    def save_room(self, row: tuple[int, str, str, str, int, int]) -> None:
        """Write down what a room has besides its messages."""
        try:
            self.db.execute(_SAVE_ROOM, row)
        except sqlite3.Error as error:
            self._log.error("history_failed", exc=error)

    def clear(self, id: int, done: Callable[[], None]) -> None:
        """Delete what a room has; `done` is called where that could be done."""
        try:
            self._drop(id, MAX_SAFE_INTEGER, time.time() * 1000)
        except sqlite3.Error as error:
            self._log.error("history_failed", exc=error)
        else:
            done()

    def drop_rooms(self, rooms: list[tuple[int, RoomKey]]) -> None:
        """Delete rooms of which nothing is kept."""
        deleted = []
        try:
            for id, key in rooms:
                row = self.db.execute(
                    f"DELETE FROM rooms WHERE id = ? AND {_EMPTY}", (id,)
                )
                if row.rowcount:
                    deleted.append(key)
        except sqlite3.Error as error:
            self._log.error("history_failed", exc=error)
        self.deleted([key for _, key in rooms], deleted)

    def _end(self) -> None:
        self._over = True

    def _write(self, first: list[Waiting] | Callable[[], None]) -> None:
        """Take what has come, up to a batch, and commit it."""
        batch: list[Waiting] = []
        work: Callable[[], None] | None = None
        item: list[Waiting] | Callable[[], None] = first
        while True:
            if not isinstance(item, list):
                work = item
                break
            batch.extend(item)
            if len(batch) >= BATCH:
                break
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                break
        if batch:
            self._commit(batch)
        if work is not None:
            try:
                work()
            except Exception as error:
                # Nothing that is wrong with one thing may end the thread for all.
                self._log.error("history_failed", exc=error)

    def _commit(self, batch: list[Waiting]) -> None:
        """Store a batch whole, or nothing of it."""
        given: dict[SqliteHistory, int] = {}
        numbers: list[int] = []
        replaced: list[RoomKey] = []
        db = self.db
        try:
            db.execute("BEGIN IMMEDIATE")
            self._insert(batch, given, numbers)
            for room, head in given.items():
                id, tenant, name, epoch, _, reserved = room.as_row()
                if not room.given:
                    gone = db.execute(_REPLACE_ROOM, (tenant, name, id))
                    replaced += [(tenant, name)] * gone.rowcount
                db.execute(_SAVE_ROOM, (id, tenant, name, epoch, head, reserved))
                # What the event loop has forgotten since the last time.
                forgotten = room.forgotten
                if forgotten > room.deleted:
                    self._drop(room.id, forgotten, batch[-1].message.ts)
                    room.deleted = forgotten
            db.execute("COMMIT")
        except Exception as error:
            with contextlib.suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            self._log.error("history_failed", exc=error)
            self.committed(batch, None)
            return
        for room, head in given.items():
            room.given = head
        if replaced:
            self.deleted([], replaced)
        self.committed(batch, numbers)

    def _insert(
        self,
        batch: list[Waiting],
        given: dict[SqliteHistory, int],
        numbers: list[int],
    ) -> None:
        """Insert messages under new numbers; note those, and each room's last."""
        rows: list[tuple[Any, ...]] = []
        for one in batch:
            room, message = one.room, one.message
            seq = given.get(room, room.given) + 1
            given[room] = seq
            numbers.append(seq)
            publisher, dedup = message.dedup or (None, None)
            rows.append(
                (
                    *(room.id, seq, message.ts, message.svc, message.type, one.data),
                    *(publisher, dedup, one.ack),
                )
            )
        for start in range(0, len(rows), ROWS):
            some = rows[start : start + ROWS]
            values = [value for row in some for value in row]
            self.db.execute(_INSERT + ", ".join([_ROW] * len(some)), values)

    def _drop(self, room: int, last: int, now_ms: float) -> None:
        """Delete messages up to a number; what may be said again is remembered."""
        self.db.execute(_KEEP_RECEIPTS, (room, last, now_ms - self._quiet_ms))
        self.db.execute(
            "DELETE FROM messages WHERE room = ? AND seq <= ?", (room, last)
        )

    def _begin_anew(self, new_epoch: Callable[[], str]) -> None:
        """Give every room a new epoch: what it held cannot be trusted."""
        for (id,) in self.db.execute("SELECT id FROM rooms").fetchall():
            self.db.execute(
                "UPDATE rooms SET epoch = ? WHERE id = ?", (new_epoch(), id)
            )
        self._log.warning("history_began_anew", reason="the machine ended uncleanly")

    def _sweep(self) -> None:
        """Delete what is too old, of rooms that nobody opens too; some at a time."""
        now_ms = int(time.time() * 1000)
        db = self.db
        try:
            rooms = db.execute(
                "SELECT id, tenant, name FROM rooms WHERE id > ? ORDER BY id LIMIT ?",
                (self._swept, SLICE),
            ).fetchall()
            for id, tenant, name in rooms:
                age = self.retention(tenant, name).age
                if age:
                    # Of what is old the oldest, so that no hole is left.
                    (last,) = db.execute(
                        "SELECT max(seq) FROM messages WHERE room = ? AND ts < ?",
                        (id, now_ms - int(age * 1000)),
                    ).fetchone()
                    if last is not None:
                        self._drop(id, last, now_ms)
            span = self._swept + 1, rooms[-1][0] if rooms else 0
            db.execute(
                "DELETE FROM receipts WHERE room BETWEEN ? AND ? AND ts < ?",
                (*span, now_ms - self._quiet_ms),
            )
            empty = db.execute(
                "SELECT id, tenant, name FROM rooms"
                f" WHERE id BETWEEN ? AND ? AND {_EMPTY}",
                span,
            ).fetchall()
        except sqlite3.Error as error:
            self._log.error("history_failed", exc=error)
            return
        self._swept = rooms[-1][0] if len(rooms) == SLICE else 0
        if empty:
            self.found_empty([(id, (tenant, name)) for id, tenant, name in empty])


def _boot_id() -> str:
    """Return what tells this start of the machine from others, empty if unknown."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
