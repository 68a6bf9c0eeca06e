"""Durations in buckets that grow with them: small, exact enough, and mergeable.

The buckets are those of an HDR histogram with 64 steps to each power of two, so that a
percentile is at most 1/64 too large. It is written here because that is thirty lines,
while the packages on PyPI are C extensions without wheels for every platform.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Final

__all__ = ("Histogram",)

_BITS: Final = 6
_STEPS: Final = 1 << _BITS
#: Above this, some 39 hours in nanoseconds, everything is in one bucket.
_HIGHEST: Final = (1 << 47) - 1
_BUCKETS: Final = (47 - _BITS) * _STEPS + _STEPS


class Histogram:
    """Counts durations in nanoseconds.

    Attributes:
        count: How many were recorded.
        max: The longest one, exactly.
    """

    __slots__ = ("_counts", "count", "max")

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS
        self.count = 0
        self.max = 0

    def record(self, duration: int) -> None:
        """Count one duration; below 0 is 0."""
        if duration > self.max:
            self.max = duration
        if not 0 <= duration <= _HIGHEST:
            duration = 0 if duration < 0 else _HIGHEST
        shift = max(0, duration.bit_length() - _BITS - 1)
        self._counts[(shift << _BITS) + (duration >> shift)] += 1
        self.count += 1

    def add(self, other: Histogram) -> None:
        """Count what another one has counted, too."""
        for bucket, count in other._filled():
            self._counts[bucket] += count
        self.count += other.count
        self.max = max(self.max, other.max)

    def without(self, earlier: Histogram) -> Histogram:
        """Return what has come since an earlier state of this one.

        Its `max` is the upper end of the last bucket: the exact one is not known.
        """
        fresh = Histogram()
        for bucket, count in self._filled():
            if new := count - earlier._counts[bucket]:
                fresh._counts[bucket] = new
                fresh.count += new
                fresh.max = min(_upper_end(bucket), self.max)
        return fresh

    def quantile(self, share: float) -> int:
        """Return the duration that a share of them, from 0 to 1, does not exceed.

        It is the upper end of its bucket, and 0 where nothing was recorded.
        """
        rank = max(1, math.ceil(share * self.count))
        seen = 0
        for bucket, count in self._filled():
            seen += count
            if seen >= rank:
                return min(_upper_end(bucket), self.max)
        return self.max

    def to_json(self) -> dict[str, int]:
        """Return the buckets that are not empty, and `max`, for `from_json`."""
        counts = {str(bucket): count for bucket, count in self._filled()}
        return {**counts, "max": self.max}

    @classmethod
    def from_json(cls, told: Mapping[str, int]) -> Histogram:
        """Return the histogram that `to_json` told of."""
        histogram = cls()
        for bucket, count in told.items():
            if bucket != "max":
                histogram._counts[int(bucket)] = count
                histogram.count += count
        histogram.max = told["max"]
        return histogram

    def _filled(self) -> Iterator[tuple[int, int]]:
        return ((place, count) for place, count in enumerate(self._counts) if count)


def _upper_end(bucket: int) -> int:
    """Return the longest duration that falls into a bucket."""
    shift = max(0, (bucket >> _BITS) - 1)
    return ((bucket - (shift << _BITS) + 1) << shift) - 1
