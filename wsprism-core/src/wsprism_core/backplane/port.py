"""The port between gateways: how a room reaches its members elsewhere."""

from __future__ import annotations

from typing import Protocol

from wsprism_core.realtime.channel import Channel, Subscriber

__all__ = ("Backplane",)


class Backplane(Protocol):
    """Carries rooms between gateways and keeps their order and history."""

    #: How the configuration names it.
    name: str

    async def start(self) -> None:
        """Connect.

        Raises:
            OSError: It cannot be reached.
        """

    async def stop(self) -> None:
        """Disconnect; every channel is closed already."""

    def open(self, tenant: str, room: str, subscriber: Subscriber) -> Channel:
        """Take hold of a room; `subscriber` gets everything from here on."""
