"""Who may do what, and how much of it."""

from __future__ import annotations
