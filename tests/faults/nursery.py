"""Gateways that start at once: all that they import is there already.

A process that has imported everything forks for each gateway that it is asked for. So
one that was killed is back before its clients have noticed, and two hundred runs do not
spend their time on importing.

A gateway's wall clock is what a file says: it goes wrong by the file's time of change,
so that it still does after a restart.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Self

__all__ = ("Nursery",)

_TESTS: Final = Path(__file__).parents[1]
_IMPORTED: Final = (
    "wsprism_chat.service",
    "wsprism_core.gateway.gateway",
    "wsprism_core.history.sqlite",
    "wsprism_core.runner",
    "wsprism_cli.run",
)


class Nursery:
    """Starts gateways; use it with `with`."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "faults.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(_TESTS)},
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        # What it has started ends with it.
        self._process.communicate()

    def start(self, config: Path, log: Path, clock: Path) -> int:
        """Start a gateway with the chat service.

        Args:
            config: Its configuration.
            log: What its output is added to.
            clock: Its time of change, in seconds since 1970, is what the gateway's
                wall clock is ahead.

        Returns:
            The process's id.
        """
        return self._ask(start=[str(config), str(log), str(clock)])

    def wait(self, pid: int) -> int:
        """Return what a gateway ended with; below 0 it is a signal."""
        return self._ask(wait=pid)

    def is_running(self, pid: int) -> bool:
        """Whether a gateway has not ended by itself."""
        return bool(self._ask(look=pid))

    def _ask(self, **what: Any) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


def _serve() -> None:
    """Do what standard input says, line by line."""
    for name in _IMPORTED:
        import_module(name)
    running: set[int] = set()
    for line in sys.stdin:
        what = json.loads(line)
        if "start" in what:
            config, log, clock = what["start"]
            answer = os.fork()
            if not answer:
                _run(config, log, clock)
            running.add(answer)
        elif "look" in what:
            how = os.WEXITED | os.WNOHANG | os.WNOWAIT
            answer = int(os.waitid(os.P_PID, what["look"], how) is None)
        else:
            running.remove(what["wait"])
            _, status = os.waitpid(what["wait"], 0)
            answer = os.waitstatus_to_exitcode(status)
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()
    for pid in running:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


def _run(config: str, log: str, clock: str) -> None:
    """Be a gateway; it does not return."""
    from wsprism_core.launcher import main

    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(file, 1)
    os.dup2(file, 2)
    real = time.time_ns

    def wrong() -> int:
        return real() + os.stat(clock).st_mtime_ns

    time.time_ns = wrong
    time.time = lambda: wrong() / 1e9
    sys.argv[:] = ["wsprism", "run", "--dev", "--plugins", "chat", "--config", config]
    code = 1
    try:
        code = main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
