"""History in a file of SQLite: it outlives the process.

One thread writes. It takes whatever has come meanwhile as one batch, commits, and tells
the event loop, so that many messages share what a commit costs; nothing is delivered or
acknowledged before. The event loop reads, from a connection of its own, a page at a
time: with a write-ahead log neither waits for the other.

The event loop hands on what has come once a turn has brought but a few more, and after
some turns in any case. Handed on one by one the writer would begin with the first, and
commit the eight that a connection may say in a turn: 32 in flight are stored a fifth
faster so.

`sync: normal` survives the end of the process in whatever way, but a loss of power may
take the last commits. So whoever opens a file that was not closed, and may have lost
something because the machine was started anew since, begins a new epoch in every room.
`sync: full` waits for the disk at each commit, and need not.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import orjson

from wsprism_core.history.port import (
    KeptMessage,
    NewMessage,
    Remembered,
    Retention,
    StoreFull,
)
from wsprism_core.history.retention import ENVELOPE_BYTES, RetentionWindow, as_json
from wsprism_core.history.sqlite_rooms import FileRooms, RoomKey
from wsprism_core.history.sqlite_state import StateTable
from wsprism_core.history.sqlite_writer import Tasks, Waiting, Writer
from wsprism_core.logs import EventLog

try:
    import fcntl
except ImportError:  # Windows: two gateways on one file are nobody's fault but theirs
    fcntl = None  # type: ignore[assignment]

__all__ = ("SqliteHistory", "SqliteStore")

#: So few in a turn are handed on, and so many turns are the most that any waits. What a
#: commit costs besides its messages is ten times what a message costs.
FEW: Final = 3
TURNS: Final = 4
#: Member numbers that are taken from the file at a time.
NUMBERS_AHEAD: Final = 1_000


class SqliteStore:
    """Keeps rooms in a file.

    Args:
        path: The file; its folder is there.
        new_epoch: Returns a string that no room has had as its epoch.
        retention: How much of a room is kept, by tenant and name.
        sync: `normal`, or `full` to lose nothing when the power fails.
        max_waiting: Messages that may wait to be stored; more are refused.
        max_rooms: Rooms of one tenant; the first message of another is refused. 0 is no
            bound.
        dedup: How many publishers' ids of a room are remembered from before.
        quiet_ms: For how long one is remembered at least, in milliseconds, however many
            came after it.
        counts: Where messages are counted: `stored`, `failed`, and `refused`.
    """

    name = "sqlite"
    durable = True

    def __init__(
        self,
        path: Path,
        new_epoch: Callable[[], str],
        retention: Callable[[str, str], Retention],
        *,
        sync: Literal["normal", "full"] = "normal",
        max_waiting: int = 10_000,
        max_rooms: int = 0,
        dedup: int = 1_000,
        quiet_ms: int = 30_000,
        counts: Counter[str] | None = None,
    ) -> None:
        self._counts: Counter[str] = Counter() if counts is None else counts
        self.new_epoch = new_epoch
        self.dedup = dedup
        self.quiet_ms = quiet_ms
        self._path = path
        self._retention = retention
        self._sync = sync
        self._max_waiting = max_waiting
        self._in_file = FileRooms(max_rooms)
        self._waiting = 0
        self._next_id = 0
        self._log = EventLog("history")
        self._queue: Tasks = queue.SimpleQueue()
        # What has come since the writer was given something, how much of it was there a
        # turn ago, and how many turns that took.
        self._gathered: list[Waiting] = []
        self._seen = 0
        self._turns = 0
        self._rooms: dict[tuple[str, str], SqliteHistory] = {}
        self._lock: _Lock
        #: What plugins keep in the same file.
        self.state: StateTable
        self._reader: sqlite3.Connection
        self._loop: asyncio.AbstractEventLoop
        self._writer: Writer | None = None

    @property
    def waiting(self) -> int:
        """How many messages wait to be stored."""
        return self._waiting

    async def start(self) -> None:
        """Open the file, which is made where there is none.

        Raises:
            OSError: It cannot be opened, or is none of ours.
        """
        self._loop = asyncio.get_running_loop()
        self._lock = _Lock(self._path)
        try:
            writer = Writer(self._path, self._sync, self._queue, self.quiet_ms)
            writer.prepare(self.new_epoch)
            self._reader = sqlite3.connect(
                f"{self._path.absolute().as_uri()}?mode=ro", uri=True
            )
            row = self._reader.execute("SELECT max(id) FROM rooms").fetchone()
            self._in_file.by_tenant.update(
                dict(self.query("SELECT tenant, count(*) FROM rooms GROUP BY tenant"))
            )
        except sqlite3.Error as error:
            self._lock.release()
            raise OSError(f"{self._path}: {error}") from None
        self._next_id = (row[0] or 0) + 1
        self._writer = writer
        self.state = StateTable(self._reader, writer.db, self.run)
        writer.committed = partial(self._call, self._committed)
        writer.found_empty = partial(self._call, self._drop_empty)
        writer.deleted = partial(self._call, self._in_file.gone)
        writer.retention = self._retention
        writer.start()

    async def stop(self) -> None:
        """Store what waits, and close the file."""
        writer = self._writer
        if writer is None:
            return
        self._hand_on()
        await asyncio.to_thread(writer.finish)
        # What it told while it finished is still to be heard.
        await asyncio.sleep(0)
        self._writer = None
        self._reader.close()
        self._lock.release()

    def open(self, tenant: str, room: str) -> SqliteHistory:
        """Take hold of a room."""
        key = (tenant, room)
        found = self._rooms.get(key)
        if found is not None:
            # It was let go of, and something of it is still on its way to the file.
            found.is_open = True
            return found
        retention = self._retention(tenant, room)
        row = None
        if not self._in_file.is_going(key):
            row = self._reader.execute(
                "SELECT id, epoch, head, numbers FROM rooms"
                " WHERE tenant = ? AND name = ?",
                key,
            ).fetchone()
        if row is None:
            row = (self._next_id, self.new_epoch(), 0, 0)
            self._next_id += 1
        self._rooms[key] = SqliteHistory(self, tenant, room, retention, *row)
        return self._rooms[key]

    # ------------------------------------------------ what a room's history calls

    def put(self, waiting: Waiting) -> None:
        """Have a message stored.

        Raises:
            StoreFull: Too much waits, or it is the first of a room too many.
        """
        try:
            if self._waiting >= self._max_waiting:
                raise StoreFull
            if not waiting.room.is_in_file:
                self._in_file.add(waiting.room.tenant)
                waiting.room.is_in_file = True
        except StoreFull:
            self._counts["refused"] += 1
            raise
        self._waiting += 1
        waiting.room.waiting += 1
        if not self._gathered:
            self._loop.call_soon(self._look)
        self._gathered.append(waiting)

    def _look(self) -> None:
        """Hand on what has come, once a turn has brought but a few."""
        came = len(self._gathered) - self._seen
        self._turns += 1
        if came > FEW and self._turns < TURNS:
            self._seen += came
            self._loop.call_soon(self._look)
        else:
            self._hand_on()

    def _hand_on(self) -> None:
        if self._gathered:
            self._queue.put(self._gathered)
            self._gathered = []
        self._seen = self._turns = 0

    def forget(self, room: SqliteHistory) -> None:
        """Let go of a room of which nothing waits."""
        del self._rooms[room.tenant, room.name]

    def clear(self, room: SqliteHistory) -> None:
        """Delete what a room has in the file, and what is on its way there.

        Until that is done the room is not let go of: opened anew, it would have it all
        again.
        """
        assert self._writer is not None
        room.waiting += 1
        cleared = partial(self._call, self._arrived, [room])
        self.run(partial(self._writer.clear, room.id, cleared))

    def run(self, work: Callable[[], None]) -> None:
        """Run `work` in the writer's thread, behind the messages that came before."""
        self._hand_on()
        self._queue.put(work)

    def save_room(self, room: SqliteHistory) -> None:
        """Write down what a room has besides its messages."""
        assert self._writer is not None
        self.run(partial(self._writer.save_room, room.as_row()))

    def query(self, sql: str, *values: Any) -> list[Any]:
        """Return the rows of a query, all at once."""
        return self._reader.execute(sql, values).fetchall()

    def rows(self, sql: str, *values: Any) -> contextlib.closing[sqlite3.Cursor]:
        """Return the rows of a query, to be read as far as they are wanted."""
        return contextlib.closing(self._reader.execute(sql, values))

    # ------------------------------------------------------ what the writer calls

    def _call(self, told: Callable[..., None], *args: Any) -> None:
        with contextlib.suppress(RuntimeError):
            # The loop may be closed already where a process ends in a hurry.
            self._loop.call_soon_threadsafe(told, *args)

    def _drop_empty(self, found: list[tuple[int, RoomKey]]) -> None:
        """Have rooms deleted of which nothing is kept, but for those in use."""
        rooms = [(id, key) for id, key in found if key not in self._rooms]
        if self._writer is None or not rooms:
            return
        self._in_file.let_go(key for _, key in rooms)
        self.run(partial(self._writer.drop_rooms, rooms))

    def _committed(self, batch: list[Waiting], numbers: list[int] | None) -> None:
        """Tell everybody whose message is safe, or is not."""
        self._waiting -= len(batch)
        if numbers is None:
            self._counts["failed"] += len(batch)
            self._log.error("history_not_stored", messages=len(batch))
            for room, count in Counter(one.room for one in batch).items():
                self._may_not_be_in_file(room, count)
            for one in batch:
                self._told(one, None)
        else:
            self._counts["stored"] += len(batch)
            for one, seq in zip(batch, numbers, strict=True):
                one.room.note_stored(seq, one)
                self._told(one, seq)
        # Whoever was told may have let go of the room.
        self._arrived([one.room for one in batch])

    def _told(self, one: Waiting, seq: int | None) -> None:
        """Tell whoever waits; what that raises is nothing to the others of a batch."""
        try:
            one.stored(seq)
        except Exception as error:
            self._log.error("history_not_told", exc=error)

    def _may_not_be_in_file(self, room: SqliteHistory, failed: int) -> None:
        """Count a room no more of which nothing was stored, and nothing is to be."""
        if room.is_in_file and not room.given and room.waiting == failed:
            room.is_in_file = False
            self._in_file.gone((), [(room.tenant, room.name)])

    def _arrived(self, rooms: list[SqliteHistory]) -> None:
        """Note that less of some rooms is on its way, and forget who is let go of."""
        for room in rooms:
            room.waiting -= 1
        for room in set(rooms):
            if not room.is_open and not room.waiting:
                self.forget(room)


