"""Sessions, rooms and delivery: pure state machines, no I/O, no clock of their own."""

from __future__ import annotations
