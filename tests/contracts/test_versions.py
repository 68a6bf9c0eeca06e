"""The packages go together, and every module of the core has its test."""

from __future__ import annotations

import tomllib
from importlib.metadata import requires, version
from pathlib import Path
from typing import Any, Final

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT: Final = Path(__file__).parents[2]
PLUGINS: Final = ("wsprism-chat", "wsprism-game", "wsprism-market", "wsprism-cli")
PACKAGES: Final = ("wsprism-core", *PLUGINS)


def project(package: str) -> dict[str, Any]:
    text = (ROOT / package / "pyproject.toml").read_text(encoding="utf-8")
    found: dict[str, Any] = tomllib.loads(text)["project"]
    return found


def test_the_packages_are_the_workspace() -> None:
    root = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(root["tool"]["uv"]["workspace"]["members"]) == set(PACKAGES)
    assert set(root["project"]["dependencies"]) == set(PACKAGES)
    assert {path.parent.name for path in ROOT.glob("*/pyproject.toml")} == set(PACKAGES)


def test_all_packages_have_one_version() -> None:
    assert len({project(package)["version"] for package in PACKAGES}) == 1


@pytest.mark.parametrize("package", PACKAGES)
def test_what_is_installed_is_what_the_project_says(package: str) -> None:
    assert version(package) == project(package)["version"]


@pytest.mark.parametrize("package", PLUGINS)
def test_a_plugin_takes_every_core_of_its_line_and_no_other(package: str) -> None:
    (wanted,) = [
        requirement
        for requirement in map(Requirement, requires(package) or ())
        if requirement.name == "wsprism-core"
    ]
    core = Version(version("wsprism-core"))
    assert wanted.specifier.contains(core)
    assert wanted.specifier.contains(f"{core.major}.{core.minor}.0")
    assert wanted.specifier.contains(f"{core.major}.{core.minor}.999")
    assert not wanted.specifier.contains(f"{core.major}.{core.minor + 1}.0")


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_has_its_licences_and_says_the_same(package: str) -> None:
    said = project(package)
    assert said["license"] == "MIT OR Apache-2.0"
    assert said["license-files"] == ["LICENSE-*"]
    assert said["requires-python"] == ">=3.11"
    for licence in ("LICENSE-MIT", "LICENSE-APACHE"):
        copy = (ROOT / package / licence).read_bytes()
        assert copy == (ROOT / licence).read_bytes()


# -------------------------------------------------------------------- mirrored tests

SOURCE: Final = ROOT / "wsprism-core" / "src" / "wsprism_core"
MIRROR: Final = ROOT / "tests" / "core"

#: Modules without a test file of the same name, and what tests them instead.
ELSEWHERE: Final[dict[str, str]] = {}


def modules() -> list[str]:
    return sorted(
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if path.name != "__init__.py"
    )


def mirror(module: str) -> Path:
    """Return the test file of a module: `protocol/layout.py` has `test_layout.py`."""
    path = MIRROR / module
    return path.with_name(f"test_{path.stem.lstrip('_')}.py")


@pytest.mark.parametrize("module", modules())
def test_every_module_of_the_core_has_its_test(module: str) -> None:
    if module in ELSEWHERE:
        assert not mirror(module).exists(), "it has one; ELSEWHERE need not name it"
    else:
        assert mirror(module).exists(), f"{mirror(module)} is missing"


@pytest.mark.parametrize("module", ELSEWHERE)
def test_what_is_tested_elsewhere_is_tested_there(module: str) -> None:
    assert (SOURCE / module).exists()
    for test in ELSEWHERE[module].split():
        assert (ROOT / "tests" / test).exists()
