"""The event loop's health: how late it is, who blocks it, what the collector takes.

A coarse timer measures how late it runs. That tells how long the event loop was kept
from everything else, but not by whom: one loop can't interrupt a handler. So a thread
looks on, and where the timer is overdue it notes which plugin's function the loop is
in. The hot path has no part in any of this.
"""

from __future__ import annotations

import gc
import sys
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from types import CodeType
from typing import Any, Final

from wsprism_core.gateway.watchdog import NOBODY, Blame, Watchdog
from wsprism_core.logs import EventLog
from wsprism_core.metrics import Metrics
from wsprism_core.realtime.clock import Clock, Timer

__all__ = ("LAG_BUCKETS", "TICK", "GcReading", "LagReading", "Monitor")

#: Seconds between two looks at the clock.
TICK: Final = 0.05
#: Ticks of which a reading of the lag is made: 10 seconds.
LAG_WINDOW: Final = 200
#: Ticks between two readings of rates: a second.
RATE_WINDOW: Final = 20
#: Upper ends of the histogram of lags, in seconds.
LAG_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_GENERATIONS: Final = 3
#: Where Linux tells how many pages a process holds.
_STATM: Final = "/proc/self/statm"


@dataclass(frozen=True, slots=True)
class LagReading:
    """How late the event loop was over the last 10 seconds, in seconds.

    Args:
        p50: Half the time it was at most so late.
        p99: Almost always it was at most so late.
        max: It was never later.
    """

    p50: float = 0.0
    p99: float = 0.0
    max: float = 0.0


@dataclass(frozen=True, slots=True)
class GcReading:
    """The garbage collector's pauses in one generation.

    Args:
        generation: 0 is the youngest.
        count: How many.
        total_s: How long all of them took together, in seconds.
        max_s: How long the longest took.
    """

    generation: int
    count: int
    total_s: float
    max_s: float


