from __future__ import annotations

import decimal
import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsprism_core.protocol.decimals import to_decimal, to_mantissa

VECTORS = json.loads(
    (Path(__file__).parents[2] / "vectors" / "packets.json").read_text()
)


@pytest.mark.parametrize("row", VECTORS["decimals"], ids=lambda row: row["text"])
def test_mantissa_to_decimal(row: dict[str, str | int]) -> None:
    mantissa, places = int(row["mantissa"]), int(row["places"])
    assert f"{to_decimal(mantissa, places):f}" == row["text"]
    assert to_mantissa(str(row["text"]), places) == mantissa


@pytest.mark.parametrize("row", VECTORS["decimal_texts"], ids=lambda row: row["text"])
def test_text_to_mantissa(row: dict[str, str | int]) -> None:
    assert to_mantissa(str(row["text"]), int(row["places"])) == int(row["mantissa"])


@pytest.mark.parametrize("row", VECTORS["no_decimals"], ids=lambda row: row["text"])
def test_what_is_no_decimal_of_these_places(row: dict[str, str | int]) -> None:
    with pytest.raises(ValueError, match=f"is no decimal of {row['places']} places"):
        to_mantissa(str(row["text"]), int(row["places"]))


@pytest.mark.parametrize(
    "text", ["1e999999999", "1e-999999999", "9" * 65, "1e9999999999999999999999"]
)
def test_a_number_of_a_billion_digits_is_refused_at_once(text: str) -> None:
    with pytest.raises(ValueError, match="is no decimal"):
        to_mantissa(text, 2)


def test_integers_and_decimals_are_taken() -> None:
    assert to_mantissa(3, 2) == 300
    assert to_mantissa(Decimal("-1.25"), 2) == -125


@given(st.integers(-(2**63), 2**64 - 1), st.integers(1, 30))
def test_round_trip_in_any_context(mantissa: int, places: int) -> None:
    with decimal.localcontext() as context:
        context.prec = 3
        assert to_mantissa(to_decimal(mantissa, places), places) == mantissa
