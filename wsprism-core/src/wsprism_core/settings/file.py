"""Reading the configuration: the file, the environment, every fault at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from wsprism_core.config import Config, ConfigError, out_of_the_box
from wsprism_core.settings.environment import Override, override
from wsprism_core.settings.faults import Fault, check_sections, faults_of
from wsprism_core.strict_yaml import Document, YamlError, parse

__all__ = ("load_config",)


def load_config(
    path: Path | None,
    *,
    environ: Mapping[str, str],
    sections: Mapping[str, type[BaseModel]] | None = None,
) -> Config:
    """Read and check a configuration.

    Args:
        path: The file; None is what runs out of the box.
        environ: Where keys are overridden.
        sections: The models of the plugins' sections, by plugin; None does not check
            them.

    Raises:
        ConfigError: It cannot be read, is no YAML, or has wrong keys, and so may the
            environment; everything is told, each fault with its line or its variable.
    """
    source = "the configuration" if path is None else str(path)
    document = _out_of_the_box() if path is None else _read(path)
    if not isinstance(document.value, dict):
        raise ConfigError(source, ["must be a mapping with `version` and `tenants`"])
    value, overrides, problems = override(document.value, environ, sections or {})
    faults: list[Fault] = []
    try:
        config = Config.model_validate(value)
    except ValidationError as error:
        faults += faults_of(error, Config)
    if sections is not None and isinstance(given := value.get("plugins") or {}, dict):
        faults += check_sections(_mappings(given), sections)[1]
    if faults or problems:
        raise ConfigError(source, [*_told(faults, document, overrides), *problems])
    return config


def _out_of_the_box() -> Document:
    return Document(out_of_the_box().model_dump(), None)


def _read(path: Path) -> Document:
    try:
        return parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), [f"cannot be read: {error}"]) from None
    except YamlError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f"line {mark.line + 1}: "
        said = getattr(error, "problem", None) or error
        raise ConfigError(str(path), [f"{where}is no YAML: {said}"]) from None


def _mappings(given: dict[Any, Any]) -> dict[str, Any]:
    """Return the sections that are mappings; of the others the model complains."""
    return {
        name: section
        for name, section in given.items()
        if isinstance(name, str) and isinstance(section, dict)
    }


def _told(
    faults: list[Fault], document: Document, overrides: list[Override]
) -> list[str]:
    """Return a line for each fault, in the order in which they stand in the file."""
    by_place: list[tuple[int, str]] = []
    for fault in faults:
        said_by = [
            one.variable for one in overrides if fault.path[: len(one.path)] == one.path
        ]
        line = document.line_of(fault.path)
        if said_by:
            by_place.append((0, f"{said_by[-1]}: {fault}"))
        elif line is None:
            by_place.append((0, str(fault)))
        else:
            by_place.append((line, f"line {line}: {fault}"))
    return [text for _, text in sorted(by_place, key=lambda one: one[0])]
