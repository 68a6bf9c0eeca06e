"""Limits: token buckets, the handshake limiter, strikes.

All of it runs in one thread, so every limit is exact: there is no race to lose.
"""

from __future__ import annotations

import math
import random
from collections import OrderedDict, deque
from typing import Final

from wsprism_core.policy.proxies import limiter_key
from wsprism_core.realtime.clock import Clock

__all__ = ("EventWindow", "HandshakeLimiter", "SpentLimits", "TokenBucket")

#: The longest that a refused handshake is told to wait, in seconds.
LONGEST_WAIT: Final = 60.0


class TokenBucket:
    """Lets `rate` events a second pass, and up to `burst` at once.

    Args:
        rate: Tokens that come back in a second; more than 0.
        burst: How many it holds, and holds at first.
        now: Seconds on a clock that never goes back.

    Attributes:
        rate: Tokens that come back in a second.
        burst: How many it holds.
    """

    __slots__ = ("_at", "_tokens", "burst", "rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate = rate
        self.burst = burst
        self._tokens = float(burst)
        self._at = now

    def take(self, now: float, amount: float = 1.0) -> bool:
        """Take a token, or several at once; return whether there were as many."""
        tokens = self._tokens
        if now > self._at:
            tokens = min(self.burst, tokens + (now - self._at) * self.rate)
            self._at = now
        if tokens < amount:
            self._tokens = tokens
            return False
        self._tokens = tokens - amount
        return True

    def retry_after(self) -> float:
        """Return seconds until there is a token again, counted from the last take."""
        return max(0.0, (1.0 - self._tokens) / self.rate)

    def change(self, rate: float, burst: float, now: float) -> None:
        """Go on with another rate and burst; what it holds stays, up to the burst."""
        self._tokens = min(burst, self.level(now))
        self._at = now
        self.rate = rate
        self.burst = burst

    def go_on_from(self, before: TokenBucket, now: float) -> None:
        """Hold no more than another bucket, in whose place it comes."""
        self.lower(before.level(now))

    def lower(self, level: float) -> None:
        """Take tokens away until it holds `level` at most."""
        self._tokens = min(self._tokens, level)

    def level(self, now: float) -> float:
        """Return how many tokens it holds."""
        return min(self.burst, self._tokens + max(0.0, now - self._at) * self.rate)

    def is_full(self, now: float) -> bool:
        """Whether it would hold `burst` tokens now: as good as a new one."""
        return self.level(now) >= self.burst


class SpentLimits:
    """What users had left of a limit when their connections ended.

    A new connection goes on from there: else reconnecting would be a way around the
    limit.

    Args:
        limit: Users remembered; the one who left longest ago is forgotten.

    Attributes:
        limit: Users remembered.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._by_user: OrderedDict[str, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_user)

    def remember(self, user: str, bucket: TokenBucket, now: float) -> None:
        """Note what a connection that ended had left, until that is full again."""
        kept = self._by_user
        known = kept.pop(user, None)
        if known is None or bucket.level(now) < known.level(now):
            known = bucket
        if not known.is_full(now):
            kept[user] = known
        while kept and (
            len(kept) > self.limit or next(iter(kept.values())).is_full(now)
        ):
            kept.popitem(last=False)

    def change(self, limit: int, like: TokenBucket | None, now: float) -> None:
        """Go on with another limit, and with the rate and burst of a bucket.

        Args:
            limit: Users remembered.
            like: What a new connection gets; None is no limit, so nothing is kept.
            now: Seconds on the gateway's clock.
        """
        self.limit = limit
        if like is None:
            self._by_user.clear()
            return
        while len(self._by_user) > limit:
            self._by_user.popitem(last=False)
        for bucket in self._by_user.values():
            bucket.change(like.rate, like.burst, now)

    def apply(self, user: str, bucket: TokenBucket, now: float) -> None:
        """Lower a new connection's bucket to the least that its user had left."""
        known = self._by_user.get(user)
        if known is not None:
            bucket.lower(known.level(now))


class HandshakeLimiter:
    """Bounds the handshakes of everybody together and of each address.

    Those that are refused are told to come back one after the other and not all at
    once: each gets a moment of its own, at random within the time that it takes to let
    in as many as were refused lately.

    Args:
        clock: Time.
        global_rps: Handshakes a second from everybody.
        global_burst: The same at once.
        per_ip_rps: Handshakes a second from one address.
        per_ip_burst: The same at once.
        max_ip_entries: Addresses remembered; the one unheard of longest is forgotten.
        chance: Where the moments come from.
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
        chance: random.Random | None = None,
    ) -> None:
        self._clock = clock
        self._chance = chance or random.Random()
        self._all = _Entrance(global_rps, global_burst, clock.now())
        self._per_ip = (per_ip_rps, per_ip_burst)
        self._max = max_ip_entries
        self._by_ip: OrderedDict[str, _Entrance] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_ip)

    def go_on_from(self, before: HandshakeLimiter) -> None:
        """Take over what is left to everybody, in place of another limiter."""
        now = self._clock.now()
        before._all.change(self._all.rate, self._all.burst, now)
        self._all, self._by_ip = before._all, before._by_ip
        for bucket in self._by_ip.values():
            bucket.change(*self._per_ip, now)
        while len(self._by_ip) > self._max:
            self._by_ip.popitem(last=False)

    def take(self, address: str) -> int | None:
        """Count a handshake.

        Returns:
            None where it may go on, else whole seconds to wait.
        """
        now = self._clock.now()
        address = limiter_key(address)
        bucket = self._by_ip.get(address)
        if bucket is None:
            bucket = self._by_ip[address] = _Entrance(*self._per_ip, now)
            if len(self._by_ip) > self._max:
                self._by_ip.popitem(last=False)
        else:
            self._by_ip.move_to_end(address)
        # The address first, so that one that is refused takes nothing from the others.
        for limit in (bucket, self._all):
            if not limit.take(now):
                queue = min(LONGEST_WAIT, limit.queue(now))
                return max(1, math.ceil(queue * self._chance.random()))
        return None


class _Entrance(TokenBucket):
    """A bucket that counts those that it has turned away and will see again."""

    __slots__ = ("_waiting", "_waiting_at")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        super().__init__(rate, burst, now)
        self._waiting = 0.0
        self._waiting_at = now

    def queue(self, now: float) -> float:
        """Count one more that waits; return the seconds in which all get in."""
        gone = (now - self._waiting_at) * self.rate
        self._waiting = max(0.0, self._waiting - gone) + 1.0
        self._waiting_at = now
        return self._waiting / self.rate


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
