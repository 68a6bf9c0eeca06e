"""The port to where a plugin keeps what is to outlive its sessions.

Values are small and few: who is banned, not what was said. All of a plugin's are at
hand in memory, so that reading costs a look-up.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from wsprism_core.protocol.errors import WsPrismError

__all__ = ("State", "StateBounds", "StateFull")


class StateFull(WsPrismError):
    """A plugin keeps as much as it may, or a value is too large."""


@dataclass(frozen=True, slots=True)
class StateBounds:
    """How much one plugin may keep.

    Args:
        items: How many values.
        value_bytes: The largest of them.
    """

    items: int
    value_bytes: int


class State(Protocol):
    """What one plugin keeps: bytes by key.

    With a file of history it outlives the process: a change is written after the call
    returned, within moments and in the order of the calls, and an end of the process
    that nobody saw coming may take the last ones. Else it is in memory.
    """

    def get(self, key: str) -> bytes | None:
        """Return a value; None where there is none."""

    def put(self, key: str, value: bytes) -> None:
        """Keep a value, in place of an older one.

        Raises:
            StateFull: The plugin keeps as many as it may, or the value is too large;
                nothing has changed.
        """

    def delete(self, key: str) -> None:
        """Keep a value no longer; nothing happens where there is none."""

    def items(self, prefix: str = "") -> Iterable[tuple[str, bytes]]:
        """Return the keys that begin so, and their values, in the order of the keys."""
