"""Between nodes: how a room reaches its members on other gateways."""

from __future__ import annotations
