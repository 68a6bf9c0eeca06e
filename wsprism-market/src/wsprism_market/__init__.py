"""Market data for wsPrism: snapshots, then updates, as a service plugin."""

from __future__ import annotations

__all__ = ()
