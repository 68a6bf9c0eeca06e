"""A few conversations; `poe faults-chat` has two hundred."""

from __future__ import annotations

import sys

import pytest

from faults.conversation import converse

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")


@pytest.mark.parametrize("seed", range(2))
async def test_a_conversation_over_a_bad_line_is_whole(seed: int) -> None:
    outcome = await converse(seed)
    assert outcome.violations == []
    assert outcome.acknowledged > 50
    assert outcome.resumed > 0
