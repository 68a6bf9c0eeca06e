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


async def test_the_bytes_of_what_is_replaced_are_held_no_more() -> None:
    calls: list[str] = []
    made, started = queues(calls), list[int]()

    def job(size: int) -> Job:
        async def start() -> Actions:
            started.append(size)
            return None

        return Job(start, lambda *_: None, size, key="k")

    made.submit("a", job(1))
    for size in (9, 10, 11, 8):
        made.submit("a", job(size))
    assert (calls, made.paused) == (["pause", "resume"], False)
    made.submit("a", job(30))
    assert (calls, made.paused) == (["pause", "resume", "pause"], True)
    await settle()
    assert (started, made.paused) == ([1, 30], False)


async def test_a_session_that_is_over_is_neither_paused_nor_resumed() -> None:
    calls: list[str] = []
    made = queues(calls)
    made.submit("a", Job(nothing, lambda *_: made.drop(), size=20))
    made.submit("b", Job(nothing, lambda *_: None, size=20))
    await settle()
    assert calls == ["pause"]


async def test_only_what_waits_is_replaced_and_told_so() -> None:
    made, told = queues([]), list[int]()
    for number in range(3):
        made.submit(
            "a",
            Job(
                nothing,
                lambda *_: None,
                key="k",
                supersede=lambda number=number: told.append(number),  # type: ignore[misc]
            ),
        )
    assert told == [1]
    await settle()
    assert told == [1]
