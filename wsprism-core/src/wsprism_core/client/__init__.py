"""The Python client: one connection, both forms of message."""

from __future__ import annotations

from wsprism_core.client.client import Client, connect
from wsprism_core.client.errors import ClientError, ConnectionClosed
from wsprism_core.client.events import Event, FrameEvent, TextEvent

__all__ = (
    "Client",
    "ClientError",
    "ConnectionClosed",
    "Event",
    "FrameEvent",
    "TextEvent",
    "connect",
)
