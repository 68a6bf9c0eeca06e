from __future__ import annotations

import pytest

from wsprism_core.policy.names import is_room_pattern, is_user


@pytest.mark.parametrize("text", ["a", "user:ann", "Ann Lee", "x" * 128, "ä"])
def test_users(text: str) -> None:
    assert is_user(text)


@pytest.mark.parametrize("text", ["", "x" * 129, "a\nb", "a\x00", "\ud800", 7, None])
def test_what_is_no_user(text: object) -> None:
    assert not is_user(text)


@pytest.mark.parametrize(
    "text", ["lobby", "team-*", "*", "x" * 128, "x" * 127 + "*", "a.b:c@d_e"]
)
def test_rooms_and_patterns(text: str) -> None:
    assert is_room_pattern(text)


@pytest.mark.parametrize(
    "text",
    ["", "a b", "*x", "a*b", "**", "lobby\n", "x" * 129, "x" * 128 + "*", "ä", 7, None],
)
def test_what_is_neither(text: object) -> None:
    assert not is_room_pattern(text)
