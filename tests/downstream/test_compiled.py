"""The compiled wheel, in an environment of its own, under the tests of the sources."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: What runs in process and sees most of what is compiled.
SUITES = ("core/protocol", "core/policy", "core/realtime", "core/gateway", "chat")

pytestmark = [pytest.mark.downstream, pytest.mark.timeout(600)]


def run(*command: str, cwd: Path, **variables: str) -> str:
    unwanted = ("PYTHONPATH", "VIRTUAL_ENV", "WSPRISM_PLUGINS")
    kept = {name: v for name, v in os.environ.items() if name not in unwanted}
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, env={**kept, **variables}
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


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
    wheels, python = tmp_path / "wheels", str(tmp_path / "venv" / "bin" / "python")
    build = ("uv", "build", "--quiet", "--wheel", "--out-dir", str(wheels))
    run(*build, str(core), cwd=tmp_path, HATCH_BUILD_HOOKS_ENABLE="1")
    for package in ("chat", "game", "market", "cli"):
        run(*build, str(ROOT / f"wsprism-{package}"), cwd=tmp_path)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    run("uv", "venv", "--quiet", "--python", version, "venv", cwd=tmp_path)
    install = ("uv", "pip", "install", "--quiet", "--python", python)
    run(*install, *map(str, wheels.glob("*.whl")), cwd=tmp_path)
    tools = "pytest pytest-asyncio pytest-timeout hypothesis kosoku schemathesis psutil"
    run(*install, *tools.split(), cwd=tmp_path)

    said = run(str(tmp_path / "venv" / "bin" / "wsprism"), "--version", cwd=tmp_path)
    assert said.startswith("wsprism-core ")
    assert "(compiled)" in said
    suites = (str(ROOT / "tests" / suite) for suite in SUITES)
    tests = run(
        python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *suites, cwd=ROOT
    )
    assert " passed" in tests
