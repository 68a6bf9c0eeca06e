from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.waiting import until_blocking
from wsprism_core.log_sampling import SampledHandler

MOST = 3


class Kept(logging.Handler):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def take(self) -> list[tuple[str, dict[str, Any]]]:
        found = [(one.getMessage(), vars(one)["fields"]) for one in self.records]
        self.records.clear()
        return found


class Seconds:
    """Time that goes on when a test says so, and work for when it has."""

    def __init__(self) -> None:
        self.time = 0.0
        self.due: list[tuple[float, Callable[[], None]]] = []

    def now(self) -> float:
        return self.time

    def after(self, seconds: float, work: Callable[[], None]) -> Seconds:
        self.due.append((self.time + seconds, work))
        return self

    def cancel(self) -> None:
        self.due.clear()

    def advance(self, seconds: float) -> None:
        self.time += seconds
        for due, work in list(self.due):
            if due <= self.time:
                work()


@pytest.fixture
def clock() -> Seconds:
    return Seconds()


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def handler(clock: Seconds, kept: Kept) -> Iterator[SampledHandler]:
    handler = SampledHandler(kept, MOST, seconds=1.0, now=clock.now, later=clock.after)
    yield handler
    handler.close()


Log = Callable[..., None]


@pytest.fixture
def log(handler: SampledHandler) -> Log:
    def log(
        event: str, level: int = logging.WARNING, name: str = "a", **fields: Any
    ) -> None:
        made = logging.LogRecord(name, level, "", 0, event, None, None)
        made.fields = fields
        handler.handle(made)

    return log


def test_a_flood_is_summed_up_when_the_second_is_over(
    clock: Seconds, kept: Kept, handler: SampledHandler, log: Log
) -> None:
    for number in range(100):
        log("refused", n=number)
    assert kept.take() == [("refused", {"n": number}) for number in range(MOST)]
    clock.advance(0.9)
    assert kept.take() == []
    clock.advance(0.2)
    (sum,) = kept.records
    assert (sum.levelno, sum.name) == (logging.WARNING, "a")
    assert kept.take() == [("repeated", {"what": "refused", "count": 97})]
    assert handler.summed_up == 97


def test_a_second_that_is_over_begins_anew(
    clock: Seconds, kept: Kept, log: Log
) -> None:
    for _ in range(3):
        for number in range(MOST):
            log("refused", n=number)
        clock.advance(1.0)
    assert len(kept.take()) == 3 * MOST


def test_the_first_of_a_new_second_comes_behind_the_sum(
    clock: Seconds, kept: Kept, log: Log
) -> None:
    for _ in range(MOST + 1):
        log("refused")
    kept.take()
    # The timer is late.
    clock.time += 1.5
    log("refused", n=1)
    assert kept.take() == [
        ("repeated", {"what": "refused", "count": 1}),
        ("refused", {"n": 1}),
    ]


def test_kinds_are_counted_apart(clock: Seconds, kept: Kept, log: Log) -> None:
    for _ in range(MOST + 1):
        log("failed", logging.ERROR, plugin="chat")
        log("failed", logging.ERROR, plugin="game")
        log("failed", name="b")
    log("other")
    assert len(kept.take()) == 3 * MOST + 1
    clock.advance(1.0)
    assert kept.take() == [
        ("repeated", {"what": "failed", "count": 1, "plugin": "chat"}),
        ("repeated", {"what": "failed", "count": 1, "plugin": "game"}),
        ("repeated", {"what": "failed", "count": 1}),
    ]


def test_what_is_no_warning_is_never_summed_up(kept: Kept, log: Log) -> None:
    for level in (logging.DEBUG, logging.INFO):
        for _ in range(100):
            log("session_closed", level)
    assert len(kept.take()) == 200


def test_the_end_leaves_nothing_unsaid(
    kept: Kept, handler: SampledHandler, log: Log, clock: Seconds
) -> None:
    for _ in range(MOST + 2):
        log("refused")
    kept.take()
    handler.close()
    assert kept.take() == [("repeated", {"what": "refused", "count": 2})]
    clock.advance(2.0)
    assert kept.take() == []


def test_it_needs_no_event_loop(kept: Kept) -> None:
    handler = SampledHandler(kept, 1, seconds=0.02)
    for _ in range(3):
        made = logging.LogRecord("a", logging.WARNING, "", 0, "e", None, None)
        handler.handle(made)
    assert until_blocking(lambda: len(kept.records) == 2)
    assert kept.records[1].getMessage() == "repeated"
