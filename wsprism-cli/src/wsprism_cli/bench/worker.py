"""The process that makes the load: `python -m wsprism_cli.bench.worker`.

It is a process of its own so that nothing else, such as the view, makes it late. It is
told what to do in JSON lines on standard input and answers in JSON lines on standard
output; where its input ends before it is done, whoever started it is gone, and it ends.
"""

from __future__ import annotations

import asyncio
import gc
import heapq
import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, Final

from wsprism_cli.bench.client import (
    NO_STREAM,
    LoadClient,
    LoadError,
    NotResumedError,
    Sender,
    Tally,
    Target,
    open_client,
)
from wsprism_cli.bench.histogram import Histogram
from wsprism_cli.bench.plan import Group, Phase, Plan

__all__ = ("Worker", "main")

#: Timers of an event loop are a millisecond apart; the last stretch is waited out.
FINE: Final = 1_500_000
#: The service that a kind of message belongs to, where it is not called the same.
_SERVICES: Final = {
    "input": "game",
    "event": "game",
    "ticker": "market",
    "history": "chat",
}
#: Two turns of a loop that has nothing else to do are no further apart than this.
IDLE_TURN: Final = 30_000
BEAT: Final = 4.0
#: How much nicer a process is that may not make those apart late.
YIELDING: Final = 19
TICK: Final = 0.5
LAG_PROBE: Final = 0.02
#: Seconds until a client that was turned away tries again, from and to.
TRY_AGAIN: Final = (0.1, 0.3)
#: Nothing that is under way takes longer than this from one piece to the next.
QUIET: Final = 0.25


