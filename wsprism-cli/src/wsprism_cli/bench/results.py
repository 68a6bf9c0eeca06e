"""What was measured, and its JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from wsprism_cli.bench.gateway import LaneCounts
from wsprism_cli.bench.histogram import Histogram
from wsprism_cli.bench.plan import Stream

__all__ = (
    "FORMAT",
    "QUANTILES",
    "Account",
    "Connects",
    "Measured",
    "PhaseResult",
    "Result",
    "Returns",
    "Sample",
)

#: The version of the JSON.
FORMAT: Final = 1
#: What tables show of a distribution, besides the longest.
QUANTILES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}


def _in_us(delays: Histogram) -> dict[str, float]:
    """Return percentiles in microseconds."""
    found = {f"{name}_us": delays.quantile(q) / 1e3 for name, q in QUANTILES.items()}
    return {**found, "max_us": delays.max / 1e3, "count": delays.count}


@dataclass(slots=True)
class Measured:
    """One stream in one phase.

    Attributes:
        stream: The stream.
        sent: Messages sent.
        unsent: Messages that were due, while the sender's socket was full.
        received: Messages received, within the phase.
        delays: From when each was due to be sent to when it was read, in nanoseconds.
        counts: The lane's counters over the phase; None where they can't be read.
    """

    stream: Stream
    sent: int = 0
    unsent: int = 0
    received: int = 0
    delays: Histogram = field(default_factory=Histogram)
    counts: LaneCounts | None = None


@dataclass(slots=True)
class PhaseResult:
    """One phase.

    Attributes:
        name: Its name.
        seconds: How long it took.
        measured: The streams that flowed.
        gateway_cpu: Of the gateway, in cores; None where it is not ours.
        memory: Resident bytes of the gateway at the end; None likewise.
        memory_peak: The most that was seen.
        client_cpu: Of the busiest load process, in cores.
        lag: How late the load processes were, in nanoseconds.
        others_cpu: Of what else runs on the machine, in cores; None where the gateway
            is not ours and may be among them.
    """

    name: str
    seconds: float
    measured: list[Measured]
    gateway_cpu: float | None = None
    memory: int | None = None
    memory_peak: int | None = None
    client_cpu: float = 0.0
    lag: Histogram = field(default_factory=Histogram)
    others_cpu: float | None = None

    def of(self, stream: str) -> Measured:
        """Return a stream by its name.

        Raises:
            KeyError: It did not flow.
        """
        for one in self.measured:
            if one.stream.name == stream:
                return one
        raise KeyError(stream)

    def rate(self, stream: str) -> float:
        """Return how much of a stream was received in a second."""
        return self.of(stream).received / self.seconds

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "name": self.name,
            "seconds": self.seconds,
            "gateway_cpu": self.gateway_cpu,
            "gateway_memory_bytes": self.memory,
            "gateway_memory_peak_bytes": self.memory_peak,
            "client_cpu": self.client_cpu,
            "client_lag": _in_us(self.lag),
            "others_cpu": self.others_cpu,
            "lanes": [
                {
                    "lane": one.stream.lane,
                    "stream": one.stream.name,
                    "sent": one.sent,
                    "unsent": one.unsent,
                    "received": one.received,
                    "sent_per_s": one.sent / self.seconds,
                    "received_per_s": one.received / self.seconds,
                    "delay": _in_us(one.delays),
                    "lost": one.counts and one.counts.lost,
                    "conflated": one.counts and one.counts.conflated,
                    "dropped": one.counts and one.counts.dropped,
                    "overflows": one.counts and one.counts.overflows,
                }
                for one in self.measured
            ],
        }


@dataclass(slots=True)
class Connects:
    """How the clients got in.

    Attributes:
        count: How many.
        seconds: From the first to the last.
        connect: From the start of each to `sys.authed`, in nanoseconds.
        join: From there until it was in its rooms.
        gateway_cpu: Of the gateway meanwhile, in cores; None where it is not ours.
        client_cpu: Of the busiest load process meanwhile, in cores.
        memory_each: Bytes of the gateway's memory that each connection takes.
    """

    count: int = 0
    seconds: float = 0.0
    connect: Histogram = field(default_factory=Histogram)
    join: Histogram = field(default_factory=Histogram)
    gateway_cpu: float | None = None
    client_cpu: float = 0.0
    memory_each: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "count": self.count,
            "seconds": self.seconds,
            "per_s": self.count / self.seconds if self.seconds else 0.0,
            "connect": _in_us(self.connect),
            "join": _in_us(self.join),
            "gateway_cpu": self.gateway_cpu,
            "client_cpu": self.client_cpu,
            "memory_bytes_each": self.memory_each,
        }


@dataclass(slots=True)
class Returns:
    """What became of those whose connections dropped all at once.

    Attributes:
        dropped: How many connections.
        back: From then until each was in its session again, in nanoseconds.
        whole: From then until each had all that it had missed.
        again: Messages that they had, and got again because nobody could know.
        refused: Those that did not come back whole, by the reason.
    """

    dropped: int = 0
    back: Histogram = field(default_factory=Histogram)
    whole: Histogram = field(default_factory=Histogram)
    again: int = 0
    refused: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "dropped": self.dropped,
            "back": _in_us(self.back),
            "whole": _in_us(self.whole),
            "again": self.again,
            "refused": self.refused,
        }


@dataclass(frozen=True, slots=True)
class Account:
    """What became of the numbered messages of a room, for one reader.

    Attributes:
        received: Messages that came.
        lost: Messages inside the range of a `sys.lost`.
        missing: Messages of which nothing was heard.
        repeated: Messages that came twice.
    """

    received: int
    lost: int
    missing: int
    repeated: int


@dataclass(frozen=True, slots=True)
class Sample:
    """The gateway and the tail at one moment.

    Attributes:
        at: Seconds since the load began.
        memory: Resident bytes; None where the gateway is not ours.
        cpu: Cores in use since the last one; None likewise.
        p99: Of each stream since the last one, in microseconds.
    """

    at: float
    memory: int | None
    cpu: float | None
    p99: Mapping[str, float]


@dataclass(slots=True)
class Result:
    """A whole run.

    Attributes:
        scenario: Its name.
        clients: How many there were.
        workers: Load processes.
        own: Whether the gateway was started for the run.
        gateway_cores: The cores of the gateway; empty where it is not pinned.
        load_cores: Those of the load.
        connects: How they got in.
        phases: What was measured.
        samples: Over time.
        accounts: Of throttled readers, and of those whose connections dropped.
        returns: How these came back; None where none dropped.
        closed: Connections that ended although nobody wanted it, by close code.
        errors: `sys.error` messages, by code.
        reconnects: Clients that hung up and came back.
        sessions_left: Sessions that the gateway had when all had hung up.
        problems: Why the run failed; empty where it did not.
        warnings: What to know before believing it.
        summary: What was seen, in words.
    """

    scenario: str
    clients: int
    workers: int
    own: bool
    gateway_cores: tuple[int, ...]
    load_cores: tuple[int, ...]
    connects: Connects = field(default_factory=Connects)
    phases: list[PhaseResult] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    accounts: list[Account] = field(default_factory=list)
    closed: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    reconnects: int = 0
    returns: Returns | None = None
    sessions_left: int | None = None
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    summary: list[str] = field(default_factory=list)

    def phase(self, name: str) -> PhaseResult:
        """Return a phase by its name.

        Raises:
            KeyError: There is none.
        """
        for phase in self.phases:
            if phase.name == name:
                return phase
        raise KeyError(name)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        from importlib.metadata import version

        return {
            "format": FORMAT,
            "wsprism": version("wsprism-core"),
            "scenario": self.scenario,
            "ok": not self.problems,
            "problems": self.problems,
            "warnings": self.warnings,
            "summary": self.summary,
            "clients": self.clients,
            "workers": self.workers,
            "own_gateway": self.own,
            "gateway_cores": list(self.gateway_cores),
            "load_cores": list(self.load_cores),
            "connects": self.connects.to_json(),
            "phases": [phase.to_json() for phase in self.phases],
            "samples": [
                {
                    "at_s": sample.at,
                    "gateway_memory_bytes": sample.memory,
                    "gateway_cpu": sample.cpu,
                    "p99_us": dict(sample.p99),
                }
                for sample in self.samples
            ],
            "accounts": [
                {
                    "received": account.received,
                    "lost": account.lost,
                    "missing": account.missing,
                    "repeated": account.repeated,
                }
                for account in self.accounts
            ],
            "closed": self.closed,
            "errors": self.errors,
            "reconnects": self.reconnects,
            "returns": self.returns and self.returns.to_json(),
            "sessions_left": self.sessions_left,
        }
