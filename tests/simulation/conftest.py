"""The simulator looks inside the engine, and puts bugs into it."""

from __future__ import annotations

from wsprism_core.compiled import IS_COMPILED

# What is compiled can be neither tapped nor changed.
collect_ignore_glob = ["test_*.py"] if IS_COMPILED else []
