"""What is wrong with a configuration, in words: where, what, and what may be meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from pydantic import BaseModel, ValidationError

from wsprism_core.settings.tree import NOTHING, below, is_model, kinds

__all__ = ("Fault", "Path", "check_sections", "did_you_mean", "faults_of")

#: A section may have come with a plugin that is installed and not chosen.
_LOAD_IT: Final = "; name it in --plugins, or take the section out"

#: Keys and indexes from the root of the file.
Path = tuple[int | str, ...]


class Fault(NamedTuple):
    """One thing that is wrong."""

    path: Path
    text: str

    def __str__(self) -> str:
        return f"{_shown(self.path)}: {self.text}"


def faults_of(
    error: ValidationError, model: type[BaseModel], at: Path = ()
) -> list[Fault]:
    """Return every fault that a model found.

    Args:
        error: What it raised.
        model: The model.
        at: Where its section stands in the file.
    """
    faults = []
    for found in error.errors(include_input=False, include_url=False):
        path = at + found["loc"]
        if found["type"] == "extra_forbidden":
            near = did_you_mean(str(path[-1]), _names_beside(found["loc"], model))
            faults.append(Fault(path, f"unknown key{near}"))
        else:
            text = found["msg"].removeprefix("Value error, ")
            faults.append(Fault(path, text))
    return faults


def check_sections(
    given: Mapping[str, Mapping[str, Any]], models: Mapping[str, type[BaseModel]]
) -> tuple[dict[str, BaseModel], list[Fault]]:
    """Read the plugins' sections, each by the model that its plugin names.

    Args:
        given: The sections, by plugin.
        models: The models, by plugin.

    Returns:
        The sections that are right, by plugin; what is wrong with the others.
    """
    faults = []
    for name in given:
        if name not in models:
            text = "no loaded plugin of that name takes a configuration"
            text += did_you_mean(name, models) or _LOAD_IT
            faults.append(Fault(("plugins", name), text))
    sections = {}
    for name, model in models.items():
        try:
            sections[name] = model.model_validate(given.get(name, {}))
        except ValidationError as error:
            faults += faults_of(error, model, ("plugins", name))
    return sections, faults


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return what to add to a complaint about a name, where another one is near."""
    near = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _shown(path: Path) -> str:
    """Return `tenants[0].policy` for `("tenants", 0, "policy")`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".") or "the file"


def _names_beside(path: Path, model: type[BaseModel]) -> list[str]:
    """Return the keys that are known where an unknown one stands."""
    here: Any = model
    for part in path[:-1]:
        inner = below(here, part)
        # What is no key tells the members of a union apart.
        here = here if inner is NOTHING else inner
    return [
        name for kind in kinds(here) if is_model(kind) for name in kind.model_fields
    ]
