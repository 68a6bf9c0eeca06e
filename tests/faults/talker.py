"""A client as an honest one is: it says things, hears everything, and comes back."""

from __future__ import annotations

import asyncio
import json
from itertools import count
from random import Random
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidMessage, InvalidStatus, WebSocketException

from faults.ledger import Ledger, Subscriber

__all__ = ("ROOM", "Talker")

ROOM: Final = "lobby"
#: Between two tries to connect, in seconds.
PAUSE: Final = 0.02
#: The largest number that a told hole may end with.
EVER: Final = 2**53


class Talker:
    """One user.

    Args:
        name: Unique in the room.
        url: Where the gateway listens, with a ticket.
        ledger: Where everything is noted.
        chance: What it leaves to chance.

    Attributes:
        epoch: The room's, as it knows it.
        seq: The newest number that it heard.
        waiting: What it said and has no answer to, by its own id.
        is_talking: Whether it goes on saying things.
        head: The room's newest number, as it was told last.
    """

    def __init__(self, name: str, url: str, ledger: Ledger, chance: Random) -> None:
        self.name = name
        self.epoch = ""
        self.seq = 0
        self.head = 0
        self.waiting: dict[str, None] = {}
        self.is_talking = True
        self.connections = 0
        self.resumed = 0
        self._url = url
        self._ledger = ledger
        self._chance = chance
        self._heard = Subscriber(name)
        self._token: str | None = None
        self._refs: dict[int, str] = {}
        self._numbers = count(1)
        self._said = count(1)
        self._socket: ClientConnection | None = None
        self._is_over = False
        ledger.subscribers.append(self._heard)

    async def run(self) -> None:
        """Talk and listen until `stop`, over as many connections as it takes."""
        while not self._is_over:
            url = self._url
            if self._token is not None:
                url += f"&resume={self._token}"
            try:
                async with connect(url, proxy=None, open_timeout=5) as socket:
                    self.connections += 1
                    self._socket = socket
                    talking = asyncio.ensure_future(self._talk(socket))
                    try:
                        async for message in socket:
                            await self._take(socket, json.loads(message))
                    finally:
                        talking.cancel()
            except (OSError, WebSocketException, InvalidMessage, InvalidStatus):
                pass
            await asyncio.sleep(PAUSE)

    def drop(self) -> None:
        """Lose the connection, as by a bad line: in the middle of whatever it does."""
        if self._socket is not None:
            self._socket.transport.abort()

    def stop(self) -> None:
        """Come back no more."""
        self._is_over = True
        self.drop()

    # ------------------------------------------------------------------ speaking

    async def _talk(self, socket: ClientConnection) -> None:
        while True:
            await asyncio.sleep(self._chance.expovariate(1 / 0.01))
            if self.is_talking and self.epoch and len(self.waiting) < 32:
                id = f"{self.name}-{next(self._said)}"
                self._ledger.sent.add(id)
                self.waiting[id] = None
                await self._say(socket, id)

    async def _say(self, socket: ClientConnection, id: str) -> None:
        ref = next(self._numbers)
        self._refs[ref] = id
        data = {"msg": id, "id": id}
        await self._send(socket, "chat", "send", data, ref)

    async def _send(
        self, socket: ClientConnection, svc: str, type: str, data: Any, ref: int
    ) -> None:
        fields = {"svc": svc, "type": type, "room": ROOM, "seq": ref, "flags": 4}
        try:
            await socket.send(json.dumps(fields | {"data": data}))
        except WebSocketException:
            # It is said again on the next connection.
            return

    # ----------------------------------------------------------------- listening

    async def _take(self, socket: ClientConnection, message: dict[str, Any]) -> None:
        data = message.get("data") or {}
        match message["svc"], message["type"]:
            case "sys", "authed":
                await self._enter(socket, data)
            case "sys", "joined":
                self._settle_in(data)
                await self._say_again(socket)
            case "sys", "ack":
                id = self._refs.pop(message["ref"])
                self.waiting.pop(id, None)
                self._ledger.acknowledge(id, self.epoch, data["seq"])
            case "sys", "error" if message.get("ref") in self._refs:
                # It was not stored: it is said again, under the same id.
                id = self._refs.pop(message["ref"])
                await self._say(socket, id)
            case "chat", "msg":
                self._hear(message["seq"], data["msg"])

    async def _enter(self, socket: ClientConnection, data: dict[str, Any]) -> None:
        self._token = data.get("resume")
        rooms = data.get("rooms", [])
        if data.get("resumed") and rooms:
            self.resumed += 1
            self._settle_in(rooms[0])
            await self._say_again(socket)
            return
        where = {"epoch": self.epoch, "seq": self.seq} if self.epoch else None
        await self._send(socket, "room", "join", where, next(self._numbers))

    def _settle_in(self, room: dict[str, Any]) -> None:
        """Know where the room is, and what of it will not come."""
        if not room.get("recovered", False):
            if self.epoch:
                self._heard.holes.append((self.epoch, self.seq + 1, EVER))
            if room["epoch"] != self.epoch or self.seq == 0:
                self._heard.holes.append((room["epoch"], 0, room["seq"]))
            self.seq = room["seq"]
        self.epoch = room["epoch"]
        self.head = max(self.head, room["seq"])

    async def _say_again(self, socket: ClientConnection) -> None:
        for id in list(self.waiting):
            await self._say(socket, id)

    def _hear(self, seq: int, id: str) -> None:
        # What was sent again because nobody knew that it had come.
        if seq > self.seq:
            self._heard.heard.append((self.epoch, seq, id))
            self.seq = seq
