"""A few conversations; `poe faults-chat` has two hundred."""

from __future__ import annotations

import sys

import pytest

if sys.platform != "linux":
    pytest.skip("limits another process, as Linux allows", allow_module_level=True)

from faults.conversation import converse
from faults.nursery import Nursery


@pytest.mark.parametrize("seed", range(2))
async def test_a_conversation_over_a_bad_line_is_whole(seed: int) -> None:
    with Nursery() as nursery:
        outcome = await converse(nursery, seed)
    assert outcome.violations == []
    assert outcome.acknowledged > 50
    for what in ("kill", "jump", "resumed", "races", "torn", "left"):
        assert outcome.counts[what], what
