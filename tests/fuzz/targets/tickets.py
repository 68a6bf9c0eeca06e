"""Development tickets: a user that can be told from others, or none."""

from __future__ import annotations

from wsprism_core.policy.tickets import development_user


def target(data: bytes) -> None:
    ticket = data.decode("utf-8", "surrogateescape")
    user = development_user(ticket)
    if user is not None:
        assert user == f"user:{ticket.removeprefix('dev:')}"
        assert user.isascii()
        assert user.isprintable()
