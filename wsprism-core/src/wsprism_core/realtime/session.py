"""Sessions, and the registry that finds them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

from wsprism_core.realtime.wire import Wire

if TYPE_CHECKING:
    from wsprism_core.realtime.outbox import Outbox
    from wsprism_core.realtime.rooms import Membership

__all__ = ("Session", "SessionLink", "SessionRegistry")


class SessionLink(Protocol):
    """What a session needs of its connection."""

    wire: Wire

    def write(self, data: bytes) -> bool:
        """Hand bytes over; return whether the socket takes more."""

    def unsent(self) -> int:
        """Return how many of the bytes handed over the socket has not taken yet."""

    def close(self, code: int, reason: str) -> None:
        """Send a close and end."""


class Session:
    """One authenticated connection.

    Args:
        id: Unique on this gateway.
        user: The user's id, unique in its tenant.
        tenant: The tenant's id.
        link: Its connection.
        outbox: What waits for it.
        opened: When it began, in seconds of the gateway's clock.

    Attributes:
        memberships: By room name, in the order of joining.
        active: The membership that began last, unless it ended.
        allowed_rooms: The rooms that its client may ask to join, each by its name or by
            the beginning of some followed by a `*`; None is every room.
        newest: The newest numbers of its sender outside of any room, by what they
            count; None until there is one.
        resumed: How often it has come back on a new connection.
        wire: The link's wire, bound here because delivery reads it often.
    """

    __slots__ = (
        "__weakref__",
        "active",
        "allowed_rooms",
        "id",
        "link",
        "memberships",
        "newest",
        "opened",
        "outbox",
        "resumed",
        "tenant",
        "user",
        "wire",
    )

    def __init__(
        self,
        id: str,
        user: str,
        tenant: str,
        link: SessionLink,
        outbox: Outbox,
        opened: float = 0.0,
    ) -> None:
        self.id = id
        self.opened = opened
        self.user = user
        self.tenant = tenant
        self.link = link
        self.wire = link.wire
        self.outbox = outbox
        self.memberships: dict[str, Membership] = {}
        self.active: Membership | None = None
        self.allowed_rooms: tuple[str, ...] | None = None
        self.newest: dict[Hashable, int] | None = None
        self.resumed = 0

    def rebind(self, link: SessionLink, outbox: Outbox) -> None:
        """Go on with a new connection; it is in no audience meanwhile."""
        self.link = link
        self.wire = link.wire
        self.outbox = outbox

    def __repr__(self) -> str:
        return f"<Session {self.id} {self.user}@{self.tenant}>"

    @property
    def taken(self) -> int:
        """Bytes that the socket has taken since it was full; it only grows."""
        return self.outbox.handed - self.link.unsent()

    @property
    def active_room(self) -> str | None:
        """The room joined last, if the session is still in it."""
        return None if self.active is None else self.active.room.name

    @property
    def rooms(self) -> tuple[str, ...]:
        """Names of the rooms that it is in, in the order of joining."""
        members = self.memberships.values()
        return tuple(one.room.name for one in members if not one.quiet)

    def is_member(self, room: str) -> bool:
        """Whether it is in the room; a quiet membership is none."""
        membership = self.memberships.get(room)
        return membership is not None and not membership.quiet

    def may_enter(self, room: str) -> bool:
        """Whether its client may ask to join a room, as far as its ticket says."""
        allowed = self.allowed_rooms
        return allowed is None or any(
            room.startswith(one[:-1]) if one.endswith("*") else room == one
            for one in allowed
        )

    def number_in(self, room: str) -> int:
        """Return its member number.

        Raises:
            KeyError: It is not in the room.
        """
        return self.memberships[room].n


class SessionRegistry:
    """Every open session, by id and by user."""

    def __init__(self) -> None:
        self._by_id: dict[str, Session] = {}
        self._by_user: dict[tuple[str, str], dict[str, Session]] = {}
        self._per_tenant: dict[str, int] = {}
        self._issued: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._by_id.values()))

    def new_id(self, tenant: str) -> str:
        """Return an id that no session of this gateway has had.

        Each tenant's are counted by themselves: from a number that all had in common,
        a client could tell how many connections the others have.
        """
        self._issued[tenant] += 1
        return f"{tenant}-{self._issued[tenant]:x}"

    def add(self, session: Session) -> None:
        """Register a session under its id and user."""
        self._by_id[session.id] = session
        user = (session.tenant, session.user)
        self._by_user.setdefault(user, {})[session.id] = session
        tenants = self._per_tenant
        tenants[session.tenant] = tenants.get(session.tenant, 0) + 1

    def remove(self, session: Session) -> bool:
        """Forget a session; return whether it was there."""
        if self._by_id.pop(session.id, None) is None:
            return False
        user = (session.tenant, session.user)
        sessions = self._by_user[user]
        del sessions[session.id]
        if not sessions:
            del self._by_user[user]
        self._per_tenant[session.tenant] -= 1
        if not self._per_tenant[session.tenant]:
            del self._per_tenant[session.tenant]
        return True

    def get(self, id: str) -> Session | None:
        """Return an open session by its id."""
        return self._by_id.get(id)

    def of_user(self, tenant: str, user: str) -> tuple[Session, ...]:
        """Return the open sessions of a user, oldest first."""
        return tuple(self._by_user.get((tenant, user), {}).values())

    def in_tenant(self, tenant: str) -> int:
        """Return how many sessions a tenant has."""
        return self._per_tenant.get(tenant, 0)

    def per_tenant(self) -> Mapping[str, int]:
        """Return the number of sessions of each tenant that has any."""
        return self._per_tenant
