"""Gameplay: input, events and clock synchronisation in hot frames (svc `game`)."""

from __future__ import annotations

__all__ = ()
