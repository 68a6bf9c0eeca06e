from __future__ import annotations

import pytest

from wsprism_core.policy.tickets import development_user


@pytest.mark.parametrize(
    ("ticket", "user"),
    [
        ("dev", "user:dev"),
        ("dev:ann", "user:ann"),
        ("dev:ann.b_c-d@e", "user:ann.b_c-d@e"),
        ("dev:" + "x" * 64, "user:" + "x" * 64),
    ],
)
def test_development_tickets_name_their_user(ticket: str, user: str) -> None:
    assert development_user(ticket) == user


@pytest.mark.parametrize(
    "ticket",
    [
        "",
        "DEV",
        "dev:",
        "dev:a b",
        "dev:a\n",
        "dev\n",
        "dev:" + "x" * 65,
        "devil",
        "dev:ä",
    ],
)
def test_anything_else_is_none(ticket: str) -> None:
    assert development_user(ticket) is None
