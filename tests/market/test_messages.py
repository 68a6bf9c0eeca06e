from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from wsprism_market.board import Update
from wsprism_market.messages import Names, Snapshot, Ticker, snapshot, ticker
from wsprism_market.quotes import Quote

UPDATE = Update(Quote("BTC-USD", 1_700, 2, 6_512_340, 6_512_350, 6_512_345), 8, "e1")


def test_snapshot() -> None:
    assert snapshot(UPDATE) == {
        "symbol": "BTC-USD",
        "seq": 8,
        "epoch": "e1",
        "scale": 2,
        "bid": 6_512_340,
        "ask": 6_512_350,
        "last": 6_512_345,
        "ts": 1_700,
    }


def test_a_ticker_is_whole() -> None:
    assert ticker(UPDATE) == {**snapshot(UPDATE), "prev_seq": 7}


def test_the_schemas_name_every_field() -> None:
    assert Snapshot.__required_keys__ == snapshot(UPDATE).keys()
    assert Ticker.__required_keys__ == ticker(UPDATE).keys()


def test_names() -> None:
    TypeAdapter(Names).validate_python({"symbols": ["BTC-USD", "*"]}, strict=True)


@pytest.mark.parametrize(
    "data", [None, [], {}, {"symbols": "BTC-USD"}, {"symbols": []}, {"symbols": [1]}]
)
def test_no_names(data: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Names).validate_python(data, strict=True)
