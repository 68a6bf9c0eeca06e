"""Direct rooms: a room of two users, by its name alone.

The name holds a digest of each of the two. So anybody can tell who may join, and
nothing has to be kept.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Final

__all__ = ("direct_room", "is_direct", "may_join_direct")

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
