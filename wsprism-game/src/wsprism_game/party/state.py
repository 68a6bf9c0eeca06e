"""What a party is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

__all__ = ("ROOM_PREFIX", "Invite", "Party")

#: Rooms of this prefix belong to parties; the party's id follows.
ROOM_PREFIX: Final = "party:"


@dataclass(frozen=True, slots=True)
class Invite:
    """A user's leave to join a party.

    Args:
        party: The party's id.
        user: Who is invited.
        sender: The member who invited.
        ends: When it expires, in seconds on the gateway's clock.
    """

    party: str
    user: str
    sender: str
    ends: float

    def left_ms(self, now: float) -> int:
        """Return how long it is still good, in milliseconds."""
        return max(0, round((self.ends - now) * 1000))


@dataclass(slots=True)
class Party:
    """A group of users.

    Attributes:
        id: Never given to another party.
        leader: One of the members.
        max_size: The most members.
        version: Grows by one with each change.
        members: In the order of joining; the value is the version that joining made.
        invites: Open ones, by user, oldest first.
    """

    id: str
    leader: str
    max_size: int
    version: int = 0
    members: dict[str, int] = field(default_factory=dict)
    invites: dict[str, Invite] = field(default_factory=dict)

    @property
    def room(self) -> str:
        """The name of its room, whose members are the members' connections."""
        return ROOM_PREFIX + self.id

    @property
    def full(self) -> bool:
        """Whether nobody else fits in."""
        return len(self.members) >= self.max_size

    def enter(self, user: str) -> None:
        """Add a member, behind all others."""
        self.members[user] = self.version + 1

    def exit(self, user: str) -> None:
        """Remove a member; the one who joined next leads where the leader went."""
        del self.members[user]
        if user == self.leader and self.members:
            self.leader = next(iter(self.members))
