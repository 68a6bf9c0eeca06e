"""Keys of the configuration that the environment says.

`WSPRISM_GATEWAY__PING_INTERVAL_MS` is `gateway.ping_interval_ms`: two underscores for
each step down. Tenants go by their id, as in `WSPRISM_TENANTS__ACME__LIMITS`, lanes and
plugins by their name. A variable with two underscores that is no key is an error, and
so is one that would be a key if it had them; all others are somebody else's, such as
those that Kubernetes sets for a service of that name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from copy import copy
from enum import Enum
from pathlib import Path as FilePath
from typing import Any, Final, Literal, NamedTuple, get_args, get_origin

from pydantic import BaseModel, SecretStr

from wsprism_core.config import Config
from wsprism_core.settings.faults import Path, did_you_mean
from wsprism_core.settings.tree import NOTHING, below, is_model, key_paths, kinds
from wsprism_core.strict_yaml import YamlError, parse

__all__ = ("Override", "override", "variable_of")

_PREFIX: Final = "WSPRISM_"
_STEP: Final = "__"
#: What is a text for a person who writes it into a variable.
_TEXTS: Final = (str, SecretStr, FilePath, Enum)


class Override(NamedTuple):
    """A key that a variable says."""

    variable: str
    path: Path


class _Place(NamedTuple):
    """A place of the file that a variable may lead through."""

    path: Path
    annotation: Any
    #: What the file says there, if anything.
    value: Any


def override(
    value: Any,
    environ: Mapping[str, str],
    sections: Mapping[str, type[BaseModel]],
) -> tuple[Any, list[Override], list[str]]:
    """Return a configuration with what the environment says, checked by nobody yet.

    Args:
        value: What the file holds; it stays as it is.
        environ: The environment; an empty variable says nothing.
        sections: The models of the plugins' sections.

    Returns:
        The configuration, where each change comes from, and a line for each variable
        that is wrong. No line holds a variable's value.
    """
    found, problems = [], []
    for variable in sorted(environ):
        if not variable.startswith(_PREFIX):
            continue
        rest = variable.removeprefix(_PREFIX)
        if _STEP not in rest:
            if (meant := _WITH_ONE_UNDERSCORE.get(rest)) is not None:
                problems.append(f"{variable}: no such key; did you mean {meant!r}?")
            continue
        try:
            place = _find(rest, _Place((), Config, value), sections)
            if environ[variable]:
                new = _read(environ[variable], place.annotation)
                value = _changed(value, place.path, new)
                found.append(Override(variable, place.path))
        except _WrongError as wrong:
            problems.append(f"{variable}: {wrong}")
    return value, found, problems


def variable_of(path: tuple[str, ...]) -> str:
    """Return the variable that says a key."""
    return _PREFIX + _STEP.join(map(_folded, path))


class _WrongError(Exception):
    """A variable leads nowhere, or holds nothing that can be read."""


def _folded(name: str) -> str:
    """Return a name as a variable has it: no case, and no signs but underscores."""
    return re.sub(r"[^A-Z0-9_]", "_", name.upper())


#: Variables that somebody wrote with one underscore for each step.
_WITH_ONE_UNDERSCORE: Final = {
    "_".join(map(_folded, path)): variable_of(path)
    for path in key_paths(Config)
    if len(path) > 1
}


def _find(rest: str, place: _Place, sections: Mapping[str, type[BaseModel]]) -> _Place:
    """Return the place that what is left of a variable's name leads to."""
    names: dict[str, _Place] = {}
    for name, inner in _inside(place, sections):
        if name in names:
            raise _WrongError(f"{name} may be one or another of {_said(place)}")
        names[name] = inner
    for name in sorted(names, key=len, reverse=True):
        if rest == name:
            return names[name]
        if rest.startswith(name + _STEP):
            return _find(rest.removeprefix(name + _STEP), names[name], sections)
    step, _, more = rest.partition(_STEP)
    if step and _takes_any_name(place):
        inner = _step(place, step.lower(), sections)
        return _find(more, inner, sections) if more else inner
    near = did_you_mean(step, names)
    raise _WrongError(f"there is no {step or 'key'} in {_said(place)}{near}")


def _inside(
    place: _Place, sections: Mapping[str, type[BaseModel]]
) -> Iterator[tuple[str, _Place]]:
    """Yield what stands in a place, by what a variable calls it."""
    if isinstance(place.value, list):
        for index, item in enumerate(place.value):
            # A tenant goes by its id: its place in the list may be another tomorrow.
            if isinstance(item, dict) and isinstance(item.get("id"), str):
                yield _folded(item["id"]), _step(place, index, sections)
        return
    names: dict[str, None] = {}
    for kind in kinds(place.annotation):
        if is_model(kind):
            names |= dict.fromkeys(kind.model_fields)
        elif get_origin(kind) is dict and isinstance(place.value, dict):
            names |= dict.fromkeys(k for k in place.value if isinstance(k, str))
    if place.path == ("plugins",):
        names |= dict.fromkeys(sections)
    for name in names:
        yield _folded(name), _step(place, name, sections)


def _step(
    place: _Place, part: int | str, sections: Mapping[str, type[BaseModel]]
) -> _Place:
    path = (*place.path, part)
    annotation = below(place.annotation, part)
    if place.path == ("plugins",) and part in sections:
        annotation = sections[str(part)]
    value = place.value
    if isinstance(value, dict):
        value = value.get(part)
    elif isinstance(value, list):
        value = value[int(part)]
    else:
        value = None
    return _Place(path, Any if annotation is NOTHING else annotation, value)


def _takes_any_name(place: _Place) -> bool:
    return any(get_origin(kind) is dict for kind in kinds(place.annotation))


def _said(place: _Place) -> str:
    return ".".join(map(str, place.path)) or "the configuration"


def _read(text: str, annotation: Any) -> Any:
    """Return the value that a variable's text stands for.

    Where the key is a text it is taken as it is, for a key or a path may look like
    anything else. All other values are YAML, as in the file.
    """
    choices = list(kinds(annotation))
    if text == "null" and type(None) in choices:
        return None
    if any(_is_text(kind) for kind in choices):
        return text
    try:
        return parse(text).value
    except YamlError:
        raise _WrongError("its value is no YAML") from None


def _is_text(kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return all(isinstance(one, str) for one in get_args(kind))
    return isinstance(kind, type) and issubclass(kind, _TEXTS)


def _changed(value: Any, path: Path, new: Any) -> Any:
    """Return a value with another one at a path; what it held before stays as it is.

    Parts of a YAML document may be one and the same (`*anchor`), so nothing is changed
    in place.
    """
    if not path:
        return new
    first, *rest = path
    if isinstance(value, list):
        changed = copy(value)
        changed[int(first)] = _changed(value[int(first)], tuple(rest), new)
        return changed
    inside = value if isinstance(value, dict) else {}
    return {**inside, first: _changed(inside.get(first), tuple(rest), new)}
