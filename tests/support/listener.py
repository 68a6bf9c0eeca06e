"""A client that reads all the time, as an honest one does."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from types import TracebackType
from typing import Any, Final, Self

from support.peers import END, Got, WebSocketPeer

__all__ = ("Listener",)

TIMEOUT: Final = 20.0


class Listener:
    """Reads what comes to a peer, and answers pings.

    Attributes:
        peer: Whom it reads for.
        messages: The envelopes that came, oldest first.
        times: When each came, on the loop's clock.
        pings: How many pings it has answered.
        end: The close, or the end without one, once there is one.
    """

    def __init__(self, peer: WebSocketPeer) -> None:
        self.peer = peer
        self.messages: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.pings = 0
        self.end: Got | None = None
        self._counts: Counter[str] = Counter()
        self._news = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._reading = asyncio.ensure_future(self._read())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reading
        self.peer.drop()
        # The socket is closed in the next turn.
        await asyncio.sleep(0)

    async def send(
        self,
        svc: str,
        type: str,
        data: object = None,
        *,
        room: str | None = None,
        seq: int | None = None,
    ) -> None:
        """Send an envelope."""
        envelope = {"svc": svc, "type": type, "data": data, "room": room, "seq": seq}
        kept = {name: value for name, value in envelope.items() if value is not None}
        await self.peer.send("text", json.dumps(kept).encode())

    async def until(self, svc_and_type: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait for so many messages of a type; return all of it that have come."""
        async with asyncio.timeout(TIMEOUT):
            while self._counts[svc_and_type] < count:
                await self.until_news()
        return self.of(svc_and_type)

    async def until_news(self) -> None:
        """Wait for whatever comes next."""
        assert self.end is None, f"it ended: {self.end}"
        self._news.clear()
        await self._news.wait()

    async def until_any(self) -> None:
        """Wait for a message."""
        async with asyncio.timeout(TIMEOUT):
            while not self.messages:
                await self.until_news()

    def take(self) -> list[dict[str, Any]]:
        """Return what came, and forget it."""
        messages, self.messages, self.times = self.messages, [], []
        self._counts.clear()
        return messages

    async def until_end(self, within: float = TIMEOUT) -> Got:
        """Wait for the end; return the close, where there is one."""
        async with asyncio.timeout(within):
            await asyncio.shield(self._reading)
        assert self.end is not None
        return self.end

    async def leave(self) -> None:
        """Close as one should, and wait for the answer."""
        await self.peer.close(1000, "")
        assert (await self.until_end()).code == 1000

    def of(self, svc_and_type: str) -> list[dict[str, Any]]:
        """Return what came of a type, such as `chat.msg`."""
        return [
            message
            for message in self.messages
            if f"{message['svc']}.{message['type']}" == svc_and_type
        ]

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        while self.end is None:
            try:
                got = await self.peer.read_frame()
            except TimeoutError:
                # Nothing came for a while.
                continue
            except (asyncio.IncompleteReadError, ConnectionError):
                got = END
            if got.kind == "text":
                message = json.loads(got.payload)
                self._counts[f"{message['svc']}.{message['type']}"] += 1
                self.messages.append(message)
                self.times.append(loop.time())
            elif got.kind == "ping":
                self.pings += 1
                await self.peer.send("pong", got.payload)
            elif got.kind in ("close", "end"):
                self.end = got
            self._news.set()
