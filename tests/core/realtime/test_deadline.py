from __future__ import annotations

import pytest

from support.pure import Pipe
from support.pure import session as new_session
from wsprism_core.realtime.deadline import RATE_SECONDS, WriteDeadline
from wsprism_core.realtime.session import Session
from wsprism_core.realtime.wheel import Wheel
from wsprism_core.testing.clock import VirtualClock


class Stage:
    """A session whose socket is full, watched."""

    def __init__(self, *, silence: float = 1.5, bytes_per_s: int = 1024) -> None:
        self.clock = VirtualClock()
        self.wheel = Wheel(self.clock, 0.1)
        self.wheel.start()
        self.missed: list[Session] = []
        self.deadline = WriteDeadline(
            self.wheel,
            silence=silence,
            bytes_per_s=bytes_per_s,
            missed=self.missed.append,
        )
        self.session = new_session(pipe=Pipe())
        self.deadline.watch(self.session)

    def takes(self, size: int, every: float, seconds: float) -> None:
        """Let the socket take `size` bytes again and again."""
        for _ in range(round(seconds / every)):
            if self.missed:
                return
            self.clock.advance(every)
            self.session.outbox.handed += size


def test_a_socket_that_takes_nothing_is_late() -> None:
    stage = Stage(silence=1.5)
    stage.clock.advance(1.4)
    assert stage.missed == []
    stage.clock.advance(0.6)
    assert stage.missed == [stage.session]
    assert len(stage.deadline) == 0


def test_a_socket_that_takes_enough_is_not() -> None:
    stage = Stage()
    stage.takes(1_200, every=1, seconds=60)
    assert stage.missed == []


def test_a_trickle_saves_nobody() -> None:
    stage = Stage()
    stage.takes(1, every=1, seconds=60)
    assert stage.missed == [stage.session]
    assert RATE_SECONDS <= stage.clock.now() <= RATE_SECONDS + 2


def test_the_rate_is_measured_anew_again_and_again() -> None:
    stage = Stage()
    stage.takes(100_000, every=1, seconds=30)
    stage.takes(1, every=1, seconds=60)
    assert stage.missed == [stage.session]
    assert stage.clock.now() <= 30 + 2 * RATE_SECONDS + 2


@pytest.mark.parametrize(("silence", "bytes_per_s"), [(0, 1024), (1.5, 0)])
def test_either_may_be_left_out(silence: float, bytes_per_s: int) -> None:
    stage = Stage(silence=silence, bytes_per_s=bytes_per_s)
    if silence:
        stage.takes(1, every=1, seconds=60)
        assert stage.missed == []
    else:
        stage.clock.advance(9)
        assert stage.missed == []
        stage.clock.advance(RATE_SECONDS)
        assert stage.missed == [stage.session]


def test_without_both_nobody_is_watched() -> None:
    assert len(Stage(silence=0, bytes_per_s=0).deadline) == 0


def test_who_is_forgotten_is_not_late() -> None:
    stage = Stage()
    stage.deadline.forget(stage.session)
    stage.deadline.forget(stage.session)
    stage.clock.advance(60)
    assert stage.missed == []
    assert len(stage.wheel) == 0


def test_watching_twice_begins_once() -> None:
    stage = Stage()
    stage.clock.advance(1)
    stage.deadline.watch(stage.session)
    stage.clock.advance(1)
    assert stage.missed == [stage.session]


def test_what_the_link_still_holds_is_not_taken() -> None:
    stage = Stage()
    held = 0

    def unsent() -> int:
        return held

    stage.session.link.unsent = unsent  # type: ignore[method-assign]
    for _ in range(10):
        stage.clock.advance(0.5)
        held += 1_000
        stage.session.outbox.handed += 1_000
    assert stage.missed == [stage.session]
