"""Rooms: who is in them on this gateway, and the registry that finds them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from itertools import islice
from typing import Any

from wsprism_core.realtime.audience import Audience
from wsprism_core.realtime.channel import Channel
from wsprism_core.realtime.presence import PresenceBatch
from wsprism_core.realtime.session import Session
from wsprism_core.realtime.wire import Encoded, Wire

__all__ = ("FIRST_MEMBERS", "Membership", "Room", "RoomRegistry")

#: How many members `sys.joined` lists; `room.members` pages through the rest.
FIRST_MEMBERS = 100


class Membership:
    """One session's place in one room.

    Attributes:
        room: The room.
        session: The session.
        n: The member number; 0 for a quiet membership.
        quiet: An audience rather than company: no presence, no `sys.joined`.
        asked: Whether its client asked for it, and not a service.
        newest: The newest numbers of its sender in the room, by what they count; None
            until there is one.
        probed: The room's newest number when its session was pinged last.
        proven: The same of the last ping that was answered: so much has certainly
            arrived. Before the first one it is what the client said that it has.
        presence_probed: Up to which change of the room's members it had been told, when
            its session was pinged last.
        presence_proven: The same of the last ping that was answered; -1 before the
            first.
    """

    __slots__ = (
        "asked",
        "n",
        "newest",
        "presence_probed",
        "presence_proven",
        "probed",
        "proven",
        "quiet",
        "room",
        "session",
    )

    def __init__(self, room: Room, session: Session, n: int, *, quiet: bool) -> None:
        self.room = room
        self.session = session
        self.n = n
        self.quiet = quiet
        self.asked = False
        self.newest: dict[Hashable, int] | None = None
        self.probed = self.proven = room.channel.seq
        self.presence_probed = self.presence_proven = -1

    def probe(self) -> None:
        """Note that a ping goes out behind all that was sent."""
        self.probed = self.room.channel.seq
        self.presence_probed = self.room.told_version

    def prove(self) -> None:
        """Note that the last ping was answered: all that went before it has arrived."""
        self.proven = self.probed
        self.presence_proven = self.presence_probed

    def starts_behind(self, seq: int) -> None:
        """Note that all behind a number is sent now, and that none of it has arrived.

        What a ping has asked of before proves nothing of it.
        """
        self.probed = self.proven = seq

    def came_back(self, seq: int) -> None:
        """Note that its session goes on with a new connection.

        No ping of the one before is answered any more, and a ping of the new one proves
        nothing of what that one asked of. What was proven stays so.

        Args:
            seq: The number behind which all is sent now.
        """
        self.starts_behind(seq)
        self.presence_probed = self.presence_proven


class Room:
    """A room on this gateway.

    Args:
        tenant: The tenant's id.
        name: The room's name, unique in its tenant.
        alias: Stands for the room in hot frames; one per room on a gateway.
        company: How many rooms of each tenant have members, kept up to date here.

    Attributes:
        channel: The room as all gateways together see it.
        published: Messages and frames that were sent to its members here.
        audience: Its sessions by wire, so that a broadcast is encoded once for each.
        presence: Changes that the members have not been told yet.
        presence_due: Whether a batch is being collected.
        version: How often somebody came or went; it grows with each change.
        told_version: Up to which of the changes the members were told.
        told_count: How many members there are, as the members were told last; None
            while they are told who comes and goes.
        listed: What is told of the members as they are now, by wire and by how many
            may be listed, for all who come back; there until somebody comes or goes.
    """

    __slots__ = (
        "_company",
        "_first",
        "_members",
        "_quiet",
        "_users",
        "alias",
        "audience",
        "channel",
        "listed",
        "name",
        "presence",
        "presence_due",
        "published",
        "tenant",
        "told_count",
        "told_version",
        "version",
    )

    #: What may be deleted of a class that mypyc compiles.
    __deletable__ = ("channel",)

    channel: Channel

    def __init__(
        self, tenant: str, name: str, alias: int, company: Counter[str]
    ) -> None:
        self._company = company
        self._first: Sequence[dict[str, Any]] | None = None
        self.tenant = tenant
        self.name = name
        self.alias = alias
        self.audience: dict[Wire, Audience] = {}
        self.presence = PresenceBatch()
        self.presence_due = False
        self.told_count: int | None = None
        self.listed: dict[tuple[Wire, int], Encoded] = {}
        self.version = self.told_version = 0
        self.published = 0
        self._members: dict[int, Membership] = {}
        self._quiet: dict[Session, Membership] = {}
        self._users: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"<Room {self.name}@{self.tenant}>"

    @property
    def is_empty(self) -> bool:
        """Whether no session is in it, quiet ones counted."""
        return not self._members and not self._quiet

    @property
    def size(self) -> int:
        """How many memberships are on this gateway, quiet ones not counted."""
        return len(self._members)

    @property
    def users(self) -> int:
        """How many users are in it; a user with two connections counts once."""
        return len(self._users)

    def has_user(self, user: str) -> bool:
        """Whether one of the user's sessions is in it."""
        return user in self._users

    def member(self, n: int) -> Membership | None:
        """Return the membership with this number, if it is on this gateway."""
        return self._members.get(n)

    def members(self) -> Iterator[Membership]:
        """Yield the memberships on this gateway in the order of joining."""
        return iter(self._members.values())

    def first_members(self) -> Sequence[dict[str, Any]]:
        """Return the first members on all gateways, as `sys.joined` lists them.

        The rows are kept and shared. Made anew for each of a thousand who join in one
        turn, they took 22 KB a connection, and the heap did not shrink again.
        """
        if self._first is None:
            self._first = self.roster(limit=FIRST_MEMBERS)
        return self._first

    def entered(self, n: int, user: str) -> None:
        """Note a new member, on any gateway."""
        self.version += 1
        self.listed.clear()
        self.presence.enter(n, user)
        if self._first is not None and len(self._first) < FIRST_MEMBERS:
            self._first = None

    def exited(self, n: int) -> None:
        """Note that a member is gone, on any gateway."""
        self.version += 1
        self.listed.clear()
        self.presence.exit(n)
        if self._first and n <= self._first[-1]["n"]:
            self._first = None

    def roster(self, *, after: int = 0, limit: int = 100) -> list[dict[str, Any]]:
        """Return members on all gateways as presence tells them.

        Args:
            after: Only those with a larger number.
            limit: How many at the most.
        """
        members = self.channel.members().items()
        rows = ({"n": n, "user": user} for n, user in members if n > after)
        return list(islice(rows, limit))

    def sessions(self) -> Iterator[Session]:
        """Yield its sessions on this gateway, the quiet audience too."""
        for audience in self.audience.values():
            yield from audience

    def add(self, session: Session, *, quiet: bool) -> Membership:
        """Make a session a member; it is none yet."""
        n = 0 if quiet else self.channel.enter(session.user)
        membership = Membership(self, session, n, quiet=quiet)
        if quiet:
            self._quiet[session] = membership
        else:
            if not self._members:
                self._company[self.tenant] += 1
            self._members[n] = membership
            self._users[session.user] = self._users.get(session.user, 0) + 1
            session.active = membership
        session.memberships[self.name] = membership
        self.attach(session)
        return membership

    def attach(self, session: Session) -> None:
        """Send a member what the room has from here on."""
        audience = self.audience.get(session.wire)
        if audience is None:
            audience = self.audience[session.wire] = Audience(session.wire)
        audience.add(session)

    def detach(self, session: Session) -> None:
        """Send a member nothing more; where it is sent nothing already, do nothing."""
        audience = self.audience.get(session.wire)
        if audience is None or session not in audience.members:
            return
        audience.remove(session)
        if not audience:
            del self.audience[session.wire]

    def remove(self, membership: Membership) -> None:
        """End a membership."""
        session = membership.session
        self.detach(session)
        del session.memberships[self.name]
        if membership.quiet:
            del self._quiet[session]
            return
        if session.active is membership:
            session.active = None
        del self._members[membership.n]
        if not self._members:
            self._company[self.tenant] -= 1
        self._users[session.user] -= 1
        if not self._users[session.user]:
            del self._users[session.user]
        self.channel.exit(membership.n)


