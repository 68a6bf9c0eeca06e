"""Tickets that are good no more before their time."""

from __future__ import annotations

from wsprism_core.api import Identity
from wsprism_core.protocol.errors import WsPrismError

__all__ = ("Revocations", "RevocationsFull")


class RevocationsFull(WsPrismError):
    """As many revocations are remembered as may be."""

    def __str__(self) -> str:
        return (
            "as many revocations are remembered as may be: what this one would refuse"
            " is let in again; see gateway.max_revocations"
        )


class Revocations:
    """What is revoked: single tickets, and all that a user had at a moment.

    It forgets nothing that may still be good: at the bound a new one is refused, and
    the operator told.

    Args:
        most: How many are remembered.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        # Until when; and for users from when.
        self._tickets: dict[tuple[str, str], float] = {}
        self._users: dict[tuple[str, str], tuple[float, float]] = {}

    def __len__(self) -> int:
        return len(self._tickets) + len(self._users)

    def add_ticket(self, tenant: str, ticket_id: str, *, until: float) -> None:
        """Refuse one ticket.

        Args:
            tenant: The tenant that it is for.
            ticket_id: The ticket's id.
            until: When it expires by itself, in unix seconds.

        Raises:
            RevocationsFull: There are as many as may be.
        """
        key = (tenant, ticket_id)
        until = max(until, self._tickets.get(key, until))
        self._make_room(is_new=key not in self._tickets)
        self._tickets[key] = until

    def add_user(self, tenant: str, user: str, *, now: float, until: float) -> None:
        """Refuse every ticket of a user that was issued until now.

        Args:
            tenant: The user's tenant.
            user: The user's id.
            now: Unix seconds.
            until: When they have all expired by themselves, in unix seconds.

        Raises:
            RevocationsFull: There are as many as may be.
        """
        key = (tenant, user)
        self._make_room(is_new=key not in self._users)
        self._users[key] = now, until

    def cover(self, identity: Identity, now: float) -> bool:
        """Whether a ticket is revoked.

        One that does not say when it was issued counts as issued before.

        Args:
            identity: What it says.
            now: Unix seconds.
        """
        tenant = identity.tenant
        if identity.ticket_id is not None:
            if now < self._tickets.get((tenant, identity.ticket_id), 0.0):
                return True
        revoked = self._users.get((tenant, identity.user))
        if revoked is None or now >= revoked[1]:
            return False
        return identity.issued is None or identity.issued <= revoked[0]

    def forget_past(self, now: float) -> None:
        """Forget what has expired by itself."""
        for ticket in [one for one, until in self._tickets.items() if until <= now]:
            del self._tickets[ticket]
        for user in [one for one, (_, until) in self._users.items() if until <= now]:
            del self._users[user]

    def _make_room(self, *, is_new: bool) -> None:
        if is_new and len(self) >= self._most:
            raise RevocationsFull
