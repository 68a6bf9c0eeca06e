"""What plugins keep, in the file that history is in.

Changes are collected until the writer's thread comes to them, and are then one
transaction: however often a value changes meanwhile, it is written once.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable

from wsprism_core.logs import EventLog

__all__ = ("STATE_SCHEMA", "StateTable")

STATE_SCHEMA = """
CREATE TABLE IF NOT EXISTS state (
    plugin TEXT NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (plugin, key)
) WITHOUT ROWID;
"""


class StateTable:
    """The table of what plugins keep.

    Args:
        reader: What the event loop reads with.
        writer: What the writer's thread writes with.
        run: Runs something in the writer's thread, between two transactions.
    """

    def __init__(
        self,
        reader: sqlite3.Connection,
        writer: sqlite3.Connection,
        run: Callable[[Callable[[], None]], None],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._run = run
        self._log = EventLog("history")
        self._lock = threading.Lock()
        #: What has changed since it was written; None is gone.
        self._changes: dict[tuple[str, str], bytes | None] = {}
        self._asked = False

    def load(self, plugin: str) -> dict[str, bytes]:
        """Return what a plugin has kept."""
        rows = self._reader.execute(
            "SELECT key, value FROM state WHERE plugin = ?", (plugin,)
        )
        return dict(rows.fetchall())

    def save(self, plugin: str, key: str, value: bytes | None) -> None:
        """Have a value written, or deleted where it is None."""
        with self._lock:
            self._changes[plugin, key] = value
            asked, self._asked = self._asked, True
        if not asked:
            self._run(self._write)

    def _write(self) -> None:
        """Write what has changed; the writer's thread calls it."""
        with self._lock:
            changes, self._changes = self._changes, {}
            self._asked = False
        gone = [key for key, value in changes.items() if value is None]
        kept = [(*key, value) for key, value in changes.items() if value is not None]
        db = self._writer
        try:
            db.execute("BEGIN IMMEDIATE")
            db.executemany("DELETE FROM state WHERE plugin = ? AND key = ?", gone)
            db.executemany("INSERT OR REPLACE INTO state VALUES (?, ?, ?)", kept)
            db.execute("COMMIT")
        except sqlite3.Error as error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            self._log.error("state_not_stored", values=len(changes), exc=error)
            # They are written with the next change, unless that is newer.
            with self._lock:
                self._changes = changes | self._changes
