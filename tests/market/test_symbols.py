from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsprism_market.symbols import MAX_NAME_LENGTH, MAX_WILDCARDS, Pattern, is_symbol

# Few letters, so that pieces overlap and repeat.
symbols = st.text("ab", min_size=1, max_size=8)
patterns = st.text("ab*", min_size=1, max_size=8).filter(
    lambda text: 1 <= text.count("*") <= MAX_WILDCARDS
)


@pytest.mark.parametrize(
    "name", ["BTC-USD", "a", "BINANCE:BTC_USDT", "ES.Z5", "X@nyse", "A" * 64]
)
def test_symbols(name: str) -> None:
    assert is_symbol(name)


@pytest.mark.parametrize(
    "name", ["", "BTC/USD", "BTC USD", "BTC-USD\n", "ETH-*", "é", "\uff21", "A" * 65]
)
def test_no_symbols(name: str) -> None:
    assert not is_symbol(name)


@pytest.mark.parametrize(
    "text",
    ["", "BTC-USD", "****", "a*b*c*d*e", "a b*", "*\n", "[ab]*", "?*", "A" * 64 + "*"],
)
def test_no_patterns(text: str) -> None:
    with pytest.raises(ValueError, match="is no pattern"):
        Pattern(text)


@pytest.mark.parametrize(
    ("pattern", "symbol", "matches"),
    [
        ("*", "BTC-USD", True),
        ("ETH-*", "ETH-USD", True),
        ("ETH-*", "ETH-", True),
        ("ETH-*", "ETH", False),
        ("ETH-*", "WETH-USD", False),
        ("*-USD", "BTC-USD", True),
        ("*-USD", "BTC-USDT", False),
        ("*-USD", "A.B-C-USD", True),
        ("BTC-*-C", "BTC-25DEC-60000-C", True),
        ("*5DEC*", "BTC-25DEC-60000-C", True),
        ("eth-*", "ETH-USD", False),
        ("aba*aba", "aba", False),
        ("aba*aba", "ababa", False),
        ("aba*aba", "abaaba", True),
        ("a*b*b", "ab", False),
        ("*ab*b", "xab", False),
        ("*ab*ab*", "xabx", False),
        ("*ab*ab*", "xabab", True),
        ("*.a*b", "x.a.b", True),
        ("*.a*b", "xya.b", False),
        ("**", "x", True),
    ],
)
def test_matches(pattern: str, symbol: str, matches: bool) -> None:
    assert Pattern(pattern).matches(symbol) is matches


@given(patterns, symbols)
def test_matches_as_the_standard_library_does(pattern: str, symbol: str) -> None:
    assert Pattern(pattern).matches(symbol) is fnmatchcase(symbol, pattern)


@given(st.lists(symbols, min_size=2, max_size=MAX_WILDCARDS + 1))
def test_a_pattern_matches_what_its_wildcards_stand_for(pieces: list[str]) -> None:
    assert Pattern("*".join(pieces)).matches("xyz".join(pieces))
    assert Pattern("*".join(pieces)).matches("".join(pieces))


def test_longest_pattern() -> None:
    assert Pattern("A" * (MAX_NAME_LENGTH - 1) + "*").matches("A" * MAX_NAME_LENGTH)
