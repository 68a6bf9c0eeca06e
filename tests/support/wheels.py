"""Fresh environments with wheels of this workspace in them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ("Environment", "clean_environment")


class Environment:
    """A fresh environment with wheels in it.

    Args:
        folder: Where all of it is made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wheels = folder / "wheels"
        self.bin = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")

    def uv(self, *arguments: str, **variables: str) -> None:
        uv = shutil.which("uv")
        assert uv is not None
        done = subprocess.run(
            [uv, *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            env={**os.environ, **variables},
        )
        assert done.returncode == 0, done.stderr

    def create(self) -> None:
        """Make the environment, with this Python and nothing else."""
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        self.uv("venv", "--quiet", "--python", version, str(self.bin.parent))

    def build(self, project: Path, *options: str, **variables: str) -> None:
        build = ("build", "--quiet", "--wheel", "-o", str(self.wheels))
        self.uv(*build, *options, str(project), **variables)

    def install(self, *packages: str) -> None:
        python = str(self.bin / "python")
        wheels = str(self.wheels)
        self.uv("pip", "install", "--python", python, "--find-links", wheels, *packages)

    def wsprism(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.bin / "wsprism"), *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            env=clean_environment(),
        )


def clean_environment() -> dict[str, str]:
    unwanted = ("PYTHONPATH", "VIRTUAL_ENV", "WSPRISM_PLUGINS")
    return {name: value for name, value in os.environ.items() if name not in unwanted}
