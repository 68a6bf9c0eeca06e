"""Whether the hot path is compiled."""

from __future__ import annotations

from importlib import import_module
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from tomllib import loads

import wsprism_core
from wsprism_core.compiled import IS_COMPILED

ROOT = Path(__file__).parents[2]


def listed() -> list[str]:
    """Return the modules that are compiled where anything is."""
    project = loads((ROOT / "wsprism-core" / "pyproject.toml").read_text())
    hook = project["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["mypyc"]
    return [
        name.removeprefix("src/").removesuffix(".py").replace("/", ".")
        for name in hook["include"]
    ]


def test_what_is_listed_is_compiled_all_of_it_or_nothing() -> None:
    assert len(listed()) > 30
    for name in listed():
        file = import_module(name).__file__
        assert file is not None
        assert file.endswith(tuple(EXTENSION_SUFFIXES)) is IS_COMPILED, name


def test_what_plugins_may_refer_to_weakly_stays_interpreted() -> None:
    module = import_module(wsprism_core.Session.__module__)
    assert (module.__file__ or "").endswith(".py")
