"""Direct rooms: a room of two users, by its name alone.

The name holds a digest of each of the two. So anybody can tell who may join, and
nothing has to be kept.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Final

from wsprism_chat.messages import UserName
from wsprism_chat.refusals import bad_request, exhausted
from wsprism_chat.surroundings import Surroundings
from wsprism_core import Action, JoinRoom, Push, Reply, Session

__all__ = ("DirectRooms", "direct_room", "is_direct", "may_join_direct")

_PREFIX: Final = "dm:"
#: Characters of a digest: 128 bits in hexadecimal.
_DIGEST: Final = 32
_NAME: Final = re.compile(rf"dm:([0-9a-f]{{{_DIGEST}}})\.([0-9a-f]{{{_DIGEST}}})")


def direct_room(one: str, other: str) -> str:
    """Return the name of two users' room, the same whoever asks."""
    first, second = sorted((_digest(one), _digest(other)))
    return f"{_PREFIX}{first}.{second}"


def is_direct(room: str) -> bool:
    """Whether a name is kept for direct rooms."""
    return room.startswith(_PREFIX)


def may_join_direct(user: str, room: str) -> bool:
    """Whether a user is one of the two whose room it is."""
    found = _NAME.fullmatch(room)
    # The other order is another name, and no room of ours.
    return (
        found is not None
        and found[1] <= found[2]
        and _digest(user) in (found[1], found[2])
    )


def _digest(user: str) -> str:
    return sha256(user.encode()).hexdigest()[:_DIGEST]


class DirectRooms:
    """The direct rooms of one tenant's users.

    Args:
        around: The gateway.
        most: How many one session may be in.
    """

    def __init__(self, around: Surroundings, most: int) -> None:
        self._around = around
        self._most = most

    def open(self, session: Session, data: UserName) -> list[Action]:
        """Open the direct room with another user; both are joined where connected.

        Raises:
            ProtocolError: `BAD_REQUEST`, it is oneself; `RESOURCE_EXHAUSTED`, one is in
                as many direct rooms as one may.
        """
        user, other = session.user, data["user"]
        if user == other:
            raise bad_request("a direct room is with somebody else")
        room = direct_room(user, other)
        if not session.is_member(room) and self._is_full(session):
            raise exhausted("you are in as many direct rooms as you may; leave one")
        actions: list[Action] = []
        for who, whom in (user, other), (other, user):
            for one in self._around.sessions_of(who):
                if one.is_member(room) or self._is_full(one):
                    continue
                actions.append(JoinRoom(one.id, room, active=False))
                if one.id != session.id:
                    told = {"room": room, "user": whom}
                    actions.append(Push("opened", told, session=one.id))
        return [*actions, Reply("opened", {"room": room, "user": other})]

    def _is_full(self, session: Session) -> bool:
        rooms = sum(is_direct(room) for room in session.rooms)
        return rooms >= self._most
