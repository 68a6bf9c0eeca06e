"""What arrives without being an answer, and where it waits to be taken."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeAlias, TypeVar, cast

from wsprism_core.client.errors import BufferFull
from wsprism_core.protocol.hotframe import HotFrame

__all__ = ("Event", "EventBuffer", "Events", "FrameEvent", "TextEvent")


@dataclass(frozen=True, slots=True)
class TextEvent:
    """A text message.

    Args:
        envelope: Its fields, as in the protocol's table.
    """

    envelope: dict[str, Any]

    @property
    def name(self) -> str:
        """Its service and type: `chat.msg`."""
        return f"{self.envelope['svc']}.{self.envelope['type']}"

    @property
    def data(self) -> Any:
        """Its data; None also where there is none."""
        return self.envelope.get("data")

    @property
    def room(self) -> str | None:
        """The room that it concerns, if any."""
        return self.envelope.get("room")


@dataclass(frozen=True, slots=True)
class FrameEvent:
    """A hot frame.

    Args:
        frame: The frame; `alias` is the one that joining the room gave.
    """

    frame: HotFrame


Event: TypeAlias = TextEvent | FrameEvent
E = TypeVar("E", bound=Event)


class EventBuffer:
    """Events between the connection and the program, in order and bounded.

    Args:
        limit: How many may wait; one more waits outside until one is taken.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._waiting: deque[Event] = deque()
        self._over = False
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()

    @property
    def is_full(self) -> bool:
        """Whether as many wait as may."""
        return len(self._waiting) >= self.limit

    def end(self) -> None:
        """Let nothing more in; what waits may still be taken."""
        self._over = True
        self._arrived.set()
        self._taken.set()

    async def put(self, event: Event) -> None:
        """Add an event, once there is room; after the end it is forgotten."""
        while self.is_full and not self._over:
            self._taken.clear()
            await self._taken.wait()
        if not self._over:
            self._waiting.append(event)
            self._arrived.set()

    async def take(self, wanted: Callable[[Event], bool]) -> Event:
        """Return the oldest event that is wanted, now or once it is there.

        Raises:
            StopAsyncIteration: There is none, and nothing more comes.
            BufferFull: There is none, and nothing more can come.
        """
        while True:
            for place, event in enumerate(self._waiting):
                if wanted(event):
                    del self._waiting[place]
                    self._taken.set()
                    return event
            if self._over:
                raise StopAsyncIteration
            if self.is_full:
                raise BufferFull(self.limit)
            self._arrived.clear()
            await self._arrived.wait()


class Events(Generic[E]):
    """Iterates over some of the events; the others are left to others.

    Args:
        buffer: Where they wait.
        wanted: Which of them.
    """

    def __init__(self, buffer: EventBuffer, wanted: Callable[[Event], bool]) -> None:
        self._buffer = buffer
        self._wanted = wanted

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E:
        """Return the next one.

        Raises:
            StopAsyncIteration: The connection is closed and all of them were taken.
            BufferFull: Others fill the buffer, so that none of these can arrive.
        """
        return cast("E", await self._buffer.take(self._wanted))
