"""The configuration file and the options of the command, key by key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, TypeAdapter

from wsprism_core import options
from wsprism_core.settings.schema import meanings
from wsprism_docs.generated import GeneratedDirective, code, table
from wsprism_docs.schemas import type_text

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

__all__ = ("OptionTable", "SettingTable")


class SettingTable(GeneratedDirective):
    """The keys of one pydantic model, given as `module:Class`.

    What a key means stands in the model's docstring; the body says it in its place
    where there is something to link to.
    """

    def markdown(self) -> Iterable[str]:
        """Yield a table of key, type, default and meaning."""
        module, _, name = self.arguments[0].partition(":")
        model: type[BaseModel] = getattr(import_module(module), name)
        said = self.meanings(model.model_fields, meanings(model))
        schema = TypeAdapter(model).json_schema()
        rows = (
            (
                code(key),
                type_text(
                    schema["properties"][key], schema.get("$defs", {}), "section"
                ),
                _default(field),
                said[key],
            )
            for key, field in model.model_fields.items()
        )
        return table(("key", "type", "default", "meaning"), rows)


class OptionTable(GeneratedDirective):
    """The options of `wsprism run`."""

    required_arguments = 0
    has_content = False

    def markdown(self) -> Iterable[str]:
        """Yield a table of flag, variable, default and meaning."""
        return table(("flag", "variable", "default", "meaning"), self._rows())

    def _rows(self) -> Iterator[tuple[str, str, str, str]]:
        for option in options.RUN_OPTIONS:
            flag = f"{option.flag} {option.metavar}" if option.metavar else option.flag
            yield (
                code(flag),
                code(option.env) if option.env else "",
                code(option.default) if isinstance(option.default, str) else "",
                option.summary,
            )


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, BaseModel):
        return "all of its own"
    return code(_plain(value))


def _plain(value: Any) -> str:
    """Return a value as YAML has it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_plain, value))}]"
    return str(value)
