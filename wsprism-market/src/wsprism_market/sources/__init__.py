"""Where quotes come from: a port, and the sources that ship with the package."""

from __future__ import annotations

from wsprism_market.config import FileConfig, SourceConfig
from wsprism_market.sources.port import Source
from wsprism_market.sources.random_walk import RandomWalk
from wsprism_market.sources.recording import Recording

__all__ = ("open_source",)


def open_source(config: SourceConfig, start_ms: int) -> Source:
    """Return the source that is configured.

    Args:
        config: Which one, and how.
        start_ms: When it starts, in milliseconds since 1970.
    """
    if isinstance(config, FileConfig):
        return Recording(config.path, config.speed)
    return RandomWalk(config.symbols, config.seed, config.per_second, start_ms)
