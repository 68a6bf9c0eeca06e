"""Running handlers: at once where they are plain, in order where they are async.

A plain handler runs in the turn that brought its message. An `async def` handler runs
as a task; what the same session sends to the same service meanwhile waits behind it, up
to a bound. Nothing else of that session waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from wsprism_core.actions import Actions
from wsprism_core.protocol.errors import ProtocolError
from wsprism_core.protocol.layout import ErrorCode

__all__ = ("HandlerQueues", "Job")

#: Starts a handler; what it returns may have to be awaited.
Start: TypeAlias = Callable[[], Awaitable[Actions] | Actions]
#: Takes what the handler returned or raised.
Finish: TypeAlias = Callable[[Actions, BaseException | None], None]


class Job:
    """One message for one handler.

    Args:
        start: Calls the handler.
        finish: Called with its result or its exception, unless it was dropped.
    """

    __slots__ = ("finish", "start")

    def __init__(self, start: Start, finish: Finish) -> None:
        self.start = start
        self.finish = finish


class HandlerQueues:
    """The messages of one session that wait for async handlers, by service.

    Args:
        bound: How many may wait for one service.
    """

    __slots__ = ("_bound", "_tasks", "_waiting")

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._waiting: dict[str, deque[Job]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def busy(self, svc: str) -> bool:
        """Whether a handler of this service is under way for this session."""
        return svc in self._tasks

    def submit(self, svc: str, job: Job) -> None:
        """Run a job after those of the same service that came before it.

        Raises:
            ProtocolError: As many as may wait do so already.
        """
        if svc not in self._tasks:
            self._waiting[svc] = deque()
            self._tasks[svc] = asyncio.ensure_future(self._work(svc, job))
            return
        waiting = self._waiting[svc]
        if len(waiting) >= self._bound:
            raise ProtocolError(
                ErrorCode.RESOURCE_EXHAUSTED, "too many messages wait for this service"
            )
        waiting.append(job)

    def drop(self) -> None:
        """Forget what waits and cancel what is under way: the session is over."""
        tasks, self._tasks = self._tasks, {}
        self._waiting = {}
        for task in tasks.values():
            task.cancel()

    async def _work(self, svc: str, first: Job) -> None:
        waiting = self._waiting[svc]
        await _run(first)
        while waiting:
            await _run(waiting.popleft())
        if self._waiting.get(svc) is waiting:
            del self._waiting[svc], self._tasks[svc]


async def _run(job: Job) -> None:
    actions: Actions = None
    failure: BaseException | None = None
    try:
        result = job.start()
        actions = await result if isinstance(result, Awaitable) else result
    except (KeyboardInterrupt, SystemExit):
        raise
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        failure = error
    except BaseException as error:
        failure = error
    job.finish(actions, failure)
