"""Running handlers: at once where they are plain, in order where they are async.

A plain handler runs in the turn that brought its message. An `async def` handler runs
as a task; what the same session sends to the same service meanwhile waits behind it, up
to a bound. Nothing else of that session waits, until all that is held for its handlers
comes to so many bytes that no more is read from it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeAlias

from wsprism_core.gateway.failures import STOPS_THE_PROCESS
from wsprism_core.gateway.tasks import being_cancelled
from wsprism_core.protocol.errors import ProtocolError
from wsprism_core.protocol.layout import ErrorCode

__all__ = ("MAX_BYTES", "Finish", "HandlerQueues", "Job", "Start")

#: How much one session's handlers may hold before its reading pauses, in bytes.
MAX_BYTES = 1024 * 1024

#: Starts a handler, or a filter; what it returns may have to be awaited.
Start: TypeAlias = Callable[[], Any]
#: Takes what that returned or raised: actions, or of a filter its verdict.
Finish: TypeAlias = Callable[[Any, BaseException | None], None]


class Job:
    """One message for one handler.

    Args:
        start: Calls the handler.
        finish: Called with its result or its exception, unless it was dropped.
        size: The length of the message in bytes.
        key: What it stands for; while it waits, a newer one of the same key takes its
            place. None where no other does.
        supersede: Called in the place of `finish` when one has.
        drop: Called in its place where the session went before its turn came.
    """

    __slots__ = ("drop", "finish", "key", "size", "start", "supersede")

    def __init__(
        self,
        start: Start,
        finish: Finish,
        size: int = 0,
        key: Hashable | None = None,
        supersede: Callable[[], None] = lambda: None,
        drop: Callable[[], None] = lambda: None,
    ) -> None:
        self.start = start
        self.finish = finish
        self.size = size
        self.key = key
        self.supersede = supersede
        self.drop = drop


class HandlerQueues:
    """The messages of one session that wait for async handlers, by service.

    Args:
        bound: How many may wait for one service.
        pause: Stops the reading from the client; called when a message takes what is
            held, under way or waiting, over `max_bytes`.
        resume: Goes on reading; called when it is over no more.
        max_bytes: How much may be held for all services together, in bytes.

    Attributes:
        paused: Whether the reading is stopped.
    """

    __slots__ = (
        "_bound",
        "_held",
        "_max_bytes",
        "_pause",
        "_resume",
        "_tasks",
        "_waiting",
        "paused",
    )

    def __init__(
        self,
        bound: int,
        *,
        pause: Callable[[], None],
        resume: Callable[[], None],
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._bound = bound
        self._pause = pause
        self._resume = resume
        self._max_bytes = max_bytes
        self._held = 0
        self.paused = False
        # By what each stands for, so that a newer one finds its place.
        self._waiting: dict[str, OrderedDict[Hashable, Job]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def busy(self, svc: str) -> bool:
        """Whether a handler of this service is under way for this session."""
        return svc in self._tasks

    def submit(self, svc: str, job: Job) -> None:
        """Run a job after those of the same service that came before it.

        Where one of the same key waits, the job takes its place instead.

        Raises:
            ProtocolError: As many as may wait do so already.
        """
        if svc not in self._tasks:
            self._waiting[svc] = OrderedDict()
            self._tasks[svc] = asyncio.ensure_future(self.work(svc, job))
            self._hold(job.size)
            return
        waiting = self._waiting[svc]
        key = job if job.key is None else job.key
        elder = waiting.get(key)
        if elder is None and len(waiting) >= self._bound:
            raise ProtocolError(
                ErrorCode.RESOURCE_EXHAUSTED,
                "too many messages wait for this service",
            )
        waiting[key] = job
        if elder is None:
            self._hold(job.size)
        else:
            self._hold(job.size - elder.size)
            elder.supersede()

    def drop(self) -> None:
        """Forget what waits and cancel what is under way: the session is over."""
        tasks, self._tasks = self._tasks, {}
        # A handler that has ended its own session still holds its queue.
        for waiting in self._waiting.values():
            for job in waiting.values():
                job.drop()
            waiting.clear()
        self._waiting = {}
        # Nothing is read any more, so nothing is to be paused or resumed.
        self._held = 0
        self.paused = False
        for task in tasks.values():
            task.cancel()

    async def work(self, svc: str, first: Job) -> None:
        """Run the jobs of one service until none waits, the first one first."""
        waiting = self._waiting[svc]
        await self._do(first)
        while waiting:
            _, job = waiting.popitem(last=False)
            await self._do(job)
        if self._waiting.get(svc) is waiting:
            del self._waiting[svc], self._tasks[svc]

    async def _do(self, job: Job) -> None:
        await _run(job)
        self._hold(-job.size)

    def _hold(self, size: int) -> None:
        """Hold so many bytes more or less, and pause or resume the reading for it."""
        self._held += size
        if self.paused is (self._held > self._max_bytes):
            return
        self.paused = not self.paused
        if self.paused:
            self._pause()
        else:
            self._resume()


async def _run(job: Job) -> None:
    result: Any = None
    failure: BaseException | None = None
    try:
        result = job.start()
        if isinstance(result, Awaitable):
            result = await result
    except STOPS_THE_PROCESS:
        raise
    except BaseException as error:
        if being_cancelled():
            raise
        result, failure = None, error
    job.finish(result, failure)
