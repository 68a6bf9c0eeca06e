"""What is fuzzed, and the inputs that are kept of it."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Final

__all__ = ("CORPUS", "TARGETS", "Target", "load")

#: Takes any bytes; it returns, or has found a fault.
Target = Callable[[bytes], None]

_HERE: Final = Path(__file__).parent
#: A folder of small files for each target.
CORPUS: Final = _HERE / "corpus"
#: The names of the targets; each is a module, and its `target` a function.
TARGETS: Final = sorted(file.stem for file in (_HERE / "targets").glob("*.py"))


def load(name: str) -> Target:
    """Return a target by its name."""
    found: Target = import_module(f"fuzz.targets.{name}").target
    return found
