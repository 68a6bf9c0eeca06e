"""One-time tickets: an operator asks for one, and one connection takes it."""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter, OrderedDict
from typing import Final

from wsprism_core.api import Identity
from wsprism_core.auth_config import ConnectTicketsConfig
from wsprism_core.protocol.errors import WsPrismError

__all__ = ("ConnectTickets", "ConnectTicketsFull")

#: What each begins with, so that it is told from a token; the rest is 256 bits.
_PREFIX: Final = "ct_"
_BYTES: Final = 32


class ConnectTicketsFull(WsPrismError):
    """As many tickets wait for their connection as may."""

    def __str__(self) -> str:
        return "as many tickets wait for their connection as may; see max_pending"


class ConnectTickets:
    """The tickets of one tenant that nobody has used yet.

    Only their digests are kept: whoever sees the memory of the gateway has no ticket.
    They are found by that digest, so that the time it takes tells nothing of one.

    Args:
        config: How long they are good, and how many may wait.

    Attributes:
        counts: What became of them: `issued`, `used`, `expired`, `refused`.
    """

    def __init__(self, config: ConnectTicketsConfig) -> None:
        self.counts: Counter[str] = Counter()
        self._ttl = config.ttl_ms / 1000
        self._most = config.max_pending
        # All are good for the same time, so the first is the first to go.
        self._pending: OrderedDict[bytes, tuple[float, Identity]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._pending)

    def issue(self, identity: Identity, now: float) -> str:
        """Return a ticket for whoever shows it first.

        Args:
            identity: Who that will be.
            now: Seconds on a clock that never goes back.

        Raises:
            ConnectTicketsFull: There are as many as may be; those stay good.
        """
        self._forget_expired(now)
        if len(self._pending) >= self._most:
            self.counts["refused"] += 1
            raise ConnectTicketsFull
        ticket = _PREFIX + secrets.token_urlsafe(_BYTES)
        self._pending[_digest(ticket)] = now + self._ttl, identity
        self.counts["issued"] += 1
        return ticket

    def redeem(self, ticket: str, now: float) -> Identity | None:
        """Return who the bearer of a ticket is, once; None where it is not good.

        Args:
            ticket: What was shown.
            now: Seconds on a clock that never goes back.
        """
        if not ticket.startswith(_PREFIX):
            return None
        self._forget_expired(now)
        found = self._pending.pop(_digest(ticket), None)
        if found is None:
            return None
        self.counts["used"] += 1
        return found[1]

    def _forget_expired(self, now: float) -> None:
        while self._pending:
            digest, (until, _) = next(iter(self._pending.items()))
            if now < until:
                return
            del self._pending[digest]
            self.counts["expired"] += 1


def _digest(ticket: str) -> bytes:
    # What a client shows is any text, lone surrogates too.
    return hashlib.sha256(ticket.encode("utf-8", "surrogatepass")).digest()
