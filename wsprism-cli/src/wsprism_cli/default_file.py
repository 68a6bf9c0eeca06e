"""A configuration file with every key, its default and its meaning, to begin with."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ValidationError

from wsprism_core.config import Config
from wsprism_core.settings.schema import meanings, summary_of
from wsprism_core.settings.tree import models_in

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

__all__ = ("default_file",)

_HEAD: Final = """\
# Every key of wsPrism, with its default. Keep what you change; the rest may go.
# A key that is commented out has no default, or belongs to a section that is off.
"""
_WIDTH: Final = 88
#: The tenant of the file: a list can't be empty, and an id has no default.
_TENANT: Final = {"id": "main"}
#: What stands for a name that people choose, in a section that is commented out.
_ANY_NAME: Final = "name"


def default_file(sections: Mapping[str, type[BaseModel]]) -> str:
    """Return the text of the file; it is valid where these plugins are loaded.

    Args:
        sections: The models of the plugins' sections, by plugin.
    """
    config = Config.model_validate({"version": 1, "tenants": [_TENANT]})
    lines = list(_keys(Config, config, leave_out="plugins"))
    lines += ["", *_comment(meanings(Config)["plugins"])]
    lines.append("plugins:" if sections else "plugins: {}")
    for name, model in sections.items():
        section: BaseModel | None
        try:
            section = model()
        except ValidationError:
            section = None  # it has keys that must be set
        part = [*_comment(summary_of(model)), f"{name}:"]
        part += _indented(_keys(model, section))
        lines += _indented(part if section is not None else map(_off, part))
    return _HEAD + "\n".join(lines) + "\n"


def _keys(
    model: type[BaseModel], value: BaseModel | None, leave_out: str = ""
) -> Iterator[str]:
    """Yield the lines of a section; without a value, of one that is commented out."""
    told = meanings(model)
    for name, field in model.model_fields.items():
        if name == leave_out:
            continue
        if model is Config:
            yield ""
        yield from _comment(told.get(name, ""))
        if value is None and field.is_required():
            yield f"{name}:"
        else:
            yield from _key(name, field, _value_of(name, field, value))


def _value_of(name: str, field: FieldInfo, value: BaseModel | None) -> Any:
    if value is not None:
        return getattr(value, name)
    return field.get_default(call_default_factory=True, validated_data={})


def _key(name: str, field: FieldInfo, value: Any) -> Iterator[str]:
    """Yield the lines of one key."""
    if isinstance(value, BaseModel):
        yield f"{name}:"
        yield from _indented(_keys(type(value), value))
        return
    if isinstance(value, list) and value and isinstance(value[0], BaseModel):
        yield f"{name}:"
        for item in value:
            first, *others = _bulleted(list(_keys(type(item), item)))
            yield from _indented([first, *others])
        return
    yield f"{name}: {_yaml(value)}"
    # What a section would hold that is off, or has no entries.
    for inner in models_in(field.annotation):
        yield from map(_off, _shape(name, value, inner))


def _shape(name: str, value: Any, model: type[BaseModel]) -> Iterator[str]:
    keys = _keys(model, None)
    yield f"{name}:"
    if isinstance(value, dict):
        yield f"  {_ANY_NAME}:"
        yield from _indented(_indented(keys))
    elif isinstance(value, list | tuple):
        yield from _indented(_bulleted(list(keys)))
    else:
        yield from _indented(keys)


def _bulleted(lines: list[str]) -> list[str]:
    """Return the lines of an item of a list; comments before its first key stay so."""
    first = next(n for n, line in enumerate(lines) if not line.startswith("#"))
    return [
        line if n < first else f"- {line}" if n == first else f"  {line}"
        for n, line in enumerate(lines)
    ]


def _indented(lines: Any) -> Iterator[str]:
    return (f"  {line}" if line else line for line in lines)


def _off(line: str) -> str:
    """Return a line commented out; of a comment in it the sign is doubled."""
    return f"# {line}"


def _comment(text: str) -> Iterator[str]:
    for line in textwrap.wrap(text, _WIDTH - 10, break_on_hyphens=False):
        yield f"# {line}"


def _yaml(value: Any) -> str:
    """Return a value on one line; JSON is YAML."""
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, tuple):
        value = list(value)
    return json.dumps(value)
