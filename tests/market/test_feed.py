from __future__ import annotations

import heapq
import logging
from collections.abc import Callable, Generator, Sequence
from itertools import count

import pytest

from wsprism_core import EventLog, Timer
from wsprism_market.feed import QUOTES_PER_TURN, Feed
from wsprism_market.quotes import Quote
from wsprism_market.sources.port import BadLine, Due, Item

BAD = BadLine("day.csv:7", "no CSV")


class Time:
    """Virtual time; work that is due runs in `pass_on`."""

    def __init__(self) -> None:
        self.log = EventLog("plugins.market")
        self.seconds = 100.0
        self.work: list[tuple[float, int, Callable[[], None]]] = []
        self.cancelled: set[int] = set()
        self._ids = count()

    def now(self) -> float:
        return self.seconds

    def after(self, seconds: float, work: Callable[[], None]) -> Timer:
        assert seconds >= 0
        entry = (self.seconds + seconds, next(self._ids), work)
        heapq.heappush(self.work, entry)
        return Entry(self, entry[1])

    def turn(self) -> None:
        """Run what is due first, once."""
        due, number, work = heapq.heappop(self.work)
        self.seconds = max(self.seconds, due)
        if number not in self.cancelled:
            work()

    def pass_on(self, seconds: float) -> None:
        end = self.seconds + seconds
        while self.work and self.work[0][0] <= end:
            self.turn()
        self.seconds = end


class Entry:
    def __init__(self, time: Time, number: int) -> None:
        self.time = time
        self.number = number

    def cancel(self) -> None:
        self.time.cancelled.add(self.number)


class Script:
    """A source that plays what it is given."""

    def __init__(self, items: Sequence[Item], error: Exception | None = None) -> None:
        self.items = items
        self.error = error
        self.is_closed = False

    def play(self) -> Generator[Item, None, None]:
        try:
            yield from self.items
            if self.error is not None:
                raise self.error
        finally:
            self.is_closed = True


class Rig:
    def __init__(self, *items: Item, error: Exception | None = None) -> None:
        self.time = Time()
        self.script = Script(items, error)
        self.taken: list[int] = []
        self.bad: list[BadLine] = []
        self.feed = Feed(
            self.time, self.script, quote=self.take, bad_line=self.bad.append
        )

    def take(self, quote: Quote) -> None:
        self.taken.append(quote.last)


def due(at: float, last: int) -> Due:
    return Due(at, Quote("A", 0, 0, last, last, last))


def test_what_is_due_at_the_start_is_taken_at_once() -> None:
    rig = Rig(due(0, 1), due(0, 2), due(0.5, 3))
    rig.feed.start()
    assert rig.taken == [1, 2]


def test_every_quote_at_its_time() -> None:
    rig = Rig(due(0.5, 1), due(1.5, 2), due(1.5, 3))
    rig.feed.start()
    rig.time.pass_on(0.25)
    assert rig.taken == []
    rig.time.pass_on(0.25)
    assert rig.taken == [1]
    rig.time.pass_on(1)
    assert rig.taken == [1, 2, 3]
    assert rig.time.work == []


def test_after_a_delay_nothing_is_left_out_and_the_pace_is_kept() -> None:
    rig = Rig(*(due(at, at) for at in range(1, 10)))
    rig.feed.start()
    rig.time.seconds += 5.5
    rig.time.turn()
    assert rig.taken == [1, 2, 3, 4, 5]
    rig.time.pass_on(0.5)
    assert rig.taken[5:] == [6]


def test_a_quote_from_the_past_is_taken_at_once_and_in_order() -> None:
    rig = Rig(due(0, 1), due(2, 2), due(-1, 3), due(2.5, 4))
    rig.feed.start()
    rig.time.pass_on(2)
    assert rig.taken == [1, 2, 3]


@pytest.mark.parametrize("at", [1e5, 1e300, float("inf")])
def test_a_quote_that_is_far_ahead(at: float) -> None:
    rig = Rig(due(0, 1), due(at, 2))
    rig.feed.start()
    rig.time.pass_on(99_999)
    assert rig.time.work[0][0] <= rig.time.seconds + 3_600
    assert rig.taken == [1]
    rig.time.pass_on(1)
    assert rig.taken == ([1, 2] if at == 1e5 else [1])


def test_a_turn_has_a_bound() -> None:
    rig = Rig(*(due(0, last) for last in range(QUOTES_PER_TURN + 2)))
    rig.feed.start()
    assert len(rig.taken) == QUOTES_PER_TURN
    rig.time.turn()
    assert rig.taken == list(range(QUOTES_PER_TURN + 2))
    assert rig.time.seconds == 100


def test_what_is_late_takes_more_than_one_turn() -> None:
    rig = Rig(*(due(1, last) for last in range(QUOTES_PER_TURN + 2)))
    rig.feed.start()
    rig.time.seconds += 5
    rig.time.turn()
    assert len(rig.taken) == QUOTES_PER_TURN
    rig.time.turn()
    assert len(rig.taken) == QUOTES_PER_TURN + 2
    assert rig.time.seconds == 105


def test_bad_lines_count_in_the_bound() -> None:
    rig = Rig(*[BAD] * (QUOTES_PER_TURN + 1), due(0, 1))
    rig.feed.start()
    assert len(rig.bad) == QUOTES_PER_TURN
    rig.time.turn()
    assert len(rig.bad) == QUOTES_PER_TURN + 1
    assert rig.taken == [1]


def test_a_bad_line_is_told_where_the_source_came_to_it() -> None:
    rig = Rig(due(1, 1), BAD, due(2, 2))
    rig.feed.start()
    assert rig.bad == []
    rig.time.pass_on(1)
    assert (rig.taken, rig.bad) == ([1], [BAD])
    rig.time.pass_on(1)
    assert rig.taken == [1, 2]


def test_the_end_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    rig = Rig(due(0, 1), due(1, 2))
    rig.feed.start()
    assert caplog.messages == []
    rig.time.pass_on(10)
    assert caplog.messages == ["source_ended"]
    assert rig.script.is_closed


def test_stop(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    rig = Rig(due(0, 1), due(1, 2))
    rig.feed.start()
    ((_, number, _),) = rig.time.work
    rig.feed.stop()
    rig.feed.stop()
    assert rig.time.cancelled == {number}
    assert caplog.messages == []
    rig.time.pass_on(10)
    assert rig.taken == [1]
    assert rig.script.is_closed


def test_stop_before_start() -> None:
    rig = Rig(due(0, 1))
    rig.feed.stop()
    assert rig.taken == []


def test_a_source_that_cannot_be_opened_refuses_to_start() -> None:
    rig = Rig(error=FileNotFoundError("day.csv"))
    with pytest.raises(FileNotFoundError):
        rig.feed.start()
    assert rig.time.work == []


def test_a_source_that_fails_later_ends_the_feed() -> None:
    rig = Rig(due(0, 1), due(1, 2), error=OSError("disk"))
    rig.feed.start()
    with pytest.raises(OSError, match="disk"):
        rig.time.pass_on(1)
    assert rig.taken == [1, 2]
    assert rig.time.work == []


def test_one_quote_that_fails_is_one_quote() -> None:
    rig = Rig(due(1, 1), due(2, 2))
    rig.taken = Stumbling()
    rig.feed.start()
    with pytest.raises(RuntimeError):
        rig.time.pass_on(1)
    rig.time.pass_on(1)
    assert rig.taken == [2]


class Stumbling(list[int]):
    """Takes no 1."""

    def append(self, last: int) -> None:
        if last == 1:
            raise RuntimeError
        super().append(last)
