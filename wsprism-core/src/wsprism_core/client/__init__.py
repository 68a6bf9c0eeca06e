"""The Python client: one connection, both forms of message.

::

    async with connect("ws://127.0.0.1:8080", ticket="dev:ann") as client:
        await client.join("lobby")
        await client.request("chat", "send", {"msg": "hello"}, room="lobby")
        async for event in client.events():
            print(event)
"""

from __future__ import annotations

from wsprism_core.client.client import Client, connect
from wsprism_core.client.errors import (
    BufferFull,
    ClientError,
    ConnectionClosed,
    HandshakeRefused,
)
from wsprism_core.client.events import Event, FrameEvent, TextEvent

__all__ = (
    "BufferFull",
    "Client",
    "ClientError",
    "ConnectionClosed",
    "Event",
    "FrameEvent",
    "HandshakeRefused",
    "TextEvent",
    "connect",
)
