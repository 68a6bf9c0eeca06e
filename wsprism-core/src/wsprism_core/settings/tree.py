"""Finding one's way through the models of the configuration, key by key."""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Final, TypeGuard, Union, get_args, get_origin

from pydantic import BaseModel

__all__ = ("NOTHING", "below", "is_model", "key_paths", "kinds", "models_in")

#: What stands where there is no such key.
NOTHING: Final = object()


def is_model(kind: Any) -> TypeGuard[type[BaseModel]]:
    """Whether a type is a section with keys of its own."""
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def kinds(annotation: Any) -> Iterator[Any]:
    """Yield what a value may be: each member of a union, without its constraints."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from kinds(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for member in get_args(annotation):
            yield from kinds(member)
    else:
        yield annotation


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the sections that a value is or holds, in a list or by name too."""
    for kind in kinds(annotation):
        if is_model(kind):
            yield kind
        elif get_origin(kind) in (list, tuple, dict):
            for inner in get_args(kind):
                yield from models_in(inner)


def below(annotation: Any, part: int | str) -> Any:
    """Return the type of what stands at a key or an index, or else `NOTHING`."""
    for kind in kinds(annotation):
        if is_model(kind):
            if part in kind.model_fields:
                return kind.model_fields[str(part)].annotation
        elif get_origin(kind) is dict:
            return get_args(kind)[1]
        elif get_origin(kind) in (list, tuple) and isinstance(part, int):
            return get_args(kind)[0]
    return NOTHING


def key_paths(model: type[BaseModel]) -> Iterator[tuple[str, ...]]:
    """Yield the path of every key that needs no list and no name to get to."""
    for name, field in model.model_fields.items():
        yield (name,)
        for kind in kinds(field.annotation):
            if is_model(kind):
                for path in key_paths(kind):
                    yield (name, *path)
