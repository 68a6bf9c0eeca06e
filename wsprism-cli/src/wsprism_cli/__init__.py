"""The `wsprism` command line: run, plugins, connect."""

from __future__ import annotations
