"""The packages go together, and every module of the core has its test."""

from __future__ import annotations

import ast
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

#: Only declarations: there is no behaviour of their own to test.
DECLARATIONS: Final = (
    "actions.py",
    "api.py",
    "backplane/port.py",
    "hookspecs.py",
    "manifest.py",
    "realtime/channel.py",
    "realtime/clock.py",
    "routes.py",
)

#: Tested by what they do together; each with the test file that would notice first.
#: The rules of the gateway cut across its modules, so its tests are named after rules.
ELSEWHERE: Final = {
    # What a program does with the client is tested over both of its transports.
    "client/errors.py": "core/client/test_connecting.py",
    "client/events.py": "core/client/test_client.py",
    "client/links.py": "core/client/test_connecting.py",
    "client/messages.py": "core/client/test_client.py",
    "clock.py": "core/test_runner.py",
    "gateway/admission.py": "core/gateway/test_connecting.py",
    "gateway/builtin.py": "core/gateway/test_room_rules.py",
    "gateway/catalog.py": "core/gateway/test_answers.py",
    "gateway/checks.py": "core/gateway/test_schemas.py",
    "gateway/connection.py": "core/gateway/test_envelope_rules.py",
    "gateway/drain.py": "core/gateway/test_closing_rules.py",
    "gateway/egress.py": "core/gateway/test_answers.py",
    "history/sqlite_writer.py": "core/history/test_sqlite.py",
    "gateway/failures.py": "core/gateway/test_isolation.py",
    "gateway/gateway.py": "core/testing/test_harness.py",
    "gateway/heartbeat.py": "core/gateway/test_closing_rules.py",
    "gateway/hooks.py": "core/gateway/test_isolation.py",
    "gateway/host.py": "core/gateway/test_connecting.py",
    "gateway/http.py": "core/gateway/test_connecting.py",
    "gateway/ingress.py": "core/gateway/test_order_of_checks.py",
    "gateway/plugin_api.py": "core/gateway/test_isolation.py",
    "gateway/rooms.py": "core/gateway/test_room_rules.py",
    "gateway/sessions.py": "core/gateway/test_connecting.py",
    "gateway/tasks.py": "core/gateway/test_isolation.py",
    # A part of `packets`, apart for its length.
    "protocol/_packet_code.py": "core/protocol/test_packets.py",
    # All transports share one suite.
    "transports/framed.py": "core/transports/test_conformance.py",
    "transports/link.py": "core/transports/test_conformance.py",
}


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
    if module in ELSEWHERE or module in DECLARATIONS:
        assert not mirror(module).exists(), "it has one, so it is no exception"
    else:
        assert mirror(module).exists(), f"{mirror(module)} is missing"


@pytest.mark.parametrize(("module", "test"), ELSEWHERE.items())
def test_what_is_tested_elsewhere_is_tested_there(module: str, test: str) -> None:
    assert (SOURCE / module).exists()
    assert (ROOT / "tests" / test).exists()


@pytest.mark.parametrize("module", DECLARATIONS)
def test_what_only_declares_does_nothing(module: str) -> None:
    tree = ast.parse((SOURCE / module).read_text(encoding="utf-8"))
    branches = (ast.If, ast.For, ast.While, ast.Try, ast.Match, ast.comprehension)
    for node in ast.walk(tree):
        if isinstance(node, branches):
            assert ast.unparse(node).startswith("if TYPE_CHECKING:")
