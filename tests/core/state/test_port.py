from __future__ import annotations

from wsprism_core import WsPrismError
from wsprism_core.state.memory import MemoryState
from wsprism_core.state.port import State, StateBounds, StateFull


def test_memory_fits_the_port() -> None:
    state: State = MemoryState(StateBounds(1, 1))
    assert state.get("a") is None


def test_what_is_raised_on_purpose_has_one_root() -> None:
    assert issubclass(StateFull, WsPrismError)
