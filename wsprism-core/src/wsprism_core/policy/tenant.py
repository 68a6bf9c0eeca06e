"""A tenant at run time: its limits and its policy, ready to be asked."""

from __future__ import annotations

from wsprism_core.config import (
    HotErrorMode,
    OnExceed,
    RateLimitScope,
    SessionMode,
    TenantConfig,
)
from wsprism_core.policy.allowlist import HotAllowlist, TextAllowlist
from wsprism_core.policy.limits import TokenBucket

__all__ = ("Tenant",)


class Tenant:
    """One isolated domain of users, rooms and policy.

    Args:
        config: Its section of the configuration.
        now: Seconds on the gateway's clock.

    Attributes:
        bucket: The rate limit that all its connections share, or None.
    """

    def __init__(self, config: TenantConfig, now: float) -> None:
        policy = config.policy
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
        self.bucket = (
            self._new_bucket(now)
            if self._scope is not RateLimitScope.CONNECTION
            else None
        )

    def connection_bucket(self, now: float) -> TokenBucket | None:
        """Return the rate limit of a new connection, or None where it has none."""
        if self._scope is RateLimitScope.TENANT:
            return None
        return self._new_bucket(now)

    def _new_bucket(self, now: float) -> TokenBucket | None:
        rate, burst = self._rate
        return TokenBucket(rate, burst, now) if rate else None
