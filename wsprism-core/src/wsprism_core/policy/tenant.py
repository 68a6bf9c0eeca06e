"""A tenant at run time: its limits and its policy, ready to be asked."""

from __future__ import annotations

from collections import Counter

from wsprism_core.config import (
    HotErrorMode,
    OnExceed,
    RateLimitScope,
    SessionMode,
    TenantConfig,
)
from wsprism_core.policy.allowlist import HotAllowlist, TextAllowlist
from wsprism_core.policy.limits import SpentLimits, TokenBucket
from wsprism_core.policy.shadow import Shadow

__all__ = ("Tenant",)

#: How often a user may fetch as much as may be fetched at once: at once, and a second.
FETCHES_AT_ONCE, FETCHES_A_SECOND = 10, 1


class Tenant:
    """One isolated domain of users, rooms and policy.

    Args:
        config: Its section of the configuration.
        now: Seconds on the gateway's clock.
        shadow_refusals: Where it is counted what limits on trial would refuse, by
            tenant and rule.

    Attributes:
        bucket: The rate limit that all its connections share, or None.
        shadow: Its limits on trial, or None.
    """

    def __init__(
        self,
        config: TenantConfig,
        now: float,
        shadow_refusals: Counter[tuple[str, str]] | None = None,
    ) -> None:
        policy = config.policy
        self.shadow = (
            None
            if policy.shadow is None
            else Shadow(
                config.id,
                policy.shadow,
                Counter() if shadow_refusals is None else shadow_refusals,
            )
        )
        self.id = config.id
        self.limits = config.limits
        self.text = TextAllowlist(policy.ext_allowlist)
        self.hot = HotAllowlist(policy.hot_allowlist)
        self.tells_hot_errors = policy.hot_error_mode is HotErrorMode.SYS_ERROR
        self.hot_requires_active_room = policy.hot_requires_active_room
        self.kicks_oldest = policy.sessions.on_exceed is OnExceed.KICK_OLDEST
        self.max_sessions_per_user = (
            1
            if policy.sessions.mode is SessionMode.SINGLE
            else policy.sessions.max_sessions_per_user
        )
        self._rate = (policy.rate_limit_rps, policy.rate_limit_burst)
        self._scope = policy.rate_limit_scope
        self._max_spent = policy.rate_limit_max_spent
        self._spent = SpentLimits(self._max_spent)
        self._fetches = SpentLimits(self._max_spent)
        self.bucket = (
            self._new_bucket(now)
            if self._scope is not RateLimitScope.CONNECTION
            else None
        )

    @property
    def spent_limits(self) -> int:
        """How many users have left and have not all of their limit back yet."""
        return len(self._spent)

    def become(self, other: Tenant, now: float) -> None:
        """Take over the limits and the policy of another one, in place.

        Connections and those that are being judged hold on to a tenant. What was spent
        of a rate limit stays spent.

        Args:
            other: Was made of the new configuration; it is used no more.
            now: Seconds on the gateway's clock.
        """
        self.limits = other.limits
        self.shadow = other.shadow
        self.text = other.text
        self.hot = other.hot
        self.tells_hot_errors = other.tells_hot_errors
        self.hot_requires_active_room = other.hot_requires_active_room
        self.kicks_oldest = other.kicks_oldest
        self.max_sessions_per_user = other.max_sessions_per_user
        self._rate = other._rate
        self._scope = other._scope
        self._max_spent = other._max_spent
        self._spent.change(self._max_spent, self._new_bucket(now), now)
        self._fetches.limit = self._max_spent
        self.bucket = _going_on(self.bucket, other.bucket, now)

    def next_bucket(
        self, bucket: TokenBucket | None, user: str, now: float
    ) -> TokenBucket | None:
        """Return the rate limit of a connection that was there before `become`."""
        return _going_on(bucket, self.connection_bucket(user, now), now)

    def connection_bucket(self, user: str, now: float) -> TokenBucket | None:
        """Return the rate limit of a new connection, or None where it has none."""
        if self._scope is RateLimitScope.TENANT:
            return None
        bucket = self._new_bucket(now)
        if bucket is not None:
            self._spent.apply(user, bucket, now)
        return bucket

    def connection_ended(self, user: str, bucket: TokenBucket, now: float) -> None:
        """Remember the rate limit of a connection for the user's next one."""
        self._spent.remember(user, bucket, now)

    def spend_fetch(self, user: str, messages: int, most: int, now: float) -> bool:
        """Take messages from those that a user may fetch; say if there were as many.

        All sessions of a user share it, and a new one refills nothing.

        Args:
            user: The user's id.
            messages: How many are to be fetched.
            most: How many may be fetched at once.
            now: Seconds on the gateway's clock.
        """
        bucket = TokenBucket(most * FETCHES_A_SECOND, most * FETCHES_AT_ONCE, now)
        self._fetches.apply(user, bucket, now)
        if not bucket.take(now, messages):
            return False
        self._fetches.remember(user, bucket, now)
        return True

    def _new_bucket(self, now: float) -> TokenBucket | None:
        rate, burst = self._rate
        bucket = TokenBucket(rate, burst, now) if rate else None
        return bucket if self.shadow is None else self.shadow.beside(bucket, now)


def _going_on(
    bucket: TokenBucket | None, fresh: TokenBucket | None, now: float
) -> TokenBucket | None:
    """Return a fresh bucket that holds no more than the one before it."""
    if bucket is not None and fresh is not None:
        fresh.go_on_from(bucket, now)
    return fresh
