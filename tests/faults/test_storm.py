"""A small storm; `poe faults-storm` has two thousand sessions."""

from __future__ import annotations

from faults.storm import storm


async def test_all_who_come_back_at_once_are_whole() -> None:
    assert (await storm(100)).violations == []
