"""Chat rooms for wsPrism: ordered messages and their history, as a service plugin."""

from __future__ import annotations

__all__ = ()
