"""Games on wsPrism: gameplay relayed in hot frames, and parties; two plugins."""

from __future__ import annotations

__all__ = ()
