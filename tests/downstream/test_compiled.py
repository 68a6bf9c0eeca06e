"""The compiled wheel, in an environment of its own, under the tests of the sources."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from support.wheels import Environment, clean_environment

ROOT = Path(__file__).parents[2]
#: What runs in process and sees most of what is compiled.
SUITES = ("core/protocol", "core/policy", "core/realtime", "core/gateway", "chat")

#: What they need besides.
TOOLS = (
    "pytest",
    "pytest-asyncio",
    "pytest-timeout",
    "hypothesis",
    "kosoku",
    "schemathesis",
    "psutil",
)

pytestmark = [pytest.mark.downstream, pytest.mark.timeout(600)]


def can_compile() -> bool:
    headers = Path(sysconfig.get_path("include")) / "Python.h"
    return headers.exists() and shutil.which("cc") is not None


@pytest.mark.interpreted
@pytest.mark.skipif(
    os.environ.get("WSPRISM_COMPILED") != "1",
    reason="takes minutes; see `poe test-compiled`",
)
@pytest.mark.skipif(not can_compile(), reason="needs a C compiler, Python's headers")
def test_the_compiled_wheel_passes_what_the_sources_pass(tmp_path: Path) -> None:
    # A copy: what is compiled in place would be found by every other test.
    core = tmp_path / "wsprism-core"
    shutil.copytree(
        ROOT / "wsprism-core", core, ignore=shutil.ignore_patterns("__pycache__")
    )
    environment = Environment(tmp_path)
    environment.build(core, HATCH_BUILD_HOOKS_ENABLE="1")
    packages = [f"wsprism-{name}" for name in ("chat", "game", "market", "cli")]
    for package in packages:
        environment.build(ROOT / package)
    environment.create()
    environment.install("wsprism-core", *packages, *TOOLS)

    told = environment.wsprism("--version").stdout
    assert told.startswith("wsprism-core ")
    assert "(compiled)" in told
    suites = [str(ROOT / "tests" / suite) for suite in SUITES]
    python = str(environment.bin / "python")
    tests = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *suites],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=clean_environment(),
    )
    assert tests.returncode == 0, tests.stdout[-4000:] + tests.stderr[-4000:]
    assert " passed" in tests.stdout
