"""Handshakes under way: how many there may be, of everybody and of each address.

A socket that is accepted and says nothing costs a descriptor until its deadline. Those
are cheap to open and so are bounded from the moment of accept; what is over the bound
is turned away at once, so that who holds on to nothing still gets in.
"""

from __future__ import annotations

from typing import Final

from wsprism_core.policy.proxies import limiter_key
from wsprism_core.protocol.layout import CloseCode, ErrorCode
from wsprism_core.transports.port import Refusal

__all__ = ("HalfOpen", "Place")

#: Seconds until one who was turned away may try again; handshakes are over sooner.
RETRY_SECONDS: Final = 1


class HalfOpen:
    """Counts handshakes under way; 0 is no bound.

    Args:
        total: How many of all addresses together.
        per_address: How many of one; an IPv6 address counts as its network.

    Attributes:
        count: How many there are.
    """

    __slots__ = ("_by_address", "_per_address", "_total", "count")

    def __init__(self, total: int = 8192, per_address: int = 2048) -> None:
        self._total = total
        self._per_address = per_address
        self._by_address: dict[str, int] = {}
        self.count = 0

    def enter(self, now: float) -> Place | Refusal:
        """Count a socket that was just accepted; nothing is known of it yet."""
        if self._total and self.count >= self._total:
            return _FULL
        self.count += 1
        return Place(self, now)

    def count_address(self, key: str) -> bool:
        """Count one more of an address; return whether that is in bounds."""
        here = self._by_address.get(key, 0)
        if self._per_address and here >= self._per_address:
            return False
        self._by_address[key] = here + 1
        return True

    def leave(self, key: str | None) -> None:
        """Count one less."""
        self.count -= 1
        if key is None:
            return
        here = self._by_address.pop(key) - 1
        if here:
            self._by_address[key] = here


class Place:
    """One handshake that is counted until it is over.

    Args:
        half_open: Where it is counted.
        since: When its socket was accepted, in seconds on the event loop's clock.
    """

    __slots__ = ("_half_open", "_key", "since")

    def __init__(self, half_open: HalfOpen, since: float) -> None:
        self.since = since
        self._half_open: HalfOpen | None = half_open
        self._key: str | None = None

    def belongs_to(self, address: str) -> Refusal | None:
        """Count it under an address, once; say whether that has one too many."""
        if self._half_open is None or self._key is not None:
            return None
        key = limiter_key(address)
        if not self._half_open.count_address(key):
            return _TOO_MANY
        self._key = key
        return None

    def leave(self) -> None:
        """Count it no more; the second time this does nothing."""
        half_open, self._half_open = self._half_open, None
        if half_open is not None:
            half_open.leave(self._key)


_FULL: Final = Refusal(
    503,
    CloseCode.TRY_AGAIN_LATER,
    "too many handshakes under way",
    retry_after=RETRY_SECONDS,
    code=ErrorCode.RESOURCE_EXHAUSTED,
)
_TOO_MANY: Final = Refusal(
    429,
    CloseCode.TRY_AGAIN_LATER,
    "too many handshakes under way from this address",
    retry_after=RETRY_SECONDS,
    code=ErrorCode.RATE_LIMITED,
)