class Monitor:
    """Measures the event loop; `start` begins, and until then all is 0.

    Args:
        clock: Time. It runs on the event loop that is measured.
        metrics: Where blocks are counted.
        totals: Returns messages received, and those handed to sockets for each lane.
        slow: From how many seconds on a block of the event loop is told; 0 is never.

    Attributes:
        in_rate: Messages received a second, over the last second.
        lane_rates: Messages handed to sockets a second, for each lane; empty until
            there was a second.
        cpu: The share of one core that the process took over the last second.
    """

    def __init__(
        self,
        clock: Clock,
        metrics: Metrics,
        totals: Callable[[], tuple[int, Sequence[int]]],
        *,
        slow: float,
    ) -> None:
        self._clock = clock
        self._metrics = metrics
        self._totals = totals
        self._slow = slow
        self._log = EventLog("monitor")
        self._timer: Timer | None = None
        self._due = 0.0
        self._watchdog: Watchdog | None = None
        self._lags: deque[float] = deque(maxlen=LAG_WINDOW)
        self._ticks = 0
        self._sampled: tuple[float, float, int, Sequence[int]] | None = None
        self._pauses = _Pauses()
        # Ticks by bucket; the last is for those that were later than all bounds.
        self._lag_counts = [0] * (len(LAG_BUCKETS) + 1)
        self._lag_total = 0.0
        self.in_rate = 0.0
        self.lane_rates: list[float] = []
        self.cpu = 0.0

    def start(self, owners: Mapping[CodeType, tuple[str, str]]) -> None:
        """Begin to measure, on the thread of the event loop.

        Args:
            owners: Plugin and hook of each function that implements one, by its code.
        """
        self._pauses.start()
        self._sample()
        if self._slow:
            self._watchdog = Watchdog(
                owners, slow=self._slow, beat=TICK, hung=self._tell_hung
            )
            self._watchdog.start()
        self._arm()

    def stop(self) -> None:
        """Measure no more."""
        if self._timer is None:
            return
        self._timer.cancel()
        self._timer = None
        self._pauses.stop()
        if self._watchdog is not None:
            self._watchdog.stop()
            self._watchdog = None

    def lag(self) -> LagReading:
        """Return how late the event loop was over the last 10 seconds."""
        lags = sorted(self._lags)
        if not lags:
            return LagReading()
        last = len(lags) - 1
        return LagReading(
            p50=lags[last // 2], p99=lags[round(last * 0.99)], max=lags[last]
        )

    def gc(self) -> tuple[GcReading, ...]:
        """Return the pauses of the garbage collector since the start."""
        return self._pauses.read()

    def lag_histogram(self) -> tuple[list[tuple[str, int]], float]:
        """Return how many ticks were at most so late, and how late all were together.

        The bounds are texts, in seconds, growing up to `+Inf`, as Prometheus has them.
        """
        bounds = (*map(str, LAG_BUCKETS), "+Inf")
        counts = accumulate(self._lag_counts)
        return list(zip(bounds, counts, strict=True)), self._lag_total

    def memory(self) -> int | None:
        """Return what the process holds in memory, in bytes; None where none can tell.

        Where only the peak is known, it is that.
        """
        try:
            with open(_STATM, "rb") as file:
                return int(file.read().split()[1]) * _page_size()
        except OSError:
            return _peak_memory()

    def _arm(self) -> None:
        self._due = self._clock.now() + TICK
        self._timer = self._clock.after(TICK, self._tick)

    def _tick(self) -> None:
        lag = max(0.0, self._clock.now() - self._due)
        self._lags.append(lag)
        self._lag_total += lag
        self._lag_counts[bisect_left(LAG_BUCKETS, lag)] += 1
        if self._watchdog is not None:
            blame = self._watchdog.beat()
            if lag >= self._slow:
                metric = blame.plugin, blame.hook, blame.svc
                self._metrics.slow_handlers[metric] += 1
                self._tell(blame, lag)
        self._ticks += 1
        if self._ticks % RATE_WINDOW == 0:
            self._sample()
        self._arm()

    def _tell(self, blame: Blame, seconds: float, **fields: Any) -> None:
        """Log what kept the event loop."""
        event = "event_loop_late" if blame.plugin == NOBODY else "slow_handler"
        took = round(seconds * 1000)
        self._log.warning(event, **asdict(blame), ms=took, **fields)

    def _tell_hung(self, blame: Blame, seconds: float) -> None:
        self._tell(blame, seconds, still_running=True)

    def _sample(self) -> None:
        """Measure rates since the last time."""
        now, cpu = self._clock.now(), time.process_time()
        messages_in, messages_out = self._totals()
        before, self._sampled = self._sampled, (now, cpu, messages_in, messages_out)
        if before is None or now <= before[0]:
            return
        elapsed = now - before[0]
        self.cpu = (cpu - before[1]) / elapsed
        self.in_rate = (messages_in - before[2]) / elapsed
        self.lane_rates = [
            (count - count_before) / elapsed
            for count, count_before in zip(messages_out, before[3], strict=True)
        ]


class _Pauses:
    """Times the collector by its own callbacks."""

    def __init__(self) -> None:
        self._counts = [0] * _GENERATIONS
        self._totals = [0.0] * _GENERATIONS
        self._longest = [0.0] * _GENERATIONS
        self._began = 0.0

    def start(self) -> None:
        gc.callbacks.append(self._note)

    def stop(self) -> None:
        gc.callbacks.remove(self._note)

    def read(self) -> tuple[GcReading, ...]:
        return tuple(
            GcReading(generation, count, total, longest)
            for generation, (count, total, longest) in enumerate(
                zip(self._counts, self._totals, self._longest, strict=True)
            )
        )

    def _note(self, phase: str, info: Mapping[str, int]) -> None:
        if phase == "start":
            self._began = time.perf_counter()
            return
        took = time.perf_counter() - self._began
        generation = info["generation"]
        self._counts[generation] += 1
        self._totals[generation] += took
        self._longest[generation] = max(self._longest[generation], took)


def _page_size() -> int:
    import resource

    return resource.getpagesize()


def _peak_memory() -> int | None:
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
