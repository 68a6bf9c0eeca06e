"""The Python client: one connection, both forms of message."""

from __future__ import annotations
