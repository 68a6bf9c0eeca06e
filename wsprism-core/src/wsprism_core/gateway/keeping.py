"""Which store keeps the history of rooms, and where plugins keep their state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

from wsprism_core.config import HistoryConfig, KeptRooms
from wsprism_core.history.memory import MemoryStore
from wsprism_core.history.port import HistoryStore, Retention
from wsprism_core.state.memory import MemoryState
from wsprism_core.state.port import State, StateBounds

__all__ = ("history_store", "plugin_state")


def history_store(
    config: HistoryConfig,
    new_epoch: Callable[[], str],
    *,
    dedup: int,
    quiet_ms: int,
    counts: Counter[str] | None = None,
) -> HistoryStore:
    """Return the store, which is not open yet.

    Args:
        config: Where history is kept, and how much.
        new_epoch: Returns a string that no room has had as its epoch.
        dedup: How many publishers' ids of a room are remembered from before.
        quiet_ms: For how long one is remembered at least, however many came after it.
        counts: Where a store that is durable counts messages, by what became of them.
    """
    classes = [(one.rooms, _retention(one)) for one in config.classes]
    default = _retention(config)

    def retention(tenant: str, room: str) -> Retention:
        for pattern, kept in classes:
            if fnmatchcase(room, pattern):
                return kept
        return default

    if config.file is None:
        return MemoryStore(new_epoch, retention)
    # Imported here: most gateways keep history in memory.
    from wsprism_core.history.sqlite import SqliteStore

    return SqliteStore(
        Path(config.file),
        new_epoch,
        retention,
        sync=config.sync,
        max_waiting=config.max_waiting,
        max_rooms=config.max_rooms,
        dedup=dedup,
        quiet_ms=quiet_ms,
        counts=counts,
    )


def _retention(config: HistoryConfig | KeptRooms) -> Retention:
    return Retention(messages=config.messages, bytes=config.bytes, age=config.age_s)


def plugin_state(
    store: HistoryStore | None, bounds: StateBounds, refused: Counter[str]
) -> Callable[[str], State]:
    """Return what gives each plugin, by its name, its state.

    Args:
        store: The store of history, whose file keeps state too; None is memory, and so
            is a store without a file.
        bounds: How much a plugin may keep.
        refused: Where it is counted, by plugin, what was more.
    """
    table = None
    if store is not None and store.durable:
        from wsprism_core.history.sqlite import SqliteStore

        table = store if isinstance(store, SqliteStore) else None

    def open_state(plugin: str) -> State:
        count = partial(refused.update, [plugin])
        if table is None:
            return MemoryState(bounds, refused=count)
        loaded = table.state.load(plugin)
        changed = partial(table.state.save, plugin)
        return MemoryState(bounds, loaded, changed, count)

    return open_state
