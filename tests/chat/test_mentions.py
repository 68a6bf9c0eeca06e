from __future__ import annotations

import pytest

from wsprism_chat.mentions import Retries, tokens


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("@ann", [("user:ann", "ann")]),
        ("hi @ann, @bob.", [("user:ann", "ann"), ("user:bob", "bob")]),
        ("(@user:ann)", [("user:ann",)]),
        ("@a.b-c: hello", [("user:a.b-c", "a.b-c")]),
        ("mail me@example.com", []),
        ("@@ann", []),
        ("@", []),
        ("@ ann", []),
        ("@жанна", [("user:жанна", "жанна")]),
    ],
)
def test_names_are_found_where_people_write_them(
    text: str, names: list[tuple[str, ...]]
) -> None:
    assert list(tokens(text, 9)) == names


def test_only_so_many_are_looked_at() -> None:
    assert len(list(tokens("@ann " * 100, 3))) == 3
    assert list(tokens("@ann", 0)) == []


def test_a_retry_is_known_for_a_while() -> None:
    retries = Retries(most=2)
    assert retries.is_first("r1", "ann", "1")
    assert not retries.is_first("r1", "ann", "1")
    assert retries.is_first("r2", "ann", "1")
    assert retries.is_first("r1", "bob", "1")
    assert retries.is_first("r1", "ann", "1")


def test_without_an_id_there_are_no_retries() -> None:
    retries = Retries()
    assert retries.is_first("r1", "ann", None)
    assert retries.is_first("r1", "ann", None)
