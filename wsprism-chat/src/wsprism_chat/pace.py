"""How often something may be done: so many times within some seconds."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable

__all__ = ("Pace",)


class Pace:
    """Lets each key pass so often within a time.

    Nothing is remembered that counts no more, so that it cannot grow.

    Args:
        most: How often; 0 is never.
        seconds: Within which time.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        #: When each key passed, the one that did so longest ago first.
        self._passed: OrderedDict[Hashable, deque[float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._passed)

    def take(self, key: Hashable, now: float) -> float:
        """Let a key pass, and return 0; or return how many seconds it has to wait.

        Args:
            key: What is counted by itself.
            now: Seconds on a clock that never goes back.
        """
        if not self._most:
            return self._seconds
        times = self._passed.get(key)
        if times is None:
            times = self._passed[key] = deque(maxlen=self._most)
        elif len(times) == self._most and now - times[0] < self._seconds:
            return times[0] + self._seconds - now
        times.append(now)
        self._passed.move_to_end(key)
        while now - next(iter(self._passed.values()))[-1] >= self._seconds:
            self._passed.popitem(last=False)
        return 0.0
