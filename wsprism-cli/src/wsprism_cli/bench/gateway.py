"""The gateway that is measured: one of our own, or one that runs already.

Our own is the real `wsprism run` in a process of its own, with policy on and limits
that do not bite: `python -m wsprism_cli.bench.gateway`. It ends with who started it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from wsprism_cli.bench.client import LoadError, Target
from wsprism_cli.bench.wire import LARGEST

if TYPE_CHECKING:
    from asyncio.subprocess import Process

__all__ = (
    "TENANT",
    "Counters",
    "LaneCounts",
    "OwnGateway",
    "configuration",
    "end",
    "main",
    "own_gateway",
    "process_group",
    "read_counters",
    "target_of",
)

TENANT: Final = "bench"
#: Seconds in which it must listen, and in which it must have ended.
START_TIMEOUT: Final = 30.0
STOP_TIMEOUT: Final = 10.0
_PLENTY: Final = 10_000_000


def configuration(plugins: Sequence[str], quotes_per_s: float) -> dict[str, Any]:
    """Return the gateway's configuration: everything on, nothing in the way.

    Args:
        plugins: What is loaded.
        quotes_per_s: How many quotes market makes up in a second.
    """
    sections: dict[str, Any] = {}
    if "chat" in plugins:
        sections["chat"] = {"max_length": LARGEST}
    if "market" in plugins:
        source = {"kind": "random_walk", "per_second": float(quotes_per_s)}
        sections["market"] = {"source": source}
    return {
        "version": 1,
        # When it ends there is nobody left to drain for.
        "gateway": {"listen": "127.0.0.1:0", "drain_grace_ms": 0},
        "tenants": [
            {
                "id": TENANT,
                "limits": {
                    "max_frame_bytes": 1 << 18,
                    "max_sessions_total": _PLENTY,
                    "max_rooms_total": _PLENTY,
                    "max_users_per_room": _PLENTY,
                    "max_rooms_per_user": _PLENTY,
                },
                "policy": {
                    "rate_limit_rps": _PLENTY,
                    "rate_limit_burst": 2 * _PLENTY,
                    "rate_limit_scope": "both",
                    "ext_allowlist": ["room:*", "chat:*", "market:*"],
                    "hot_allowlist": ["1:*"],
                },
            }
        ],
        "plugins": sections,
    }


def target_of(
    url: str, tenant: str | None, ticket: str, ca: Path | None = None
) -> Target:
    """Return where a URL leads.

    Raises:
        ValueError: It is none of `ws://` or `wss://`.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("ws", "wss"):
        raise ValueError("must begin with ws:// or wss://")
    if parts.query:
        raise ValueError("has a query; give --tenant and --ticket instead")
    if not parts.hostname:
        raise ValueError("has no host")
    tls = parts.scheme == "wss"
    return Target(
        host=parts.hostname,
        port=parts.port or (443 if tls else 80),
        path=parts.path.rstrip("/") or "/v1/ws",
        tls=tls,
        tenant=tenant,
        ticket=ticket,
        ca=None if ca is None else str(ca),
    )


# --------------------------------------------------------------------- our own one


@dataclass(slots=True)
class OwnGateway:
    """A gateway that was started here.

    Attributes:
        process: Its process.
        target: Where it listens.
        errors: The file that its log goes to.
    """

    process: Process
    target: Target
    errors: Path

    def last_words(self) -> str:
        """Return the last error of its log."""
        return _last_words(self.errors)


@asynccontextmanager
async def own_gateway(
    plugins: Sequence[str], quotes_per_s: float, cores: Sequence[int]
) -> AsyncIterator[OwnGateway]:
    """Run a gateway for as long as the block lasts.

    Args:
        plugins: What it loads.
        quotes_per_s: How many quotes market makes up in a second.
        cores: The cores that it may use; empty is any, as where it cannot be said.

    Raises:
        LoadError: It does not start.
    """
    with tempfile.TemporaryDirectory(prefix="wsprism-bench-") as folder:
        errors = Path(folder, "log")
        config = configuration(plugins, quotes_per_s)
        process = await _start(Path(folder), config, errors, plugins, cores)
        try:
            url = await _address(process, errors)
            yield OwnGateway(process, target_of(url, TENANT, "dev:bench{n}"), errors)
        finally:
            await end(process, STOP_TIMEOUT)


async def _start(
    folder: Path,
    config: dict[str, Any],
    errors: Path,
    plugins: Sequence[str],
    cores: Sequence[int],
) -> Process:
    # JSON is YAML.
    file = folder / "wsprism.yaml"
    file.write_text(json.dumps(config))
    log = errors.open("wb")
    try:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "wsprism_cli.bench.gateway"),
            ",".join(map(str, cores)),
            *("--dev", "--config", str(file), "--plugins", ",".join(plugins)),
            *("--log-level", "warning"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env={
                name: value
                for name, value in os.environ.items()
                if not name.startswith("WSPRISM_")
            },
            **process_group(),
        )
    finally:
        log.close()


