"""Fuzzes one target: `python -m fuzz.one TARGET`, then options of libFuzzer."""

from __future__ import annotations

import sys

import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]

from fuzz.corpus import load


def main() -> None:
    """Fuzz until time is up, or a fault is found: then the exit code is not 0."""
    _, name, *options = sys.argv
    with atheris.instrument_imports(include=["wsprism_core", "yaml", "h11"]):
        target = load(name)
    atheris.Setup([name, *options], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