class RoomRegistry:
    """Every room that has a member on this gateway."""

    def __init__(self) -> None:
        self._by_name: dict[tuple[str, str], Room] = {}
        self._by_alias: dict[int, Room] = {}
        self._company: Counter[str] = Counter()
        self._aliases = 0

    def __len__(self) -> int:
        return len(self._by_name)

    def __iter__(self) -> Iterator[Room]:
        return iter(list(self._by_name.values()))

    def get(self, tenant: str, name: str) -> Room | None:
        """Return a room by its tenant and name."""
        return self._by_name.get((tenant, name))

    def by_alias(self, alias: int) -> Room | None:
        """Return the room that an alias stands for."""
        return self._by_alias.get(alias)

    def in_tenant(self, tenant: str) -> int:
        """Return how many rooms of a tenant have members, quiet ones not counted."""
        return self._company[tenant]

    def create(self, tenant: str, name: str) -> Room:
        """Add a room, which has no channel yet."""
        self._aliases += 1
        room = Room(tenant, name, self._aliases, self._company)
        self._by_name[tenant, name] = room
        self._by_alias[room.alias] = room
        return room

    def remove(self, room: Room) -> None:
        """Forget an empty room; its alias is not given again."""
        del self._by_name[room.tenant, room.name]
        del self._by_alias[room.alias]