class Worker:
    """Makes the load of one process.

    Args:
        told: What the conductor told it.
        say: Writes an answer.
    """

    def __init__(
        self, told: dict[str, Any], say: Callable[[dict[str, Any]], None]
    ) -> None:
        self._plan = Plan.from_json(told["plan"])
        self._target = Target(**told["target"])
        self._place: int = told["place"]
        self._workers: int = told["workers"]
        self._wait_finely: bool = told["wait_finely"]
        self._say = say
        self._tally = Tally(self._plan.streams)
        self._tls = self._target.tls_context()
        self._clients: dict[int, LoadClient] = {}
        self._senders: list[list[Sender]] = [[] for _ in self._plan.streams]
        self._of_client: dict[tuple[int, int], Sender] = {}
        self._flowing: frozenset[int] = frozenset()
        # Whether there is a closed loop: what comes is waited for without sleeping,
        # since to be woken takes as long as many a round trip.
        self._looping = False
        self._due: list[tuple[int, int, int, Callable[[int], None]]] = []
        self._pace_due: asyncio.Handle | None = None
        self._waited = 0
        self._last_wait = 0
        self._lag = Histogram()
        self._connects = Histogram()
        self._joins = Histogram()
        self._reconnects = 0
        # Of those whose connection dropped.
        self._dropped = 0
        self._backs = Histogram()
        self._wholes = Histogram()
        self._not_back: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._random = Random(self._place)

    # ------------------------------------------------------------------ connecting

    async def connect(self) -> None:
        """Open every connection of this process, and join.

        Raises:
            LoadError: One of them was refused.
        """
        plan = self._plan
        mine = plan.share(self._place, self._workers)
        turns = iter(mine)
        began, cpu = time.perf_counter_ns(), time.process_time()

        async def connect_in_turn() -> None:
            for number, group in turns:
                due = time.perf_counter_ns()
                if plan.connects_per_s:
                    due = began + int(number * 1e9 / plan.connects_per_s)
                    await asyncio.sleep((due - time.perf_counter_ns()) / 1e9)
                await self._connect_one(number, group, due)

        at_once = max(1, plan.at_once // self._workers)
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(min(at_once, len(mine))):
                    tasks.create_task(connect_in_turn())
        except* (LoadError, OSError) as failed:
            # One reason is enough: the others are the same, or come of it.
            raise failed.exceptions[0] from None
        seconds = (time.perf_counter_ns() - began) / 1e9
        self._check_services()
        self._prepare_senders()
        self._say(
            {
                "ready": {
                    "connected": len(mine),
                    "seconds": seconds,
                    "cpu": (time.process_time() - cpu) / seconds,
                    "connect": self._connects.to_json(),
                    "join": self._joins.to_json(),
                }
            }
        )

    async def _connect_one(self, number: int, group: Group, due: int) -> None:
        client = await open_client(number, group, self._target, self._tally, self._tls)
        let_in = time.perf_counter_ns()
        self._clients[number] = client
        await client.settle_in()
        self._connects.record(let_in - due)
        if group.rooms:
            self._joins.record(time.perf_counter_ns() - let_in)

    def _check_services(self) -> None:
        needed = {_SERVICES.get(s.kind, s.kind) for s in self._plan.streams} - {"ping"}
        for client in self._clients.values():
            if missing := sorted(needed - set(client.services)):
                text = f"the gateway has no service {' and no '.join(missing)}"
                raise LoadError(f"{text}, which this scenario needs")
            return

    def _prepare_senders(self) -> None:
        first = 0
        starts = {}
        for group in self._plan.groups:
            starts[group.name] = first
            first += group.size
        for index, stream in enumerate(self._plan.streams):
            for number in range(
                starts[stream.group], starts[stream.group] + stream.senders
            ):
                client = self._clients.get(number)
                if client is not None:
                    place = number - starts[stream.group]
                    sender = Sender(client, index, stream, self._tally, place)
                    self._senders[index].append(sender)
                    self._of_client[index, number] = sender
                    if stream.window:
                        client.answer = self._answerer(number)

    def _answerer(self, number: int) -> Callable[[int], None]:
        """Return what sends the next message of a closed loop when one has come."""
        senders = self._of_client

        def answer(stream: int) -> None:
            sender = senders.get((stream, number))
            if sender is not None and sender.stream.window and stream in self._flowing:
                sender.send(time.perf_counter_ns())

        return answer

    # --------------------------------------------------------------------- phases

    async def run(self, start: int) -> None:
        """Go through the phases, the first of which begins at a time."""
        gc.collect()
        gc.freeze()
        gc.disable()
        self._later(self._beat())
        self._later(self._tick())
        self._later(self._probe_lag())
        for phase in self._plan.phases:
            start = await self._phase(phase, start)
        for task in self._tasks:
            task.cancel()

    async def _phase(self, phase: Phase, start: int) -> int:
        """Run a phase; return when the next one begins."""
        tally, streams = self._tally, self._plan.streams
        names = [stream.name for stream in streams]
        end = start + int(phase.seconds * 1e9)
        await asyncio.sleep((start - time.perf_counter_ns()) / 1e9)
        tally.begin()
        tally.counted = NO_STREAM
        if phase.counted is not None:
            tally.counted = names.index(phase.counted)
        was, self._flowing = self._flowing, frozenset(map(names.index, phase.streams))
        cpu, self._waited, self._lag = time.process_time_ns(), 0, Histogram()
        began = time.perf_counter_ns()
        self._due.clear()
        self._looping = any(streams[index].window for index in self._flowing)
        for index in self._flowing:
            self._start_stream(index, begun=index in was, start=start)
        self._start_reconnecting(start)
        if phase.drops is not None:
            self._drop_all(phase.drops)
        self._pace()
        await asyncio.sleep((end - time.perf_counter_ns()) / 1e9)
        took = time.perf_counter_ns() - began
        busy = time.process_time_ns() - cpu - self._waited
        received = list(tally.received)
        if phase.settle:
            self._flowing, self._looping = frozenset(), False
            self._due.clear()
            end += int(phase.settle * 1e9)
            await self._settle(end, may_end=phase is self._plan.phases[-1])
        if phase.recorded:
            self._say(
                {
                    "phase": {
                        "name": phase.name,
                        "seconds": took / 1e9,
                        "cpu": max(0, busy) / took,
                        "lag": self._lag.to_json(),
                        "sent": tally.sent,
                        "unsent": tally.unsent,
                        "received": received,
                        "delays": [one.to_json() for one in tally.delays],
                        "bytes": tally.bytes,
                    }
                }
            )
        return end

    async def _settle(self, end: int, *, may_end: bool) -> None:
        """Wait for what is late; the last time only for as long as something comes."""
        while (left := (end - time.perf_counter_ns()) / 1e9) > 0:
            before = self._tally.bytes
            await asyncio.sleep(min(left, QUIET))
            if may_end and self._tally.bytes == before and self._all_have_the_same():
                return

    def _all_have_the_same(self) -> bool:
        """Whether all who keep a ledger of a room have got to the same number."""
        last = {
            (client.room(client.group.rooms[0]), client.ledger.last)
            for client in self._clients.values()
            if client.ledger is not None
        }
        return len(last) == len({room for room, _ in last})

    def _start_stream(self, index: int, *, begun: bool, start: int) -> None:
        stream = self._plan.streams[index]
        if stream.rate:
            interval = int(1e9 / stream.rate)
            # Spread over the interval, as players are who know nothing of one another.
            for sender in self._senders[index]:
                offset = interval * sender.place // stream.senders
                self._schedule(start + offset, interval, sender.send)
        elif not begun:
            for _ in range(stream.window):
                for sender in self._senders[index]:
                    sender.send(time.perf_counter_ns())

    def _schedule(self, due: int, interval: int, act: Callable[[int], None]) -> None:
        heapq.heappush(self._due, (due, len(self._due), interval, act))

    def _pace(self) -> None:
        """Do everything that is due, and come back for the next."""
        if self._pace_due is not None:
            self._pace_due.cancel()
            self._pace_due = None
        due, now, idle = self._due, time.perf_counter_ns(), True
        while due and due[0][0] <= now:
            when, place, interval, act = due[0]
            act(when)
            heapq.heapreplace(due, (when + interval, place, interval, act))
            idle = False
            now = time.perf_counter_ns()
        wait = due[0][0] - now if due else None
        soon = self._looping or (wait is not None and wait <= FINE)
        loop = asyncio.get_running_loop()
        if self._wait_finely and soon:
            if idle and now - self._last_wait < IDLE_TURN:
                self._waited += now - self._last_wait
            self._last_wait = now
            self._pace_due = loop.call_soon(self._pace)
        elif wait is not None:
            spare = FINE if self._wait_finely else 0
            self._pace_due = loop.call_later(max(0, wait - spare) / 1e9, self._pace)

    # -------------------------------------------------------------- all the while

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT)
            for client in self._clients.values():
                client.beat()

    async def _probe_lag(self) -> None:
        while True:
            due = time.perf_counter_ns() + int(LAG_PROBE * 1e9)
            await asyncio.sleep(LAG_PROBE)
            self._lag.record(time.perf_counter_ns() - due)

    async def _tick(self) -> None:
        """Tell what has come so far, for the view."""
        while True:
            await asyncio.sleep(TICK)
            tally = self._tally
            self._say(
                {
                    "tick": {
                        "received": tally.received,
                        "delays": [one.to_json() for one in tally.delays],
                        "closed": sum(tally.closed.values()),
                    }
                }
            )

    # ------------------------------------------------------------- coming and going

    def _start_reconnecting(self, start: int) -> None:
        for group in self._plan.groups:
            if group.reconnects_per_s:
                rate = group.reconnects_per_s / self._workers
                interval = int(1e9 / rate)
                self._schedule(start, interval, self._reconnecter(group))

    def _reconnecter(self, group: Group) -> Callable[[int], None]:
        members = [c.number for c in self._clients.values() if c.group is group]

        def begin(due: int) -> None:
            if members:
                number = members.pop(self._random.randrange(len(members)))
                self._later(reconnect(number))

        async def reconnect(number: int) -> None:
            self._clients.pop(number).hang_up()
            try:
                await self._connect_one(number, group, time.perf_counter_ns())
            except (LoadError, OSError):
                self._tally.closed["refused"] += 1
                return
            self._reconnects += 1
            members.append(number)

        return begin

    def _drop_all(self, name: str) -> None:
        """Drop all connections of a group at once, and have each come back."""
        now = time.perf_counter_ns()
        gone = [one for one in self._clients.values() if one.group.name == name]
        for client in gone:
            client.drop()
        self._dropped += len(gone)
        for client in gone:
            self._later(self._come_back(client, now))

    async def _come_back(self, before: LoadClient, dropped: int) -> None:
        """Go on with a session, and note how long that took and when it was whole."""
        number, group = before.number, before.group
        while True:
            try:
                client = await open_client(
                    number, group, self._target, self._tally, self._tls, before
                )
            except NotResumedError as refused:
                self._not_back[str(refused)] += 1
                return
            except (LoadError, OSError):
                await asyncio.sleep(self._random.uniform(*TRY_AGAIN))
                continue
            break
        self._clients[number] = client
        self._backs.record(time.perf_counter_ns() - dropped)
        try:
            await client.be_whole()
        except LoadError as error:
            self._not_back[str(error)] += 1
        else:
            self._wholes.record(time.perf_counter_ns() - dropped)

    def finish(self) -> None:
        """Hang up, and say how it ended."""
        ledgers = [
            {
                "client": client.number,
                "room": client.room(client.group.rooms[0]),
                "last": client.ledger.last,
                "received": client.ledger.received,
                "lost": client.ledger.lost,
                "missing": client.ledger.missing,
                "repeated": client.ledger.repeated,
                "told": bool(client.group.bytes_per_s)
                or client.group.name in self._plan.dropped,
            }
            for client in self._clients.values()
            if client.ledger is not None
        ]
        closed, errors = Counter(self._tally.closed), Counter(self._tally.errors)
        for client in self._clients.values():
            client.hang_up()
        self._say(
            {
                "done": {
                    "ledgers": ledgers,
                    "closed": closed,
                    "errors": errors,
                    "reconnects": self._reconnects,
                    "reconnect_delays": self._connects.to_json(),
                    "returns": {
                        "dropped": self._dropped,
                        "again": sum(
                            client.ledger.again
                            for client in self._clients.values()
                            if client.ledger is not None
                        ),
                        "back": self._backs.to_json(),
                        "whole": self._wholes.to_json(),
                        "refused": self._not_back,
                    },
                }
            }
        )


