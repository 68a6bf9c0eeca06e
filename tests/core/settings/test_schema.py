from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict

from wsprism_core.config import Config, GatewayConfig
from wsprism_core.settings.schema import file_schema, meanings, summary_of
from wsprism_core.settings.tree import key_paths


class Chat(BaseModel):
    """What an operator may set.

    More of it.

    Attributes:
        max_length: The longest text, in characters,
            over two lines.
        token: A word.
    """

    model_config = ConfigDict(extra="forbid")

    max_length: int = 1
    token: str = ""


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield every object of a schema that has keys."""
    if isinstance(schema, dict):
        if "properties" in schema:
            yield schema
        for inner in schema.values():
            yield from objects(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from objects(inner)


def test_what_a_docstring_says_of_keys() -> None:
    assert summary_of(Chat) == "What an operator may set."
    assert meanings(Chat) == {
        "max_length": "The longest text, in characters, over two lines.",
        "token": "A word.",
    }

    class Silent(Chat):
        more: int = 1

    assert (summary_of(Silent), meanings(Silent)) == ("", {})
    assert set(meanings(GatewayConfig)) == set(GatewayConfig.model_fields)


def test_every_key_is_described_and_no_other_is_taken() -> None:
    found = list(objects(file_schema({"chat": Chat})))
    assert len(found) > 10
    for one in found:
        assert one["description"]
        assert "Attributes:" not in one["description"]
        assert one["additionalProperties"] is False
        for name, key in one["properties"].items():
            assert key["description"], (one["title"], name)


def test_the_keys_are_those_of_the_file() -> None:
    schema = file_schema({"chat": Chat})
    assert schema["title"] == "wsprism.yaml"
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert set(schema["properties"]) == set(Config.model_fields)
    assert schema["required"] == ["version", "tenants"]
    properties = {name for one in objects(schema) for name in one["properties"]}
    assert {path[-1] for path in key_paths(Config)} <= properties
    (plugins,) = (one for one in objects(schema) if one["title"] == "Plugins")
    assert set(plugins["properties"]) == {"chat"}
