"""Limits: token buckets, the handshake limiter, strikes.

All of it runs in one thread, so every limit is exact: there is no race to lose.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque

from wsprism_core.realtime.clock import Clock

__all__ = ("EventWindow", "HandshakeLimiter", "TokenBucket")


class TokenBucket:
    """Lets `rate` events a second pass, and up to `burst` at once.

    Args:
        rate: Tokens that come back in a second; more than 0.
        burst: How many it holds, and holds at first.
        now: Seconds on a clock that never goes back.
    """

    __slots__ = ("_at", "_tokens", "burst", "rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate = rate
        self.burst = burst
        self._tokens = float(burst)
        self._at = now

    def take(self, now: float) -> bool:
        """Take a token; return whether there was one."""
        tokens = self._tokens
        if now > self._at:
            tokens = min(self.burst, tokens + (now - self._at) * self.rate)
            self._at = now
        if tokens < 1.0:
            self._tokens = tokens
            return False
        self._tokens = tokens - 1.0
        return True

    def retry_after(self) -> float:
        """Return seconds until there is a token again, counted from the last take."""
        return max(0.0, (1.0 - self._tokens) / self.rate)

    def is_full(self, now: float) -> bool:
        """Whether it would hold `burst` tokens now: as good as a new one."""
        return self._tokens + (now - self._at) * self.rate >= self.burst


class HandshakeLimiter:
    """Bounds the handshakes of everybody together and of each address.

    Args:
        clock: Time.
        global_rps: Handshakes a second from everybody.
        global_burst: The same at once.
        per_ip_rps: Handshakes a second from one address.
        per_ip_burst: The same at once.
        max_ip_entries: Addresses remembered; the one unheard of longest is forgotten.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        global_rps: int,
        global_burst: int,
        per_ip_rps: int,
        per_ip_burst: int,
        max_ip_entries: int,
    ) -> None:
        self._clock = clock
        self._all = TokenBucket(global_rps, global_burst, clock.now())
        self._per_ip = (per_ip_rps, per_ip_burst)
        self._max = max_ip_entries
        self._by_ip: OrderedDict[str, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_ip)

    def take(self, address: str) -> int | None:
        """Count a handshake.

        Returns:
            None where it may go on, else whole seconds to wait.
        """
        now = self._clock.now()
        bucket = self._by_ip.get(address)
        if bucket is None:
            bucket = self._by_ip[address] = TokenBucket(*self._per_ip, now)
            if len(self._by_ip) > self._max:
                self._by_ip.popitem(last=False)
        else:
            self._by_ip.move_to_end(address)
        # The address first, so that one that is refused takes nothing from the others.
        for limit in (bucket, self._all):
            if not limit.take(now):
                return max(1, math.ceil(limit.retry_after()))
        return None


class EventWindow:
    """Says when more than `limit` events fell within the last `seconds`."""

    __slots__ = ("_times", "limit", "seconds")

    def __init__(self, limit: int, seconds: float) -> None:
        self.limit = limit
        self.seconds = seconds
        self._times: deque[float] = deque()

    def exceeded(self, now: float) -> bool:
        """Count an event; return whether it is one too many.

        An event that is one too many is not counted itself, so that what is refused
        does not go on refusing.
        """
        times = self._times
        while times and now - times[0] >= self.seconds:
            times.popleft()
        if len(times) >= self.limit:
            return True
        times.append(now)
        return False
