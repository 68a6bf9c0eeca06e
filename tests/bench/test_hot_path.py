"""Ratios that hold on any machine, however busy: what must not grow with a room."""

from __future__ import annotations

import pytest

from bench.hot_path import SIZES, TURNS, Cost, measure


async def costs() -> dict[tuple[str, int, int, bool], float]:
    def key(cost: Cost) -> tuple[str, int, int, bool]:
        return cost.form, cost.members, cost.turn, cost.limited

    return {key(cost): cost.us for cost in await measure(runs=15, count=64)}


@pytest.mark.interpreted
async def test_a_room_s_members_share_what_a_message_costs() -> None:
    found = await costs()
    assert len(found) == 2 * 2 * len(SIZES) * len(TURNS)
    for form in ("text", "hot"):
        # With a list for each member, 200 of them cost three times as much as one.
        one, many = found[form, 1, 16, True], found[form, 200, 16, True]
        assert many < 2.5 * one
        # And a turn of many messages costs each of them less than one alone.
        assert found[form, 200, 16, True] < 0.7 * found[form, 200, 1, True]
