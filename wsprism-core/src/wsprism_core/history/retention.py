"""What of a room's messages is kept: by how many there are, their size and their age.

Every store counts the same way, so that a room keeps as much in memory as in a file.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, Final

import orjson

from wsprism_core.history.port import Retention

__all__ = ("ENVELOPE_BYTES", "RetentionWindow", "as_json")

#: What an envelope takes besides its data, about, in bytes.
ENVELOPE_BYTES: Final = 128


def as_json(data: Any) -> bytes:
    """Return the data of a message in JSON.

    Raises:
        ValueError: JSON cannot say it.
    """
    try:
        return orjson.dumps(data)
    except TypeError as error:
        raise ValueError(str(error)) from None


class RetentionWindow:
    """The sizes and times of the messages of a room that are kept.

    Args:
        retention: How much is kept.
        kept: Of what is kept already, the size of the data in bytes and the time in
            milliseconds since 1970, oldest first.
    """

    __slots__ = ("_age_ms", "_bytes", "_kept", "_max_bytes", "_max_messages")

    def __init__(
        self, retention: Retention, kept: Iterable[tuple[int, int]] = ()
    ) -> None:
        self._max_messages = retention.messages
        self._max_bytes = retention.bytes or float("inf")
        self._age_ms = retention.age * 1000 or float("inf")
        self._kept = deque((ENVELOPE_BYTES + size, ts) for size, ts in kept)
        self._bytes = sum(size for size, _ in self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def clear(self) -> None:
        """Keep nothing of what there is."""
        self._kept.clear()
        self._bytes = 0

    def add(self, size: int, ts: int) -> int:
        """Take a message, and say how many of the oldest are beyond a bound now.

        Args:
            size: How much its data takes, in bytes.
            ts: Its time in milliseconds since 1970.
        """
        kept = self._kept
        kept.append((ENVELOPE_BYTES + size, ts))
        self._bytes += ENVELOPE_BYTES + size
        too_old = ts - self._age_ms
        forgotten = 0
        while kept and (
            len(kept) > self._max_messages
            or self._bytes > self._max_bytes
            or kept[0][1] < too_old
        ):
            self._bytes -= kept.popleft()[0]
            forgotten += 1
        return forgotten
