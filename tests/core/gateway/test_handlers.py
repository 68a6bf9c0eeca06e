"""Queues of async handlers: dropped whole, bounded in bytes."""

from __future__ import annotations

import asyncio

from wsprism_core import Actions
from wsprism_core.gateway.handlers import HandlerQueues, Job


def queues(calls: list[str]) -> HandlerQueues:
    return HandlerQueues(
        64,
        pause=lambda: calls.append("pause"),
        resume=lambda: calls.append("resume"),
        max_bytes=10,
    )


async def nothing() -> Actions:
    return None


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_what_waits_is_forgotten_when_a_handler_ends_its_session() -> None:
    made, done = queues([]), list[int]()

    def finish(number: int) -> Job:
        def finished(*_: object) -> None:
            done.append(number)
            made.drop()

        return Job(nothing, finished)

    for number in range(3):
        made.submit("late", finish(number))
    await settle()
    assert done == [0]


async def test_reading_pauses_over_the_bound_in_bytes() -> None:
    calls: list[str] = []
    made = queues(calls)
    for svc in ("a", "b"):
        made.submit(svc, Job(nothing, lambda *_: None, size=5))
    assert calls == []
    made.submit("a", Job(nothing, lambda *_: None, size=1))
    made.submit("a", Job(nothing, lambda *_: None, size=1))
    assert (calls, made.paused) == (["pause"], True)
    await settle()
    assert (calls, made.paused) == (["pause", "resume"], False)
