"""Async observers: in order, bounded, and a failure of one is its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from wsprism_core.gateway.failures import Failures
from wsprism_core.gateway.observers import ObserverQueue, observe_with
from wsprism_core.metrics import Metrics


async def test_observations_are_in_order_bounded_and_isolated() -> None:
    metrics, tasks, seen = Metrics(), list[asyncio.Future[None]](), list[int]()

    def spawn(work: Awaitable[None]) -> None:
        tasks.append(asyncio.ensure_future(work))

    async def observe(number: int) -> None:
        await asyncio.sleep(0)
        seen.append(number)
        if number == 0:
            raise RuntimeError

    call = observe_with(Failures(metrics), spawn, bound=2)("p", observe)
    for number in range(4):
        call(number)
    (task,) = tasks
    await task
    assert seen == [0, 1]
    assert metrics.plugin_failures == {("p", "observe"): 1}
    queue = ObserverQueue("p", Failures(metrics), spawn, bound=1)
    for number in range(3):
        queue.put(observe(number))
    await tasks[-1]
    assert queue.dropped == 2
