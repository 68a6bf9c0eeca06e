"""A gateway on one port and one file, and what may befall it."""

from __future__ import annotations

import os
import resource
import signal
import socket
from pathlib import Path
from typing import Any, Final

import yaml

from faults.nursery import Nursery

__all__ = ("Gateway",)

_TENANT: Final = {
    "id": "main",
    "limits": {"max_frame_bytes": 65_536},
    "policy": {
        "rate_limit_rps": 0,
        "ext_allowlist": ["*:*"],
        "sessions": {"max_sessions_per_user": 0},
    },
}


class Gateway:
    """One that keeps its history in a file, however often it dies.

    Args:
        nursery: What starts it.
        folder: Where its configuration, log, clock and history are.
    """

    def __init__(self, nursery: Nursery, folder: Path) -> None:
        self._nursery = nursery
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port: int = found.getsockname()[1]
        self._history = folder / "history.db"
        self._log = folder / "log"
        self._config = folder / "wsprism.yaml"
        gateway: dict[str, Any] = {
            "listen": f"127.0.0.1:{self.port}",
            # All that is said is looked for at the end.
            "history": {"file": str(self._history), "messages": 100_000},
        }
        config = {"version": 1, "gateway": gateway, "tenants": [_TENANT]}
        self._config.write_text(yaml.safe_dump(config))
        self._clock = folder / "clock"
        self._clock.touch()
        self._log.touch()
        self._pid = 0
        self.set_clock(0)

    def start(self) -> None:
        """Start it; it may take a moment to listen."""
        self._pid = self._nursery.start(self._config, self._log, self._clock)

    def kill(self) -> None:
        """Kill it, whatever it does."""
        os.kill(self._pid, signal.SIGKILL)
        self._nursery.wait(self._pid)

    def stop(self) -> int:
        """Have it end in order; return its exit code."""
        os.kill(self._pid, signal.SIGTERM)
        return self._nursery.wait(self._pid)

    def fill_disk(self) -> None:
        """Let no file of it grow any more, as on a disk that is full."""
        written = self._history.with_name(f"{self._history.name}-wal")
        size = written.stat().st_size if written.exists() else 0
        self._limit(size)

    def free_disk(self) -> None:
        """Let files grow again."""
        self._limit(resource.RLIM_INFINITY)

    def revive(self) -> None:
        """Start it again where it ended by itself, as one does that finds no space."""
        if not self._nursery.is_running(self._pid):
            self._nursery.wait(self._pid)
            self.start()

    def set_clock(self, ahead: int) -> None:
        """Set its wall clock so many seconds ahead, or below 0 behind."""
        os.utime(self._clock, (0, ahead))

    def last_words(self) -> str:
        """Return the end of its log."""
        return self._log.read_text()[-2_000:]

    def _limit(self, size: int) -> None:
        hardest = resource.RLIM_INFINITY
        resource.prlimit(self._pid, resource.RLIMIT_FSIZE, (size, hardest))
