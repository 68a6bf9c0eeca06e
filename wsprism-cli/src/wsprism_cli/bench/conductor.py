"""Starts the gateway and the load, follows them, and brings together what they tell."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import asdict, dataclass, field, replace
from secrets import token_hex
from typing import Any, Final

import psutil

from wsprism_cli.bench.client import LoadError, Target
from wsprism_cli.bench.gateway import (
    Counters,
    LaneCounts,
    OwnGateway,
    end,
    own_gateway,
    process_group,
    read_counters,
)
from wsprism_cli.bench.histogram import Histogram
from wsprism_cli.bench.plan import Phase, Plan
from wsprism_cli.bench.results import (
    Account,
    Measured,
    PhaseResult,
    Result,
    Returns,
    Sample,
)

__all__ = ("Progress", "Setting", "conduct", "divide_cores")

#: Seconds between two looks at the gateway.
LOOK: Final = 0.25
#: Seconds that the load processes get to hear when it begins.
LEAD: Final = 0.3
END_PATIENCE: Final = 5.0
#: A histogram in JSON is long.
LINE_LIMIT: Final = 1 << 24
#: Moments that are kept of a run, however long it is.
MOST_SAMPLES: Final = 240


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What the load is made with.

    Args:
        target: A gateway that runs already; None starts one.
        plugins: What the one that is started loads.
        quotes_per_s: How many quotes it makes up in a second.
        workers: Load processes.
    """

    target: Target | None
    plugins: tuple[str, ...]
    quotes_per_s: float
    workers: int


@dataclass(slots=True)
class Progress:
    """What the view shows; kept up to date while a run lasts.

    Attributes:
        plan: What is done.
        doing: What happens now.
        seconds: Seconds since the load began.
        rates: Messages received in a second, by stream, as of late.
        delays: As of late, by stream.
        gateway_cpu: Of the gateway, in cores, as of late.
        memory: Resident bytes of the gateway.
        closed: Connections that ended although nobody wanted it.
    """

    plan: Plan
    doing: str = "starting the gateway"
    seconds: float = 0.0
    rates: dict[str, float] = field(default_factory=dict)
    delays: dict[str, Histogram] = field(default_factory=dict)
    gateway_cpu: float | None = None
    memory: int | None = None
    closed: int = 0


