"""The wire: pure functions and state machines over bytes, no I/O."""

from __future__ import annotations
