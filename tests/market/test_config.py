from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from wsprism_market.config import FileConfig, MarketConfig, RandomWalkConfig


def test_default_is_a_random_walk() -> None:
    config = MarketConfig()
    assert isinstance(config.source, RandomWalkConfig)
    assert config.source.per_second == 5
    assert len(config.source.symbols) >= 3
    assert config.max_subscriptions == 100
    assert config.max_patterns == 10


def test_random_walk() -> None:
    source = {"kind": "random_walk", "symbols": ["A"], "seed": 7, "per_second": 2}
    config = MarketConfig.model_validate({"source": source, "max_subscriptions": 3})
    assert config.source == RandomWalkConfig(symbols=["A"], seed=7, per_second=2)
    assert config.max_subscriptions == 3


@pytest.mark.parametrize("path", ["day.csv", "a/day.ndjson", "/day.jsonl"])
def test_file(path: str) -> None:
    config = MarketConfig.model_validate({"source": {"kind": "file", "path": path}})
    assert config.source == FileConfig(kind="file", path=path, speed=1)


@pytest.mark.parametrize(
    "section",
    [
        {"max_subscription": 1},
        {"max_subscriptions": 0},
        {"max_patterns": 0},
        {"max_patterns": 101},
        {"max_symbols": 0},
        {"max_symbols": 2_001},
        {"source": {"kind": "kafka"}},
        {"source": {"kind": "random_walk", "speed": 1}},
        {"source": {"kind": "random_walk", "symbols": []}},
        {"source": {"kind": "random_walk", "symbols": ["A", "A"]}},
        {"source": {"kind": "random_walk", "symbols": ["A B"]}},
        {"source": {"kind": "random_walk", "per_second": 0}},
        {"source": {"kind": "random_walk", "per_second": float("inf")}},
        {"source": {"kind": "file"}},
        {"source": {"kind": "file", "path": "day.txt"}},
        {"source": {"kind": "file", "path": "day.csv", "seed": 1}},
        {"source": {"kind": "file", "path": "day.csv", "speed": -1}},
        {"source": {"kind": "file", "path": "day.csv", "speed": float("nan")}},
    ],
)
def test_refused(section: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MarketConfig.model_validate(section)
