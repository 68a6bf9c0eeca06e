from __future__ import annotations

from random import Random

from wsprism_core.recording.chance import CoreChance
from wsprism_core.recording.clock import TurnClock


def test_inside_it_repeats_whatever_was_drawn_outside() -> None:
    clock = TurnClock(0)
    chance, source = CoreChance(clock, Random(7)), Random(7)
    drawn = []
    for is_inside in (True, False, True, False, True):
        clock.inside = is_inside
        here = [chance.random(), chance.getrandbits(64), chance.choice(range(10**9))]
        if is_inside:
            drawn.append(here)
    wanted = [
        [source.random(), source.getrandbits(64), source.choice(range(10**9))]
        for _ in range(3)
    ]
    assert drawn == wanted


def test_outside_it_is_the_systems() -> None:
    clock = TurnClock(0)
    clock.inside = False
    one, other = (CoreChance(clock, Random(7)).getrandbits(64) for _ in range(2))
    assert one != other