class SqliteHistory:
    """What a file keeps of one room.

    Args:
        store: The store.
        tenant: The tenant's id.
        name: The room's name.
        retention: How much is kept.
        id: The room's number in the file.
        epoch: Its epoch.
        head: The number of its newest message.
        numbers: The highest member number that may have been given.
    """

    def __init__(
        self,
        store: SqliteStore,
        tenant: str,
        name: str,
        retention: Retention,
        id: int,
        epoch: str,
        head: int,
        numbers: int,
    ) -> None:
        self.id = id
        self.epoch = epoch
        self.seq = head
        self.numbers = numbers
        #: The newest number that the writer has given; its thread alone changes it.
        self.given = head
        #: Whether the file has a row for it, or is about to.
        self.is_in_file = numbers > 0
        #: Up to which number messages were deleted; the writer's too.
        self.deleted = 0
        self.tenant = tenant
        self.name = name
        self.is_open = True
        #: How many of its messages are on their way to the file.
        self.waiting = 0
        #: How often it was told to forget what it has.
        self.era = 0
        self._store = store
        self._reserved = numbers
        self._retention = retention
        # Nobody has asked until now: coming and going alone reads no message.
        self._window: RetentionWindow | None = None
        ((first,),) = store.query("SELECT min(seq) FROM messages WHERE room = ?", id)
        #: Up to which number messages are not kept any more; the writer reads it.
        self.forgotten = head if first is None else first - 1

    @property
    def oldest(self) -> int:
        """The number of the oldest message kept."""
        return self.forgotten + 1

    def as_row(self) -> tuple[int, str, str, str, int, int]:
        """Return the room as the file has it."""
        return (
            self.id,
            self.tenant,
            self.name,
            self.epoch,
            self.given,
            self._reserved,
        )

    def append(self, message: NewMessage, stored: Callable[[int | None], None]) -> None:
        """Have a message stored; see `RoomHistory.append`."""
        data = as_json(message.data)
        ack = None if message.ack is None else as_json(message.ack).decode()
        if not self.is_in_file:
            # With the room's first message, so that they are never given again.
            self._reserved = self.numbers + NUMBERS_AHEAD
        self._store.put(
            Waiting(self, message, data.decode(), ack, len(data), stored, self.era)
        )

    def read(
        self, *, before: int | None = None, after: int | None = None, limit: int
    ) -> Sequence[KeptMessage]:
        """Return messages, oldest first."""
        columns = "SELECT seq, ts, svc, type, data FROM messages"
        # What is being written is not there yet, and what is forgotten may be still.
        first = max(self.oldest, 0 if after is None else after + 1)
        last = self.seq if before is None else min(self.seq, before - 1)
        order = "DESC" if after is None else "ASC"
        rows = self._store.query(
            f"{columns} WHERE room = ? AND seq BETWEEN ? AND ? ORDER BY seq {order}"
            " LIMIT ?",
            *(self.id, first, last, limit),
        )
        if after is None:
            rows.reverse()
        return [
            KeptMessage(seq, ts, svc, type, orjson.loads(data))
            for seq, ts, svc, type, data in rows
        ]

    def forget(self) -> None:
        """Keep no message any more that was appended until now."""
        self.era += 1
        if self._window is not None:
            self._window.clear()
        self.forgotten = self.seq
        self._store.clear(self)

    def size_since(self, after: int) -> int:
        """Return how many bytes later messages take."""
        if self._window is not None:
            return self._window.newest(self.seq - after)
        ((size,),) = self._store.query(
            "SELECT coalesce(sum(? + length(CAST(data AS BLOB))), 0) FROM messages"
            " WHERE room = ? AND seq BETWEEN ? AND ?",
            *(ENVELOPE_BYTES, self.id, max(after, self.forgotten) + 1, self.seq),
        )
        return int(size)

    def receipts(self) -> Sequence[Remembered]:
        """Return publishers' ids that are remembered from before, oldest first."""
        return list(reversed(list(self._receipts())))

    def note_numbers(self, n: int) -> None:
        """Note that member numbers up to `n` have been given."""
        self.numbers = max(self.numbers, n)
        # Long before they are used up: a number that was given is never given again,
        # not even after an end that nobody saw coming.
        if self.is_in_file and self.numbers + NUMBERS_AHEAD // 2 > self._reserved:
            self._reserved = self.numbers + NUMBERS_AHEAD
            self._store.save_room(self)

    def note_stored(self, seq: int, stored: Waiting) -> None:
        """Note a message that is safe now, or was to be forgotten before it was."""
        window = self._measured()
        self.seq = seq
        if stored.era == self.era:
            window.add(stored.size, stored.message.ts)
        self.forgotten = seq - len(window)

    def close(self) -> None:
        """Let go of the room."""
        self.is_open = False
        if not self.waiting:
            self._store.forget(self)

    def _receipts(self) -> Iterator[Remembered]:
        """Yield them, the newest first, as far back as they are remembered."""
        store = self._store
        count, since = 0, None
        for table in ("messages", "receipts"):
            with store.rows(
                f"SELECT publisher, dedup, seq, ts, ack FROM {table}"
                " WHERE room = ? AND dedup IS NOT NULL ORDER BY seq DESC",
                self.id,
            ) as rows:
                for publisher, dedup, seq, ts, ack in rows:
                    if since is None:
                        since = ts - store.quiet_ms
                    if count >= store.dedup and ts < since:
                        return
                    count += 1
                    told = None if ack is None else orjson.loads(ack)
                    yield Remembered((publisher, dedup), seq, ts, told)

    def _measured(self) -> RetentionWindow:
        """Return the sizes and times of what is kept."""
        if self._window is None:
            kept = self._store.query(
                # Of a text, `length` counts characters.
                "SELECT length(CAST(data AS BLOB)), ts FROM messages"
                " WHERE room = ? AND seq BETWEEN ? AND ? ORDER BY seq",
                *(self.id, self.oldest, self.seq),
            )
            self._window = RetentionWindow(self._retention, kept)
        return self._window


class _Lock:
    """Keeps other gateways from a file: its numbers are one gateway's to give.

    Args:
        path: The file; the lock is a file beside it.

    Raises:
        OSError: Another gateway has it.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.with_name(f"{path.name}.lock").open("w")
        if fcntl is None:
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise OSError(f"{path}: another gateway has it open") from None

    def release(self) -> None:
        """Let others have it."""
        self._file.close()
