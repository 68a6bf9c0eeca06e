from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from wsprism_chat.manifest import CHAT

SCHEMAS: dict[str, TypeAdapter[Any]] = {
    inbound.name: TypeAdapter(inbound.schema) for inbound in CHAT.inbound
}


def check(type: str, data: Any) -> Any:
    """Check as the gateway does."""
    return SCHEMAS[type].validate_python(data, strict=True, extra="forbid")


@pytest.mark.parametrize(
    ("type", "data"),
    [
        ("send", {"msg": "hello"}),
        ("send", {"msg": "hello", "id": "mine", "reply_to": "id0"}),
        ("send", {"msg": "x", "id": "i" * 64}),
        ("history", None),
        ("history", {}),
        ("history", {"before": 0}),
        ("history", {"after": 2**53 - 1, "limit": 1}),
        ("history", {"limit": 100}),
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
        ("send", {"msg": "hello", "reply_to": "i" * 65}),
        ("history", []),
        ("history", {"before": -1}),
        ("history", {"before": 2**53}),
        ("history", {"after": "1"}),
        ("history", {"after": 1.0}),
        ("history", {"limit": True}),
        ("history", {"limit": 0}),
        ("history", {"limit": 101}),
        ("history", {"offset": 3}),
    ],
)
def test_bad_data_does_not_fit(type: str, data: Any) -> None:
    with pytest.raises(ValidationError):
        check(type, data)
