"""Development tickets: `dev` is `user:dev`, `dev:ann` is `user:ann`."""

from __future__ import annotations

import re

__all__ = ("development_user",)

_TICKET = re.compile(r"dev(?::([A-Za-z0-9_.@-]{1,64}))?\Z")


def development_user(ticket: str) -> str | None:
    """Return the user that a development ticket names, or None where it is none."""
    match = _TICKET.match(ticket)
    return None if match is None else f"user:{match[1] or 'dev'}"