def divide_cores(cores: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the gateway's core and those of the load; both empty where there is one.

    Args:
        cores: What this process may use; empty where that can't be said.
    """
    if len(cores) < 2:
        return (), ()
    first, *others = sorted(cores)
    return (first,), tuple(others)


async def conduct(
    plan: Plan, setting: Setting, watch: Callable[[Progress], None]
) -> Result:
    """Carry out a plan.

    Args:
        plan: The plan.
        setting: With what.
        watch: Called now and then with how far it is.

    Raises:
        LoadError: It could not be carried out: the gateway did not start, ended, or
            refuses; the text is for the person at the terminal.
    """
    async with AsyncExitStack() as stack:
        return await _Conductor(plan, setting, watch, stack).run()


class _Conductor:
    def __init__(
        self,
        plan: Plan,
        setting: Setting,
        watch: Callable[[Progress], None],
        stack: AsyncExitStack,
    ) -> None:
        self._plan = plan
        self._setting = setting
        self._watch = watch
        self._stack = stack
        self._progress = Progress(plan)
        pinned: Sequence[int] = ()
        if hasattr(os, "sched_getaffinity"):
            pinned = tuple(os.sched_getaffinity(0))
        gateway_cores, load_cores = divide_cores(pinned)
        if setting.target is not None:
            gateway_cores, load_cores = (), ()
        self._result = Result(
            scenario=plan.scenario,
            clients=plan.clients,
            workers=plan.processes(setting.workers),
            own=setting.target is None,
            gateway_cores=gateway_cores,
            load_cores=load_cores,
        )
        self._gateway: OwnGateway | None = None
        self._usage: psutil.Process | None = None
        self._target: Target
        self._workers: list[_Worker] = []
        self._ticks: dict[int, dict[str, Any]] = {}
        self._shown: list[Histogram] = []
        self._shown_received: list[int] = []
        self._shown_at = 0.0
        self._start = 0

    async def run(self) -> Result:
        """Do all of it, and fail as soon as something ends that should not."""
        if self._setting.target is None:
            self._watch(self._progress)
        await self._start_gateway()
        work = asyncio.create_task(self._work())
        watched: list[asyncio.Task[Any]] = [work]
        if self._gateway is not None:
            watched.append(asyncio.create_task(self._gateway.process.wait()))
        try:
            await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                assert self._gateway is not None
                said = self._gateway.last_words()
                raise LoadError(f"the gateway ended in the middle of it: {said}")
            await work
        finally:
            for task in watched:
                task.cancel()
            await asyncio.gather(*watched, return_exceptions=True)
        return self._result

    async def _start_gateway(self) -> None:
        if self._setting.target is not None:
            self._target = self._setting.target
            return
        self._gateway = await self._stack.enter_async_context(
            own_gateway(
                self._setting.plugins,
                self._setting.quotes_per_s,
                self._result.gateway_cores,
            )
        )
        self._target = self._gateway.target
        self._usage = psutil.Process(self._gateway.process.pid)

    async def _work(self) -> None:
        await self._start_workers()
        # The first reading makes the gateway import what writes it.
        await read_counters(self._target)
        await self._connect()
        self._start = time.perf_counter_ns() + int(LEAD * 1e9)
        for worker in self._workers:
            worker.tell({"start": self._start})
        looking = asyncio.create_task(self._look())
        try:
            await self._follow_phases()
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
        await self._finish()

    # ---------------------------------------------------------------- the processes

    async def _start_workers(self) -> None:
        cores = self._result.load_cores
        target = replace(self._target, prefix=f"bench-{token_hex(4)}-")
        processes = self._result.workers
        for place in range(processes):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "wsprism_cli.bench.worker"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=LINE_LIMIT,
                **process_group(),
            )
            self._stack.push_async_callback(end, process, END_PATIENCE)
            worker = _Worker(process)
            self._workers.append(worker)
            worker.tell(
                {
                    "plan": asdict(self._plan),
                    "target": asdict(target),
                    "place": place,
                    "workers": processes,
                    "cores": cores,
                    # Waiting without sleeping takes a core, and one of its own.
                    "wait_finely": len(cores) >= processes,
                    "yields": self._plan.is_divided and place > 0,
                }
            )

    async def _each(self, what: str) -> list[dict[str, Any]]:
        """Return what each process answers; what else it says is for the view."""

        async def answer(place: int, worker: _Worker) -> dict[str, Any]:
            async for kind, said in worker.answers():
                if kind == what:
                    return said
                if kind == "tick":
                    self._ticks[place] = said
            raise LoadError("a load process ended in the middle of it")

        try:
            async with asyncio.TaskGroup() as tasks:
                answers = [
                    tasks.create_task(answer(place, worker))
                    for place, worker in enumerate(self._workers)
                ]
        except* LoadError as failed:
            raise failed.exceptions[0] from None
        return [task.result() for task in answers]

    # ------------------------------------------------------------------- connecting

    async def _connect(self) -> None:
        self._progress.doing = f"connecting {self._plan.clients} clients"
        self._watch(self._progress)
        before, cpu, began = self._memory(), self._cpu(), time.perf_counter()
        told = await self._each("ready")
        connects = self._result.connects
        connects.count = sum(one["connected"] for one in told)
        connects.seconds = max(one["seconds"] for one in told)
        connects.client_cpu = max(one["cpu"] for one in told)
        for one in told:
            connects.connect.add(Histogram.from_json(one["connect"]))
            connects.join.add(Histogram.from_json(one["join"]))
        connects.gateway_cpu = _per(self._cpu(), cpu, time.perf_counter() - began)
        if (after := self._memory()) is not None and before is not None:
            connects.memory_each = (after - before) / connects.count

    # ----------------------------------------------------------------------- phases

    async def _follow_phases(self) -> None:
        moment = self._start
        for phase in self._plan.phases:
            await _until(moment)
            self._progress.doing = phase.name
            self._shown, self._shown_received = [], []
            moment += int(phase.seconds * 1e9)
            settled = moment + int(phase.settle * 1e9)
            if phase.recorded:
                self._result.phases.append(await self._measure(phase, moment, settled))
            moment = settled

    async def _measure(self, phase: Phase, end: int, settled: int) -> PhaseResult:
        answers = asyncio.create_task(self._each("phase"))
        try:
            before = await read_counters(self._target)
            cpu, others = self._cpu(), self._others_cpu()
            began = time.perf_counter()
            result = PhaseResult(phase.name, phase.seconds, [])
            while (left := (end - time.perf_counter_ns()) / 1e9) > 0:
                await asyncio.wait([answers], timeout=min(left, LOOK))
                if answers.done() and answers.exception():
                    break
                result.memory = self._memory()
                result.memory_peak = max(
                    filter(None, (result.memory, result.memory_peak)), default=None
                )
            took = time.perf_counter() - began
            result.gateway_cpu = _per(self._cpu(), cpu, took)
            result.others_cpu = _per(self._others_cpu(), others, took)
            # What is late still counts, in the gateway too.
            await asyncio.wait(
                [answers], timeout=max(0, (settled - time.perf_counter_ns()) / 1e9)
            )
            told = await answers
            after = await read_counters(self._target)
        finally:
            answers.cancel()
        self._bring_together(result, phase, told, before, after)
        return result

    def _bring_together(
        self,
        result: PhaseResult,
        phase: Phase,
        told: list[dict[str, Any]],
        before: Counters | None,
        after: Counters | None,
    ) -> None:
        result.seconds = max(one["seconds"] for one in told)
        result.client_cpu = max(one["cpu"] for one in told)
        # Where some are apart, it is their delays that are told.
        for one in told[:1] if self._plan.is_divided else told:
            result.lag.add(Histogram.from_json(one["lag"]))
        for index, stream in enumerate(self._plan.streams):
            if stream.name not in phase.streams:
                continue
            measured = Measured(
                stream,
                sent=sum(one["sent"][index] for one in told),
                unsent=sum(one["unsent"][index] for one in told),
                received=sum(one["received"][index] for one in told),
            )
            for one in told:
                measured.delays.add(Histogram.from_json(one["delays"][index]))
            if before is not None and after is not None:
                none = LaneCounts()
                now = after.lanes.get(stream.lane, none)
                measured.counts = now.since(before.lanes.get(stream.lane, none))
            result.measured.append(measured)

    # ------------------------------------------------------------------ the end of it

    async def _finish(self) -> None:
        self._progress.doing = "hanging up"
        for worker in self._workers:
            worker.tell({"finish": True})
        told = await self._each("done")
        result = self._result
        closed: Counter[str] = Counter()
        errors: Counter[str] = Counter()
        for one in told:
            closed.update(one["closed"])
            errors.update(one["errors"])
        result.closed, result.errors = dict(closed), dict(errors)
        result.reconnects = sum(one["reconnects"] for one in told)
        if self._plan.dropped:
            result.returns = _returns(told)
        ledgers = [ledger for one in told for ledger in one["ledgers"]]
        heads: dict[str, int] = {}
        for ledger in ledgers:
            room = ledger["room"]
            heads[room] = max(heads.get(room, 0), ledger["last"])
        result.accounts = [
            Account(
                received=ledger["received"],
                lost=ledger["lost"],
                # What others have had, and this one has not by now.
                missing=ledger["missing"] + heads[ledger["room"]] - ledger["last"],
                repeated=ledger["repeated"],
            )
            for ledger in ledgers
            if ledger["told"]
        ]
        result.sessions_left = await self._sessions_left()

    async def _sessions_left(self) -> int | None:
        """Return how many sessions of ours the gateway still has; it gets a second."""
        if self._gateway is None:
            return None
        for _ in range(10):
            counters = await read_counters(self._target)
            if counters is None or not counters.sessions:
                break
            await asyncio.sleep(0.1)
        return None if counters is None else counters.sessions

    # ------------------------------------------------------------- looking at things

    def _cpu(self) -> float | None:
        """Return the seconds of processor time that the gateway has had."""
        if self._usage is None:
            return None
        try:
            return _seconds(self._usage)
        except psutil.Error:
            return None

    def _others_cpu(self) -> float | None:
        """Return the seconds that everything but this run has had, of all cores."""
        gateway = self._cpu()
        if gateway is None:
            return None
        machine = psutil.cpu_times()
        ours = gateway + time.process_time()
        for worker in self._workers:
            with suppress(psutil.Error):
                ours += _seconds(psutil.Process(worker.process.pid))
        idle = machine.idle + getattr(machine, "iowait", 0.0)
        # Time as a guest is in user time already.
        guests = getattr(machine, "guest", 0.0) + getattr(machine, "guest_nice", 0.0)
        return sum(machine) - guests - idle - ours

    def _memory(self) -> int | None:
        if self._usage is None:
            return None
        try:
            return int(self._usage.memory_info().rss)
        except psutil.Error:
            return None

    async def _look(self) -> None:
        """Keep the view, and what is told over time, up to date."""
        cpu, looked = self._cpu(), time.perf_counter()
        kept = looked
        every = max(1.0, self._plan.seconds / MOST_SAMPLES)
        since_kept: dict[str, Histogram] = {}
        while True:
            await asyncio.sleep(LOOK)
            now, progress = time.perf_counter(), self._progress
            progress.seconds = max(0.0, (time.perf_counter_ns() - self._start) / 1e9)
            progress.memory = self._memory()
            progress.gateway_cpu = _per(used := self._cpu(), cpu, now - looked)
            cpu, looked = used, now
            for name, fresh in self._fresh_delays().items():
                since_kept.setdefault(name, Histogram()).add(fresh)
            self._watch(progress)
            if now - kept >= every:
                kept = now
                p99 = {n: one.quantile(0.99) / 1e3 for n, one in since_kept.items()}
                since_kept = {}
                self._result.samples.append(
                    Sample(progress.seconds, progress.memory, progress.gateway_cpu, p99)
                )

    def _fresh_delays(self) -> dict[str, Histogram]:
        """Return what has come since the last tick, and show it."""
        if len(self._ticks) < len(self._workers):
            return {}
        told, self._ticks = list(self._ticks.values()), {}
        progress, now = self._progress, time.perf_counter()
        progress.closed = sum(one["closed"] for one in told)
        fresh = {}
        totals, received = [], []
        for index, stream in enumerate(self._plan.streams):
            total = Histogram()
            for one in told:
                total.add(Histogram.from_json(one["delays"][index]))
            count = sum(one["received"][index] for one in told)
            totals.append(total)
            received.append(count)
            old = self._shown_received[index] if self._shown_received else 0
            # Each phase counts from 0.
            if old > count:
                continue
            if count > old:
                before = self._shown[index] if self._shown else Histogram()
                fresh[stream.name] = total.without(before)
                progress.delays[stream.name] = fresh[stream.name]
            span = now - self._shown_at
            progress.rates[stream.name] = (count - old) / span if old else 0.0
        self._shown, self._shown_received, self._shown_at = totals, received, now
        return fresh


class _Worker:
    """A load process, seen from here."""

    def __init__(self, process: Process) -> None:
        self.process = process

    def tell(self, what: dict[str, Any]) -> None:
        """Tell it something, in one line."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(what).encode() + b"\n")

    async def answers(self) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Yield what it says, kind and content.

        Raises:
            LoadError: It says that it has failed.
        """
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            ((kind, said),) = json.loads(line).items()
            if kind == "failed":
                raise LoadError(said)
            yield kind, said


def _returns(told: list[dict[str, Any]]) -> Returns:
    """Bring together what the processes tell of those whose connection dropped."""
    returns, refused = Returns(), Counter[str]()
    for one in (answer["returns"] for answer in told):
        returns.dropped += one["dropped"]
        returns.again += one["again"]
        returns.back.add(Histogram.from_json(one["back"]))
        returns.whole.add(Histogram.from_json(one["whole"]))
        refused.update(one["refused"])
    returns.refused = dict(refused)
    return returns


def _seconds(process: psutil.Process) -> float:
    """Return the seconds of processor time that a process has had."""
    times = process.cpu_times()
    return times.user + times.system


def _per(after: float | None, before: float | None, seconds: float) -> float | None:
    if after is None or before is None or seconds <= 0:
        return None
    return (after - before) / seconds


async def _until(moment: int) -> None:
    await asyncio.sleep(max(0, (moment - time.perf_counter_ns()) / 1e9))
