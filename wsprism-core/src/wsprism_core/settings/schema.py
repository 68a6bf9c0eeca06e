"""What each key means, and the JSON Schema of the file, for editors."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, create_model
from pydantic.fields import Field
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from wsprism_core.config import Config

__all__ = ("file_schema", "meanings", "summary_of")


def summary_of(model: type[BaseModel]) -> str:
    """Return what a section is for: what stands before the rest of its docstring."""
    return " ".join(_docstring(model).partition("\n\n")[0].split())


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """Return what a model says of its keys: in its docstring, under `Attributes:`."""
    _, _, told = _docstring(model).partition("Attributes:\n")
    found = re.findall(r"^ {4}(\w+): (.+(?:\n {8}.+)*)", told, flags=re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}


def _docstring(model: type[BaseModel]) -> str:
    """Return a model's own docstring; an inherited one says nothing of its keys."""
    return inspect.cleandoc(model.__doc__ or "")


def file_schema(sections: Mapping[str, type[BaseModel]]) -> dict[str, Any]:
    """Return the JSON Schema of a configuration file.

    Args:
        sections: The models of the plugins' sections, by plugin.
    """
    fields: dict[str, Any] = {
        name: (model | None, Field(default=None, description=summary_of(model)))
        for name, model in sections.items()
    }
    plugins = create_model(
        "Plugins",
        __doc__="A section for each plugin that takes one.",
        __config__={"extra": "forbid"},
        **fields,
    )
    file = create_model(
        "ConfigurationFile",
        __base__=Config,
        __doc__=Config.__doc__,
        plugins=(plugins, Field(default=None)),
    )
    return {
        "$schema": GenerateJsonSchema.schema_dialect,
        **file.model_json_schema(schema_generator=_Described),
        "title": "wsprism.yaml",
    }


class _Described(GenerateJsonSchema):
    """Adds what the docstrings of models say of their keys."""

    def model_schema(self, schema: Any) -> JsonSchemaValue:
        described = super().model_schema(schema)
        model = schema["cls"]
        described["description"] = summary_of(model)
        properties = described.get("properties", {})
        for name, meaning in meanings(model).items():
            if name in properties:
                properties[name]["description"] = meaning
        return described