async def end(process: Process, patience: float) -> None:
    """End a process that ends with its input; kill it where it does not.

    Args:
        process: The process.
        patience: Seconds to wait.
    """
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(patience):
            await process.wait()
    except BaseException:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise


def process_group() -> dict[str, Any]:
    """Return what keeps Ctrl-C from a process: whoever started it ends it, in order."""
    if sys.platform == "win32":
        import subprocess

        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    # Not a session of its own: Linux shares the cores out among sessions first, and
    # then a process can't yield to one of another (autogroups, sched(7)).
    return {"process_group": 0}


async def _address(process: Process, errors: Path) -> str:
    """Return the URL of a gateway that starts.

    Raises:
        LoadError: It ends, or does not come to listen.
    """
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_TIMEOUT):
            async for line in process.stdout:
                label, _, address = line.decode().partition(" ")
                if label == "listening":
                    return address.strip()
    except TimeoutError:
        raise LoadError(f"the gateway did not start in {START_TIMEOUT:.0f} s") from None
    await process.wait()
    raise LoadError(f"the gateway did not start: {_last_words(errors)}")


def _last_words(path: Path) -> str:
    """Return the last error of a log, all of it; where there is none, its last line."""
    log = path.read_text(encoding="utf-8", errors="replace")
    said = [line for line in log.split("\n") if line.strip()]
    for place in reversed(range(len(said))):
        if said[place].startswith("error: "):
            # Its reasons are indented; what Python says of itself is behind them.
            last = said[place:]
            more = takewhile(lambda line: line[0].isspace(), last[1:])
            return "\n".join([last[0].removeprefix("error: "), *more])
    return said[-1] if said else "it said nothing"


def main() -> int:
    """Run a gateway until standard input ends; return its exit code.

    The first argument names the cores that it may use, the others are those of
    `wsprism run`.
    """
    cores, *options = sys.argv[1:]
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, map(int, cores.split(",")))
    sys.argv[:] = ["wsprism", "run", *options]

    def watch() -> None:
        # Not sys.stdin: its lock must be free when the interpreter ends.
        while os.read(0, 1024):
            pass
        signal.raise_signal(signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
    from wsprism_core.launcher import main as run

    return run()


# ----------------------------------------------------------------------- its counters


@dataclass(frozen=True, slots=True)
class LaneCounts:
    """What a gateway has counted of one lane since it started."""

    conflated: int = 0
    dropped: int = 0
    lost: int = 0
    overflows: int = 0

    def since(self, before: LaneCounts) -> LaneCounts:
        """Return what has been added."""
        return LaneCounts(
            self.conflated - before.conflated,
            self.dropped - before.dropped,
            self.lost - before.lost,
            self.overflows - before.overflows,
        )


_COUNTERS: Final = {
    "wsprism_lane_messages_conflated_total": 0,
    "wsprism_lane_messages_dropped_total": 1,
    "wsprism_lane_messages_lost_total": 2,
    "wsprism_lane_overflows_total": 3,
}


@dataclass(frozen=True, slots=True)
class Counters:
    """What `/metrics` says.

    Args:
        lanes: By name.
        sessions: Open sessions of all tenants.
    """

    lanes: dict[str, LaneCounts]
    sessions: int


async def read_counters(target: Target) -> Counters | None:
    """Read a gateway's `/metrics`; None where it shows us none."""
    from prometheus_client.parser import text_string_to_metric_families

    text = await _fetch(target, "/metrics")
    if text is None:
        return None
    found: dict[str, list[int]] = {}
    sessions = 0
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if (place := _COUNTERS.get(sample.name)) is not None:
                counts = found.setdefault(sample.labels["lane"], [0] * len(_COUNTERS))
                counts[place] += int(sample.value)
            elif sample.name == "wsprism_sessions":
                sessions += int(sample.value)
    lanes = {lane: LaneCounts(*counts) for lane, counts in found.items()}
    return Counters(lanes, sessions)


async def _fetch(target: Target, path: str) -> str | None:
    """Return the body of a page; None where there is none."""
    try:
        async with asyncio.timeout(STOP_TIMEOUT):
            reader, writer = await asyncio.open_connection(
                target.host, target.port, ssl=target.tls_context()
            )
            try:
                writer.write(
                    f"GET {path} HTTP/1.1\r\nHost: {target.host}\r\n"
                    "Connection: close\r\n\r\n".encode()
                )
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.read()
            finally:
                writer.close()
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return None
    return body.decode() if head.startswith(b"HTTP/1.1 200") else None


if __name__ == "__main__":
    sys.exit(main())
