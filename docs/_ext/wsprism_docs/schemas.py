"""Schemas in words: what a key or a field of `data` may be."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from pydantic import TypeAdapter

__all__ = ("DataField", "DataObject", "objects_of", "type_text")

Schema = Mapping[str, Any]

_MAX_SAFE: Final = 2**53 - 1


class DataField(NamedTuple):
    """One field of an object."""

    name: str
    type: str
    required: bool
    meaning: str


class DataObject(NamedTuple):
    """An object that stands in `data`, or within one that does."""

    name: str
    fields: tuple[DataField, ...]


def objects_of(schema: Any) -> list[DataObject]:
    """Return the objects that a schema is made of, the outermost first."""
    root = TypeAdapter(schema).json_schema()
    told = _inherited(schema)
    defs = root.get("$defs", {})
    found: dict[str, DataObject] = {}
    waiting = [root]
    while waiting:
        one = waiting.pop(0)
        if "properties" in one and one["title"] not in found:
            found[one["title"]] = DataObject(
                one["title"], tuple(_fields(one, defs, told))
            )
        waiting += [
            inner
            for key in ("anyOf", "oneOf", "items")
            for inner in _as_list(one.get(key))
        ]
        waiting += one.get("properties", {}).values()
        if "$ref" in one and (name := _ref(one)) not in found:
            waiting.append(defs[name])
    return list(found.values())


def type_text(
    schema: Schema, defs: Mapping[str, Schema], objects: str | None = None
) -> str:
    """Return what a value may be, in a few words.

    Args:
        schema: The value's JSON schema.
        defs: What it refers to.
        objects: What to call an object; None is by its name.
    """
    if "$ref" in schema:
        inner = defs[_ref(schema)]
        return type_text(inner, defs) if "enum" in inner else objects or _ref(schema)
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return " or ".join(f"`{each}`" for each in schema["enum"])
    either = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    if either:
        texts = (type_text(each, defs, objects) for each in either)
        return " or ".join(dict.fromkeys(texts))
    kind = schema.get("type", "any value")
    if kind == "array":
        return f"list of {type_text(schema.get('items', {}), defs, objects)}"
    if kind == "object":
        return "mapping"
    bounds = _bounds(schema, kind)
    return f"{_WORDS.get(kind, kind)}{', ' if bounds else ''}{bounds}"


_WORDS: Final = {"boolean": "true or false"}


def _bounds(schema: Schema, kind: str) -> str:
    if kind == "string":
        low, high = schema.get("minLength"), schema.get("maxLength")
        if low is None and high is None:
            return ""
        return f"{low or 0} to {high} characters" if high else "not empty"
    low = schema.get("minimum")
    high = schema.get("maximum")
    if "exclusiveMinimum" in schema:
        low = f"more than {schema['exclusiveMinimum']}"
    if low is None and high is None:
        return ""
    if low == high:
        return str(low)
    if high is None:
        return f"{low} or more" if not str(low).startswith("more") else str(low)
    return f"{low} to {'2^53-1' if high == _MAX_SAFE else high}"


def _fields(
    schema: Schema, defs: Mapping[str, Schema], told: dict[str, str]
) -> Iterator[DataField]:
    meanings = told | _attributes(schema.get("description", ""))
    required = schema.get("required", ())
    for name, inner in schema["properties"].items():
        text = type_text(inner, defs)
        yield DataField(name, text, name in required, meanings.get(name, ""))


def _attributes(description: str) -> dict[str, str]:
    """Return the section `Attributes:` of a docstring, by name."""
    _, _, section = description.partition("Attributes:\n")
    found = re.findall(r"^ {4}(\w+): (.+(?:\n {8}.+)*)", section, flags=re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}


def _inherited(schema: Any) -> dict[str, str]:
    """Return what the bases of a TypedDict say of their fields; it keeps no MRO."""
    meanings: dict[str, str] = {}
    for base in getattr(schema, "__orig_bases__", ()):
        if isinstance(base, type):
            meanings |= _inherited(base) | _attributes(inspect.getdoc(base) or "")
    return meanings


def _ref(schema: Schema) -> str:
    return str(schema["$ref"]).rpartition("/")[2]


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
