"""A flood of the same warning takes a few lines, and one that says how many came."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeAlias

__all__ = ("WARNINGS_PER_SECOND", "SampledHandler")

#: Warnings of one kind that are logged one by one, unless it is configured.
WARNINGS_PER_SECOND: Final = 20

#: What is one kind: its logger, its event, and the plugin that it is about.
Kind: TypeAlias = tuple[str, str, Any]


class _Timer(Protocol):
    def cancel(self) -> None: ...


def _later(seconds: float, work: Callable[[], None]) -> _Timer:
    """Run `work` once, in a thread that keeps no process alive.

    Events come from threads without an event loop too, such as the watchdog's.
    """
    timer = threading.Timer(seconds, work)
    timer.daemon = True
    timer.start()
    return timer


class SampledHandler(logging.Handler):
    """Hands records on; warnings and errors that come too often it sums up.

    Args:
        inner: What writes.
        most: How many of one kind are handed on in one period.
        seconds: How long a period is.
        now: Returns seconds on a clock that never goes back.
        later: Runs something once, after so many seconds.

    Attributes:
        summed_up: How many records were not handed on.
    """

    def __init__(
        self,
        inner: logging.Handler,
        most: int,
        *,
        seconds: float,
        now: Callable[[], float] = time.monotonic,
        later: Callable[[float, Callable[[], None]], _Timer] = _later,
    ) -> None:
        super().__init__()
        self.summed_up = 0
        self._inner = inner
        self._most = most
        self._seconds = seconds
        self._now = now
        self._later = later
        self._began = now()
        self._counts: dict[Kind, int] = {}
        # The last record of each kind that was not handed on.
        self._held: dict[Kind, logging.LogRecord] = {}
        self._timer: _Timer | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a record on, or count it."""
        if record.levelno < logging.WARNING:
            self._inner.handle(record)
            return
        now = self._now()
        if now - self._began >= self._seconds:
            self._begin(now)
        fields = getattr(record, "fields", {})
        kind = record.name, record.getMessage(), fields.get("plugin")
        count = self._counts[kind] = self._counts.get(kind, 0) + 1
        if count <= self._most:
            self._inner.handle(record)
            return
        self.summed_up += 1
        self._held[kind] = record
        if self._timer is None:
            self._timer = self._later(self._began + self._seconds - now, self._due)

    def close(self) -> None:
        """Sum up what was counted; nothing more comes."""
        with self._locked():
            self._begin(self._now())
        super().close()

    def _due(self) -> None:
        with self._locked():
            self._begin(self._now())

    def _begin(self, now: float) -> None:
        """Begin a new period, with a line for each kind that came too often."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._began = now
        counts, self._counts = self._counts, {}
        held, self._held = self._held, {}
        for kind, record in held.items():
            self._inner.handle(_sum(record, kind, counts[kind] - self._most))

    def _locked(self) -> Any:
        assert self.lock is not None
        return self.lock


def _sum(record: logging.LogRecord, kind: Kind, count: int) -> logging.LogRecord:
    """Return the record that stands for so many."""
    name, event, plugin = kind
    fields = {"what": event, "count": count}
    if plugin is not None:
        fields["plugin"] = plugin
    made = logging.LogRecord(name, record.levelno, "", 0, "repeated", None, None)
    made.fields = fields
    return made
