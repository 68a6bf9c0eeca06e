"""State in memory, and what is written behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from wsprism_core.state.port import StateBounds, StateFull

__all__ = ("MemoryState",)


class MemoryState:
    """What one plugin keeps, in memory.

    Args:
        bounds: How much it may be.
        loaded: What was kept before.
        changed: Told of each change, None for a key that is gone; it writes it down
            where that is wanted.
        refused: Told of each value that was not taken.
    """

    def __init__(
        self,
        bounds: StateBounds,
        loaded: Mapping[str, bytes] | None = None,
        changed: Callable[[str, bytes | None], None] | None = None,
        refused: Callable[[], None] | None = None,
    ) -> None:
        self._bounds = bounds
        self._values = dict(loaded or {})
        self._changed = changed
        self._refused = refused

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: str) -> bytes | None:
        """Return a value."""
        return self._values.get(key)

    def put(self, key: str, value: bytes) -> None:
        """Keep a value."""
        if len(value) > self._bounds.value_bytes:
            raise self._full(
                f"a value of {len(value)} bytes; {self._bounds.value_bytes} is the most"
            )
        if key not in self._values and len(self._values) >= self._bounds.items:
            raise self._full(f"{self._bounds.items} values are kept, which is the most")
        self._values[key] = value
        if self._changed is not None:
            self._changed(key, value)

    def delete(self, key: str) -> None:
        """Keep a value no longer."""
        if self._values.pop(key, None) is not None and self._changed is not None:
            self._changed(key, None)

    def items(self, prefix: str = "") -> Iterable[tuple[str, bytes]]:
        """Return the keys that begin so, and their values."""
        found = [one for one in self._values.items() if one[0].startswith(prefix)]
        return sorted(found)

    def _full(self, reason: str) -> StateFull:
        if self._refused is not None:
            self._refused()
        return StateFull(reason)
