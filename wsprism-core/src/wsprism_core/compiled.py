"""Whether the hot path was compiled to machine code, as in the wheels of a release.

What is compiled, by mypyc, is listed in wsprism-core's pyproject.toml; the sources are
the same.
"""

from __future__ import annotations

from typing import Final

from wsprism_core.protocol import envelope

__all__ = ("IS_COMPILED",)

IS_COMPILED: Final = not (envelope.__file__ or "").endswith(".py")
