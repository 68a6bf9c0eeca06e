from __future__ import annotations

import pytest

from wsprism_core.strict_yaml import YamlError, parse


def test_plain_documents() -> None:
    assert parse("a: {b: [1, yes, x]}") == {"a": {"b": [1, True, "x"]}}


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\na: 2",
        "a: {b: 1, b: 2}",
        "a: [",
        "!!python/object/apply:os.getcwd []",
        "a: !!python/name:os.system x",
        "a: 2020-13-99",
        "a: !!int x",
        "a: !!bool x",
        "a: !!timestamp x",
        "a: !!float x",
        "? [a]\n: 1",
        "? !!set {a}\n: 1",
        "a: 0b_",
        "[" * 10_000,
    ],
)
def test_what_is_refused(text: str) -> None:
    with pytest.raises(YamlError):
        parse(text)


def test_the_place_of_what_cannot_be_read_is_told() -> None:
    with pytest.raises(YamlError, match=r"cannot be read as timestamp(.|\n)*line 2"):
        parse("a: 1\nb: 2020-13-99")


def test_the_place_of_a_repeated_key_is_told() -> None:
    with pytest.raises(YamlError, match=r"'a' stands twice(.|\n)*line 2"):
        parse("a: 1\na: 2")
