"""A real gateway in a process of its own, and what can be seen of it from outside."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

import yaml
from prometheus_client.parser import text_string_to_metric_families

from support.command_line import WSPRISM, environment
from support.peers import WebSocketPeer
from support.probe import install_plugins
from support.waiting import until, until_blocking

__all__ = (
    "BURST",
    "PATIENT",
    "RATE",
    "TICKET",
    "Echoes",
    "GatewayProcess",
    "Gateways",
    "Look",
)

TIMEOUT: Final = 20.0
TESTS: Final = Path(__file__).parents[1]
#: Every ticket begins so, and nothing of the log may hold it.
TICKET: Final = "dev:"

#: Nobody is cut for reading too slowly, and nothing is kept of empty rooms.
PATIENT: Final = {
    "gateway": {
        "writer_send_timeout_ms": 0,
        "min_write_bytes_per_s": 0,
        "max_unfinished_bytes": 4 * 1024 * 1024,
        "max_idle_rooms": 0,
        "max_rooms_per_session": 0,
    }
}
#: The rate limit of the tenant `limited`: messages a second, and at once.
RATE: Final = 5
BURST: Final = 20

_TENANT: Final = {
    "limits": {"max_frame_bytes": 65_536},
    "policy": {
        "rate_limit_rps": 0,
        "sessions": {"max_sessions_per_user": 0},
        "ext_allowlist": ["*:*"],
        "hot_allowlist": ["*:*"],
    },
}
#: What holds unless a test says otherwise: nothing happens by itself.
_CONFIG: Final[dict[str, Any]] = {
    "version": 1,
    "gateway": {
        "listen": "127.0.0.1:0",
        "ping_interval_ms": 0,
        "idle_timeout_ms": 0,
        # What is left behind is looked for at once.
        "resume_window_ms": 0,
        # Lines are counted.
        "warnings_per_second": 1_000_000,
    },
    "tenants": [
        {"id": "main", **_TENANT},
        {"id": "other", **_TENANT},
        {
            "id": "limited",
            "policy": {
                "rate_limit_rps": RATE,
                "rate_limit_burst": BURST,
                "ext_allowlist": ["*:*"],
            },
        },
    ],
}


def _merged(base: Any, changes: Any) -> Any:
    """Return nested settings with some of them replaced; lists go item by item."""
    if isinstance(base, dict) and isinstance(changes, Mapping):
        names = {**base, **changes}
        return {
            name: _merged(base.get(name), changes[name]) if name in changes else value
            for name, value in names.items()
        }
    if isinstance(base, list) and isinstance(changes, list):
        return [_merged(*pair) for pair in zip(base, changes, strict=False)] + base[
            len(changes) :
        ]
    return changes


@dataclass(frozen=True)
class Echoes:
    """Round trips of the canary.

    Attributes:
        times: In milliseconds.
        died: Why there are no more, or None.
    """

    times: list[float] = field(repr=False)
    died: str | None

    @property
    def p99(self) -> float:
        """What all but one of a hundred were faster than."""
        return sorted(self.times)[len(self.times) * 99 // 100]


@dataclass(frozen=True)
class Look:
    """What one look shows.

    Attributes:
        rss: Resident memory, in bytes.
        fds: Open file descriptors.
        tasks: Asyncio tasks.
        alive: Objects of connections and sessions, by class.
        registered: Sessions and rooms, by the metrics.
        closes: Sessions ended since the start, by code.
        refusals: Connections turned away since the start, by outcome.
        ended_twice: Sessions for which `on_close` ran more than once.
        waiting: Messages and bytes that wait, by user and lane.
        metrics: Every sample, by name and labels.
    """

    rss: int
    fds: int
    tasks: int
    alive: Counter[str]
    registered: dict[str, float]
    closes: Counter[str]
    refusals: Counter[str]
    ended_twice: int
    waiting: dict[str, dict[str, tuple[int, int]]]
    metrics: dict[str, float] = field(repr=False)


class GatewayProcess:
    """`wsprism run` with the probe beside the services, and a canary on it.

    Args:
        folder: For its configuration and its log.
        config: Changes to the configuration.
        options: More options of `wsprism run`.

    Attributes:
        port: Where it listens for WebSocket and HTTP.
        tcp_port: Where it listens for TCP.
    """

    def __init__(
        self, folder: Path, config: Mapping[str, Any], options: tuple[str, ...] = ()
    ) -> None:
        self.config = _merged(_CONFIG, config)
        file = folder / "wsprism.yaml"
        file.write_text(yaml.safe_dump(self.config), encoding="utf-8")
        install_plugins(folder)
        self._log = folder / "log"
        options = ("--dev", "--log-json", "--tcp-port", "0", *options)
        plugins = ("--plugins", "chat,game,probe,hang")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*WSPRISM, "run", "--config", file, *plugins, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(PYTHONPATH=f"{TESTS}:{folder}"),
            )
        self._canary: subprocess.Popen[str] | None = None
        try:
            self._find_ports()
            # The first scrape imports what later ones have.
            self.look()
            self._canary = self._start_canary()
            self.quiet = self.echoes(at_least=100)
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self) -> int:
        """End the canary, then the gateway, as an operator would; return its code."""
        if self._canary is not None:
            self._canary.kill()
            self._canary.communicate()
        self._process.terminate()
        try:
            return self._process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise

    def tell(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def ended(self, within: float = TIMEOUT) -> int:
        """Wait until it has ended by itself; return its code.

        Raises:
            subprocess.TimeoutExpired: That takes more than so many seconds.
        """
        return self._process.wait(within)

    @property
    def admin_port(self) -> int:
        """Where it listens for operators, if its configuration says so."""
        return self._ports()["http"]

    # ---------------------------------------------------------------- clients

    def target(self, user: str, tenant: str = "main") -> str:
        """Return where a user with a good ticket connects to."""
        return f"/v1/ws?tenant={tenant}&ticket={TICKET}{user}"

    async def connect(
        self,
        user: str = "mallory",
        *extra: str,
        tenant: str = "main",
        port: int | None = None,
    ) -> WebSocketPeer:
        """Connect, and read up to `sys.authed`."""
        peer = await WebSocketPeer.open(
            port or self.port, *extra, target=self.target(user, tenant), tls=None
        )
        authed = await peer.frame()
        assert b"authed" in authed.payload, authed
        return peer

    # ------------------------------------------------------------ what is seen

    def look(self) -> Look:
        """Look at the process and ask it how it is."""
        seen = json.loads(self._get("/probe"))
        metrics = {}
        closes: Counter[str] = Counter()
        refusals: Counter[str] = Counter()
        registered = {}
        text = self._get("/metrics").decode()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = ",".join(
                    f"{name}={value}" for name, value in sorted(sample.labels.items())
                )
                metrics[f"{sample.name}{{{labels}}}"] = sample.value
                if sample.name == "wsprism_closes_total":
                    closes[sample.labels["code"]] = int(sample.value)
                elif sample.name == "wsprism_handshakes_total":
                    if sample.labels["outcome"] != "accepted":
                        refusals[sample.labels["outcome"]] += int(sample.value)
                elif sample.name in ("wsprism_sessions", "wsprism_rooms"):
                    registered[f"{sample.name} {labels}"] = sample.value
        return Look(
            rss=self.memory("VmRSS"),
            fds=seen["fds"],
            tasks=seen["tasks"],
            alive=Counter(seen["alive"]),
            registered=registered,
            closes=closes,
            refusals=refusals,
            ended_twice=seen["ended_twice"],
            waiting={
                user: {lane: (depth[0], depth[1]) for lane, depth in lanes.items()}
                for user, lanes in seen["waiting"].items()
            },
            metrics=metrics,
        )

    async def settles(
        self,
        *,
        fds: int | None = None,
        closes: Mapping[str, int] | None = None,
        within: float = TIMEOUT,
    ) -> None:
        """Wait until it has no more descriptors, and so many closes by code.

        Raises:
            TimeoutError: That takes more than so many seconds.
        """

        def has_settled() -> bool:
            now = self.look()
            return (fds is None or now.fds <= fds) and all(
                now.closes[code] >= count for code, count in (closes or {}).items()
            )

        if not await until(has_settled, within):
            raise TimeoutError(f"after {within} s: {self.look()}")

    def memory(self, name: str) -> int:
        """Return a field of the process's status, in bytes: `VmRSS`, `VmHWM`."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        (line,) = (one for one in status.splitlines() if one.startswith(f"{name}:"))
        return int(line.split()[1]) * 1024

    def forget_peak(self) -> None:
        """Let the peak of memory (`VmHWM`) begin with what is resident now."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5", encoding="ascii")

    def cpu_seconds(self) -> float:
        """Return the processor time that it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text("ascii").rpartition(")")[2]
        return sum(map(int, fields.split()[11:13])) / 100

    def echoes(self, *, at_least: int = 20) -> Echoes:
        """Return the canary's round trips since the last call, at least so many."""
        times: list[float] = []
        died = None

        def are_enough() -> bool:
            nonlocal died
            more, died = self._ask_canary()
            times.extend(more)
            return len(times) >= at_least or died is not None

        until_blocking(are_enough)
        return Echoes(times, died)

    def logged(self, start: int = 0) -> list[dict[str, Any]]:
        """Return the entries of the log from a position on."""
        text = self._log.read_bytes()[start:].decode()
        lines = text[: text.rfind("\n") + 1].splitlines()
        try:
            return [json.loads(line) for line in lines]
        except json.JSONDecodeError:
            raise AssertionError(f"the log holds more than entries: {text}") from None

    @property
    def log_size(self) -> int:
        return self._log.stat().st_size

    @property
    def is_up(self) -> bool:
        return self._process.poll() is None and self._get("/readyz") == b"ready\n"

    def _get(self, path: str) -> bytes:
        url = f"http://127.0.0.1:{self.port}{path}"
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
            body = answer.read()
        assert isinstance(body, bytes)
        return body

    def _find_ports(self) -> None:
        """Wait until it listens, and read where."""

        def listens() -> bool:
            assert self._process.poll() is None, self._log.read_text(encoding="utf-8")
            return {"ws", "tcp"} <= self._ports().keys()

        assert until_blocking(listens), self._log.read_text(encoding="utf-8")
        ports = self._ports()
        self.port, self.tcp_port = ports["ws"], ports["tcp"]

    def _ports(self) -> dict[str, int]:
        """Return where it listens, by the scheme."""
        addresses = [
            urlsplit(entry["address"])
            for entry in self.logged()
            if entry["event"] == "listening"
        ]
        return {one.scheme: one.port for one in addresses if one.port is not None}

    def _start_canary(self) -> subprocess.Popen[str]:
        arguments = str(self.port), self.target("canary", "other")
        return subprocess.Popen(
            [sys.executable, "-m", "support.canary", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(PYTHONPATH=str(TESTS)),
        )

    def _ask_canary(self) -> tuple[list[float], str | None]:
        canary = self._canary
        assert canary is not None
        assert canary.stdin is not None
        assert canary.stdout is not None
        canary.stdin.write("\n")
        canary.stdin.flush()
        times, died = json.loads(canary.stdout.readline())
        return times, died


#: Starts a gateway with changes to its configuration, or finds the one that runs.
Gateways: TypeAlias = Callable[..., GatewayProcess]
