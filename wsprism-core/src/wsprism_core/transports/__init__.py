"""Everything that knows a socket."""

from __future__ import annotations
