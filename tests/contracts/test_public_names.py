"""Every public module says exactly what is public in it, and says what that is for."""

from __future__ import annotations

import ast
import inspect
import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest
from typing_extensions import is_typeddict

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = (
    "wsprism_core",
    "wsprism_chat",
    "wsprism_game",
    "wsprism_market",
    "wsprism_cli",
)


def public_modules() -> Iterator[str]:
    for package in PACKAGES:
        yield package
        path = import_module(package).__path__
        for found in pkgutil.walk_packages(path, f"{package}."):
            if "._" not in found.name:
                yield found.name


MODULES: Final = tuple(public_modules())


def tree_of(module: ModuleType) -> ast.Module:
    assert module.__file__ is not None
    return ast.parse(Path(module.__file__).read_text(encoding="utf-8"))


def assigned_all(tree: ast.Module) -> Any:
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                return ast.literal_eval(value)
    return None


def defined(tree: ast.Module) -> set[str]:
    """Return the functions and classes that a module defines itself."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for node in tree.body if isinstance(node, kinds)}


def isort_style(name: str) -> tuple[int, list[str | int]]:
    """Order as ruff does: constants, classes, the rest; numbers by their value."""
    if name.isupper() and len(name) > 1:
        kind = 0
    elif name[:1].isupper():
        kind = 1
    else:
        kind = 2
    parts = re.split(r"(\d+)", name)
    return kind, [int(part) if part.isdigit() else part for part in parts]


def test_there_are_modules_of_every_package() -> None:
    assert {name.partition(".")[0] for name in MODULES} == set(PACKAGES)
    assert "wsprism_core.protocol.layout" in MODULES
    assert "wsprism_core.protocol._packet_code" not in MODULES


@pytest.mark.interpreted
@pytest.mark.parametrize("name", MODULES)
def test_all_is_exact(name: str) -> None:
    module = import_module(name)
    tree = tree_of(module)
    own = {found for found in defined(tree) if not found.startswith("_")}
    names = assigned_all(tree)
    if names is None:
        # A package of a docstring alone need not say that nothing is in it.
        assert module.__file__ is not None
        assert Path(module.__file__).name == "__init__.py"
        assert not own
        return
    assert isinstance(names, tuple), "__all__ is a tuple"
    assert list(names) == sorted(names, key=isort_style)
    assert len(set(names)) == len(names)
    assert own <= set(names), "public by its name, and not in __all__"
    for public in names:
        assert hasattr(module, public), f"{public} does not exist"


@pytest.mark.parametrize("name", MODULES)
def test_only_public_names_are_imported_from_elsewhere(name: str) -> None:
    for node in ast.walk(tree_of(import_module(name))):
        if not isinstance(node, ast.ImportFrom) or node.module not in MODULES:
            continue
        exported = getattr(import_module(node.module), "__all__", ())
        for imported in (alias.name for alias in node.names):
            if find_spec_of(node.module, imported) is None:
                assert imported in exported, f"{node.module}.{imported}"


def find_spec_of(package: str, name: str) -> ModuleSpec | None:
    """Return the spec of a module in a package; None for any other name."""
    is_package = hasattr(import_module(package), "__path__")
    return find_spec(f"{package}.{name}") if is_package else None


@pytest.mark.parametrize("name", MODULES)
def test_what_is_public_has_a_docstring(name: str) -> None:
    module = import_module(name)
    assert (module.__doc__ or "").strip(), "the module"
    for public in getattr(module, "__all__", ()):
        thing = getattr(module, public)
        if is_typeddict(thing):
            continue  # made by a call, it can have none; a comment stands above it
        if getattr(thing, "__module__", "").partition(".")[0] not in PACKAGES:
            continue  # another project's, under a name of ours
        if inspect.isfunction(thing) or inspect.isclass(thing):
            assert (thing.__doc__ or "").strip(), public
            if inspect.isclass(thing) and thing.__module__ == name:
                for member in public_methods(thing):
                    assert (member.__doc__ or "").strip(), f"{public}.{member}"


def public_methods(thing: type) -> Iterator[Any]:
    """Yield the methods and properties that a class itself defines."""
    for name, member in vars(thing).items():
        if name.startswith("_"):
            continue
        if isinstance(member, classmethod | staticmethod):
            member = member.__func__
        if inspect.isfunction(member) or isinstance(member, property):
            yield member