async def _work(lines: asyncio.Queue[bytes]) -> int:
    def say(what: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(what) + "\n")
        sys.stdout.flush()

    told = json.loads(await lines.get())
    cores = told["cores"]
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    worker = Worker(told, say)
    if told["yields"] and hasattr(os, "nice"):
        os.nice(YIELDING)
    try:
        await worker.connect()
        go = json.loads(await lines.get())
        await worker.run(go["start"])
    except (LoadError, OSError) as error:
        say({"failed": str(error)})
        return 1
    # Connections stay until all processes are done: closing them is work, too.
    await lines.get()
    worker.finish()
    return 0


def main() -> int:
    """Do what standard input says; return the exit code."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        loop = runner.get_loop()
        lines: asyncio.Queue[bytes] = asyncio.Queue()

        def read() -> None:
            # Not sys.stdin: its lock must be free when the interpreter ends.
            rest = b""
            while data := os.read(0, 1 << 16):
                *whole, rest = (rest + data).split(b"\n")
                for line in whole:
                    loop.call_soon_threadsafe(lines.put_nowait, line)
            # Whoever started this process is gone or has no more use for it.
            os._exit(0)

        threading.Thread(target=read, daemon=True).start()
        return runner.run(_work(lines))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


if __name__ == "__main__":
    sys.exit(main())
