"""What tickets name: users, and rooms."""

from __future__ import annotations

import re
from typing import Final, TypeGuard

__all__ = ("MAX_USER_CHARS", "is_room_pattern", "is_user")

#: The longest id of a user, in characters.
MAX_USER_CHARS: Final = 128

_PATTERN: Final = re.compile(r"(?:[A-Za-z0-9_.:@-]{1,128}|[A-Za-z0-9_.:@-]{0,127}\*)\Z")


def is_user(text: object) -> TypeGuard[str]:
    """Whether it can be the id of a user: one line that can be read."""
    return (
        isinstance(text, str) and 0 < len(text) <= MAX_USER_CHARS and text.isprintable()
    )


def is_room_pattern(text: object) -> TypeGuard[str]:
    """Whether it is a room's name, or the beginning of some followed by a `*`."""
    return isinstance(text, str) and _PATTERN.match(text) is not None
