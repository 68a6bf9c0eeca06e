from __future__ import annotations

import pytest

from wsprism_core.strict_yaml import YamlError, parse


def test_plain_documents() -> None:
    assert parse("a: {b: [1, yes, x]}").value == {"a": {"b": [1, True, "x"]}}


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


@pytest.mark.parametrize(
    "secret",
    [
        *(
            "*hush",
            "!hush",
            "!hush x",
            "!!hush x",
            "!hush!hush x",
            "!hush*hush",
            "!<hush",
        ),
        *("{hush: [}", "[hush", '"hush', "'hush", '"\\qhush"', "hush: hush", "@hush"),
        *("%hush", "`hush", "|hush", ">hush", "!!int hush", "- hush"),
    ],
)
def test_what_is_wrong_is_told_without_the_value(secret: str) -> None:
    # It may be the key of an operator, and the reason stands in the log.
    with pytest.raises(YamlError, match="line ") as refused:
        parse(f"a:\n  key: {secret}\nb: 1\n")
    assert "hush" not in str(refused.value)


def test_a_value_without_its_quotes_is_told_to_need_them() -> None:
    for text in "*hush", "!hush":
        with pytest.raises(YamlError, match=r"has to be in quotes(.|\n)*line 2"):
            parse(f"a:\n  key: {text}")


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ((), 1),
        (("a",), 1),
        (("b", "c"), 3),
        (("b", "list", 1), 6),
        (("b", "list", 1, "x"), 6),
        (("b", "list", 9), 4),
        (("b", "missing"), 2),
        # What is no key is passed over.
        (("b", "tag", "c"), 3),
        (("b", "7"), 7),
    ],
)
def test_where_things_stand(path: tuple[str | int, ...], line: int) -> None:
    document = parse("a: 1\nb:\n  c: 2\n  list:\n  - {x: 1}\n  - x: 2\n  7: seven\n")
    assert document.line_of(path) == line


def test_an_empty_text_has_no_lines() -> None:
    document = parse("")
    assert (document.value, document.line_of(())) == (None, None)
