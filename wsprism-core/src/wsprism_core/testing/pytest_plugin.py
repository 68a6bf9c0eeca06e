"""The pytest plugin: the fixture `gateway`."""

from __future__ import annotations

__all__ = ()
