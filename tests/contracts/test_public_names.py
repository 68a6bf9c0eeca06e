"""Every public module says exactly what is public in it, and says what that is for."""

from __future__ import annotations

import ast
import inspect
import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest

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
        if isinstance(node, ast.Assign) and ast.unparse(node.targets) == "__all__":
            return ast.literal_eval(node.value)
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


@pytest.mark.parametrize("name", MODULES)
def test_all_is_exact(name: str) -> None:
    module = import_module(name)
    tree = tree_of(module)
    names = assigned_all(tree)
    if not Path(str(module.__file__)).stat().st_size:
        pytest.fail("an empty module: it has neither a docstring nor __all__")
    if name in PACKAGES or not defined(tree):
        # A package that says nothing of its own may leave it out.
        names = () if names is None else names
    assert isinstance(names, tuple), "__all__ is a tuple"
    assert list(names) == sorted(names, key=isort_style)
    assert len(set(names)) == len(names)
    for public in names:
        assert hasattr(module, public), f"{public} does not exist"


@pytest.mark.parametrize("name", MODULES)
def test_what_is_imported_elsewhere_is_public(name: str) -> None:
    """A name that another module imports stands in `__all__` of the one it is of."""
    for node in ast.walk(tree_of(import_module(name))):
        if not isinstance(node, ast.ImportFrom) or node.level:
            continue
        source = node.module or ""
        if source not in MODULES:
            continue
        exported = getattr(import_module(source), "__all__", ())
        for alias in node.names:
            is_module = f"{source}.{alias.name}" in MODULES
            private = alias.name.startswith("_") or f"{source}._" in alias.name
            assert not private, f"{source}.{alias.name} is private"
            submodule = f"{source}.{alias.name}"
            if is_module or submodule == "wsprism_core.protocol._packet_code":
                continue
            assert alias.name in exported, f"{source}.{alias.name} is not in __all__"


@pytest.mark.parametrize("name", MODULES)
def test_what_is_public_has_a_docstring(name: str) -> None:
    module = import_module(name)
    assert (module.__doc__ or "").strip(), "the module"
    for public in getattr(module, "__all__", ()):
        thing = getattr(module, public)
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
