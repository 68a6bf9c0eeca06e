"""The `wsprism` command line: run, connect, plugins, bench."""

from __future__ import annotations
