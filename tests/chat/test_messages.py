from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from wsprism_chat.manifest import manifest

SCHEMAS: dict[str, TypeAdapter[Any]] = {
    inbound.name: TypeAdapter(inbound.schema)
    for inbound in manifest(lambda tenant, room, user: None).inbound
    if inbound.schema is not None
}


def check(type: str, data: Any) -> Any:
    """Check as the gateway does."""
    return SCHEMAS[type].validate_python(data, strict=True, extra="forbid")


@pytest.mark.parametrize(
    ("type", "data"),
    [
        ("send", {"msg": "hello"}),
        ("send", {"msg": "hello", "id": "mine", "reply_to": "0192f3c4d5e6f7a8b9c0"}),
        ("send", {"msg": "x", "id": "i" * 64}),
        ("history", None),
        ("history", {}),
        ("history", {"before": 0}),
        ("history", {"after": 2**53 - 1, "limit": 1}),
        ("history", {"limit": 100}),
        ("send", {"msg": "hello", "mentions": ["user:bob"] * 64}),
        ("edit", {"id": "m1", "msg": "hello", "version": 1}),
        ("delete", {"id": "m1"}),
        ("erase", {"user": "u" * 256}),
        ("typing", None),
        ("typing", {"on": False}),
        ("react", {"id": "m1", "emoji": "👍", "on": True}),
        ("read", None),
        ("read", {"seq": 0}),
        ("create", None),
        ("create", {"invite_only": True, "slow_ms": 86_400_000}),
        ("slow", {"ms": 0}),
        ("mute", {"user": "user:bob"}),
        ("ban", {"user": "user:bob", "for_s": 315_360_000}),
        ("open", {"user": "user:bob"}),
    ],
)
def test_good_data_is_handed_on_as_it_is(type: str, data: Any) -> None:
    assert check(type, data) == data


@pytest.mark.parametrize(
    ("type", "data"),
    [
        ("send", None),
        ("send", "hello"),
        ("send", {}),
        ("send", {"msg": ""}),
        ("send", {"msg": None}),
        ("send", {"msg": 1}),
        ("send", {"msg": "hello", "text": "hello"}),
        ("send", {"msg": "hello", "from": "user:bob"}),
        ("send", {"msg": "hello", "id": ""}),
        ("send", {"msg": "hello", "id": 7}),
        ("send", {"msg": "hello", "id": "i" * 65}),
        ("send", {"msg": "hello", "reply_to": None}),
        ("send", {"msg": "hello", "reply_to": "http://evil.example"}),
        ("send", {"msg": "hello", "reply_to": "0192f3c4d5e6f7a8b9c"}),
        ("send", {"msg": "hello", "reply_to": "0192f3c4d5e6f7a8b9c0\n"}),
        ("history", []),
        ("history", {"before": -1}),
        ("history", {"before": 2**53}),
        ("history", {"after": "1"}),
        ("history", {"after": 1.0}),
        ("history", {"limit": True}),
        ("history", {"limit": 0}),
        ("history", {"limit": 101}),
        ("history", {"offset": 3}),
        ("send", {"msg": "hello", "mentions": ["user:bob"] * 65}),
        ("send", {"msg": "hello", "mentions": "user:bob"}),
        ("edit", {"msg": "hello"}),
        ("edit", {"id": "m1", "msg": ""}),
        ("edit", {"id": "m1", "msg": "x", "version": 0}),
        ("typing", {"on": 1}),
        ("react", {"id": "m1", "emoji": ""}),
        ("react", {"id": "m1", "emoji": "e" * 33}),
        ("read", {"seq": -1}),
        ("create", {"slow_ms": 86_400_001}),
        ("slow", {}),
        ("slow", {"ms": -1}),
        ("mute", {"user": ""}),
        ("mute", {"user": "user:bob", "for_s": 0}),
        ("ban", {"user": "user:bob", "for_s": 315_360_001}),
        ("open", {"user": "u" * 257}),
    ],
)
def test_bad_data_does_not_fit(type: str, data: Any) -> None:
    with pytest.raises(ValidationError):
        check(type, data)


@pytest.mark.parametrize(
    "emoji",
    [
        *("👍", "❤️", "🏳️‍🌈", "👩🏽‍🚀", "1️⃣", "🇩🇪", "🏴󠁧󠁢󠁥󠁮󠁧󠁿"),
        *("+", "+1", "tada", ":tada:", ":+1:", ":white_check_mark:", "e" * 32),
    ],
)
def test_what_is_a_reaction(emoji: str) -> None:
    assert check("react", {"id": "m1", "emoji": emoji})["emoji"] == emoji


@pytest.mark.parametrize(
    "emoji",
    [
        *("buy this", "evil.example", "http://x", "a/b", "a:b", ":", "::", ":a", "a:"),
        *("👍\n", "\t", "\0", "\x7f", "\x85", "\xa0", "\u2028", "\u202e", "\u200b"),
        *("", "e" * 33, f":{'e' * 31}:"),
    ],
)
def test_what_is_none(emoji: str) -> None:
    with pytest.raises(ValidationError):
        check("react", {"id": "m1", "emoji": emoji})
