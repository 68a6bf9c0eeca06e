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

    __slots__ = ("_age_ms", "_gone", "_kept", "_max_bytes", "_max_messages", "_total")

    def __init__(
        self, retention: Retention, kept: Iterable[tuple[int, int]] = ()
    ) -> None:
        self._max_messages = retention.messages
        self._max_bytes = retention.bytes or float("inf")
        self._age_ms = retention.age * 1000 or float("inf")
        # Of each the size of all up to it, so that no sum is ever made again; those of
        # the ones that are forgotten are `_gone`.
        self._total = self._gone = 0
        self._kept: deque[tuple[int, int]] = deque()
        for size, ts in kept:
            self._total += ENVELOPE_BYTES + size
            self._kept.append((self._total, ts))

    def __len__(self) -> int:
        return len(self._kept)

    def clear(self) -> None:
        """Keep nothing of what there is."""
        self._kept.clear()
        self._gone = self._total

    def add(self, size: int, ts: int) -> int:
        """Take a message, and say how many of the oldest are beyond a bound now.

        Args:
            size: How much its data takes, in bytes.
            ts: Its time in milliseconds since 1970.
        """
        kept = self._kept
        self._total += ENVELOPE_BYTES + size
        kept.append((self._total, ts))
        too_old = ts - self._age_ms
        forgotten = 0
        while kept and (
            len(kept) > self._max_messages
            or self._total - self._gone > self._max_bytes
            or kept[0][1] < too_old
        ):
            self._gone = kept.popleft()[0]
            forgotten += 1
        return forgotten

    def newest(self, count: int) -> int:
        """Return how many bytes the newest messages take, their envelopes too."""
        older = len(self._kept) - count
        return self._total - (self._kept[older - 1][0] if older > 0 else self._gone)
