"""What an operator may set about market."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from wsprism_market.symbols import is_symbol

__all__ = (
    "DEFAULT_MAX_PATTERNS",
    "FileConfig",
    "MarketConfig",
    "RandomWalkConfig",
    "SourceConfig",
)

#: Patterns that one session may name, unless configured.
DEFAULT_MAX_PATTERNS: Final = 10

_STRICT: Final = ConfigDict(extra="forbid", frozen=True, strict=True)

#: How a recording is written, by the end of its name.
_FORMATS: Final = (".csv", ".ndjson", ".jsonl")


def _check_symbol(name: str) -> str:
    if not is_symbol(name):
        raise ValueError("a symbol is 1 to 64 of A-Z a-z 0-9 _ . : @ -")
    return name


def _check_unique(names: list[str]) -> list[str]:
    if len(set(names)) != len(names):
        raise ValueError("a symbol is named twice")
    return names


def _check_format(path: str) -> str:
    if not path.endswith(_FORMATS):
        raise ValueError(f"the name of a recording ends in one of {_FORMATS}")
    return path


class RandomWalkConfig(BaseModel):
    """Quotes that are made up; the same ones for the same seed.

    Attributes:
        kind: `random_walk`.
        symbols: Their names.
        seed: Decides every price.
        per_second: Quotes a second, over all symbols.
    """

    model_config = _STRICT

    kind: Literal["random_walk"] = "random_walk"
    symbols: Annotated[
        list[Annotated[str, AfterValidator(_check_symbol)]],
        Field(min_length=1),
        AfterValidator(_check_unique),
    ] = ["BTC-USD", "ETH-USD", "SOL-USD", "EUR-USD"]
    seed: int = 1
    per_second: float = Field(default=5.0, gt=0, le=10_000)


class FileConfig(BaseModel):
    """Quotes that were recorded.

    Attributes:
        kind: `file`.
        path: A `.csv`, `.ndjson` or `.jsonl` file, from the working directory.
        speed: 1 is as recorded, 2 twice as fast, 0 as fast as possible.
    """

    model_config = _STRICT

    kind: Literal["file"]
    path: Annotated[str, AfterValidator(_check_format)]
    speed: float = Field(default=1.0, ge=0, allow_inf_nan=False)


SourceConfig: TypeAlias = Annotated[
    RandomWalkConfig | FileConfig, Field(discriminator="kind")
]


class MarketConfig(BaseModel):
    """The section `plugins.market` of the configuration; an unknown key is refused.

    Attributes:
        source: Where quotes come from.
        max_subscriptions: Symbols and patterns that one session may name.
        max_patterns: Patterns among them; each is matched with every symbol kept.
        max_symbols: Symbols that are kept; quotes of further ones are refused. It also
            bounds the snapshots that one pattern asks for, which wait in a lane.
    """

    model_config = _STRICT

    source: SourceConfig = RandomWalkConfig()
    max_subscriptions: int = Field(default=100, ge=1, le=1_000)
    max_patterns: int = Field(default=DEFAULT_MAX_PATTERNS, ge=1, le=100)
    max_symbols: int = Field(default=1_000, ge=1, le=2_000)
