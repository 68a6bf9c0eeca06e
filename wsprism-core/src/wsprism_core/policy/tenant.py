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
        self._spent = SpentLimits(policy.rate_limit_max_spent)
        self.bucket = (
            self._new_bucket(now)
            if self._scope is not RateLimitScope.CONNECTION
            else None
        )

    @property
    def spent_limits(self) -> int:
        """How many users have left and have not all of their limit back yet."""
        return len(self._spent)

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

    def _new_bucket(self, now: float) -> TokenBucket | None:
        rate, burst = self._rate
        bucket = TokenBucket(rate, burst, now) if rate else None
        return bucket if self.shadow is None else self.shadow.beside(bucket, now)
