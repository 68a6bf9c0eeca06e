"""Limits on trial: what they would refuse is counted, and nothing is refused.

A limit that is new is a guess until it has seen traffic. Here it sees the traffic of
its tenant beside the limits that hold, and only what those let pass is judged: what is
counted is what would change. Where a tenant has none on trial there is nothing of this
on any path; where it has, its part of what is looked up anyway does the counting.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Final

from wsprism_core.config import ShadowPolicy
from wsprism_core.policy.allowlist import HotAllowlist, TextAllowlist
from wsprism_core.policy.limits import TokenBucket

__all__ = ("Shadow", "ShadowedBucket")

_RATE: Final = "rate_limit_rps"


class Shadow:
    """The limits that a tenant has on trial.

    Args:
        tenant: Its id.
        policy: Its section of the configuration.
        refusals: What would have been refused, by tenant and key.

    Attributes:
        limits: Those of sessions, rooms and users; 0 is none.
    """

    def __init__(
        self, tenant: str, policy: ShadowPolicy, refusals: Counter[tuple[str, str]]
    ) -> None:
        self.limits = policy
        self._tenant = tenant
        self._refusals = refusals
        ext, hot = policy.ext_allowlist, policy.hot_allowlist
        self._text = None if ext is None else TextAllowlist(ext)
        self._hot = None if hot is None else HotAllowlist(hot)

    def count(self, rule: str) -> None:
        """Note that a key of the configuration would have refused something."""
        self._refusals[self._tenant, rule] += 1

    def passes_text(self, svc: str, type: str) -> bool:
        """Whether a message of this service and type would still pass."""
        return self._text is None or self._text.passes(svc, type)

    def passes_hot(self, svc_id: int, opcode: int) -> bool:
        """Whether a hot frame of this service and opcode would still pass."""
        return self._hot is None or self._hot.passes(svc_id, opcode)

    def beside(self, bucket: TokenBucket | None, now: float) -> TokenBucket | None:
        """Return a rate limit that counts for the one on trial too, if there is one.

        Args:
            bucket: The limit that holds, None where there is none.
            now: Seconds on the gateway's clock.
        """
        if not self.limits.rate_limit_rps:
            return bucket
        return ShadowedBucket(bucket, self, now)


class ShadowedBucket(TokenBucket):
    """A limit that holds, and beside it one on trial.

    Args:
        bucket: The one that holds, None where there is none.
        shadow: Has the other one.
        now: Seconds on the gateway's clock.
    """

    __slots__ = ("_shadow", "_trial")

    def __init__(self, bucket: TokenBucket | None, shadow: Shadow, now: float) -> None:
        rate, burst = math.inf, math.inf
        if bucket is not None:
            rate, burst = bucket.rate, bucket.burst
        super().__init__(rate, burst, now)
        self._shadow = shadow
        limits = shadow.limits
        self._trial = TokenBucket(limits.rate_limit_rps, limits.rate_limit_burst, now)

    def go_on_from(self, before: TokenBucket, now: float) -> None:
        """Hold no more than another bucket; nor does the trial, if that has one."""
        super().go_on_from(before, now)
        if isinstance(before, ShadowedBucket):
            self._trial.go_on_from(before._trial, now)

    def take(self, now: float, amount: float = 1.0) -> bool:
        """Take tokens; return whether the limit that holds had as many."""
        if not super().take(now, amount):
            return False
        if not self._trial.take(now, amount):
            self._shadow.count(_RATE)
        return True
