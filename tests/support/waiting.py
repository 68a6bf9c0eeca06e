"""Waiting for what another process does: by asking, never for a fixed time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

__all__ = ("until", "until_blocking")

TIMEOUT: Final = 20.0
#: Seconds between two questions.
PAUSE: Final = 0.01


async def until(condition: Callable[[], bool], timeout: float = TIMEOUT) -> bool:
    """Ask until it is so, for so many seconds; return whether it became so."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(PAUSE)
    return True


def until_blocking(condition: Callable[[], bool], timeout: float = TIMEOUT) -> bool:
    """Do the same, where there is no event loop to go on meanwhile."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(PAUSE)
    return True
