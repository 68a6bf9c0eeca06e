from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsprism_market.quotes import MAX_MANTISSA, MAX_SCALE, Quote, parse_quote


def parse(bid: str, ask: str = "1", last: str = "1") -> Quote:
    return parse_quote("X", 7, bid=bid, ask=ask, last=last)


def test_the_finest_price_gives_the_scale() -> None:
    quote = parse_quote("BTC-USD", 1_700, bid="65123.4", ask="65123.45", last="65123")
    assert quote == Quote("BTC-USD", 1_700, 2, 6_512_340, 6_512_345, 6_512_300)


@pytest.mark.parametrize(
    ("text", "scale", "mantissa"),
    [
        ("0.1", 1, 1),
        ("100.50", 2, 10_050),
        ("-37.63", 2, -3_763),
        ("1e-05", 5, 1),
        ("1.5E3", 0, 1_500),
        ("0", 0, 0),
        ("-0", 0, 0),
        ("0.000000000000001", MAX_SCALE, 1),
        ("9007199254740991", 0, MAX_MANTISSA),
    ],
)
def test_exact(text: str, scale: int, mantissa: int) -> None:
    quote = parse(text, text, text)
    assert (quote.scale, quote.bid, quote.ask, quote.last) == (
        scale,
        mantissa,
        mantissa,
        mantissa,
    )


@pytest.mark.parametrize(
    "text",
    [
        *("", "abc", "1,5", "1_000", " 1", "1\n", "NaN", "Infinity", "+1", ".5", "1."),
        *("0x1", "\uff11", "1e999999999", "1e-999999999"),
    ],
)
def test_no_decimal_number(text: str) -> None:
    with pytest.raises(ValueError, match="ask is no decimal number"):
        parse("1", text)


@pytest.mark.parametrize("text", ["9007199254740992", "1e99", "-1e20", "0" + "9" * 31])
def test_too_many_digits(text: str) -> None:
    with pytest.raises(ValueError, match="last has too many digits"):
        parse("1", "1", text)


def test_too_large_at_the_scale_of_another_price() -> None:
    with pytest.raises(ValueError, match="bid has too many digits"):
        parse("9007199254740991", "0.1")


@pytest.mark.parametrize("text", ["0.0000000000000001", "1e-99", "0." + "1" * 32])
def test_too_fine(text: str) -> None:
    with pytest.raises(ValueError, match="more than 15 digits behind"):
        parse(text)


prices = st.decimals(-9_000_000, 9_000_000, allow_nan=False, places=9)


@given(prices, prices, prices)
def test_nothing_is_rounded(bid: Decimal, ask: Decimal, last: Decimal) -> None:
    quote = parse_quote("X", 0, bid=f"{bid:f}", ask=f"{ask:f}", last=f"{last:f}")
    unit = Decimal(1).scaleb(-quote.scale)
    assert [quote.bid * unit, quote.ask * unit, quote.last * unit] == [bid, ask, last]


@given(st.text("0123456789-+.eE_ n", max_size=40))
def test_any_text_is_exact_or_refused(text: str) -> None:
    try:
        quote = parse(text)
    except ValueError:
        return
    assert Decimal(quote.bid).scaleb(-quote.scale) == Decimal(text)
    assert abs(quote.bid) <= MAX_MANTISSA
    assert 0 <= quote.scale <= MAX_SCALE
