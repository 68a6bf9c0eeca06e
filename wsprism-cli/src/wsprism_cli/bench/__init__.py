"""`wsprism bench`: the load, the statistics and the words."""

from __future__ import annotations

from wsprism_cli.bench.command import bench

__all__ = ("bench",)
