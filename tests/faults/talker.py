"""A client as an honest one is: it says things, hears everything, and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import json
from enum import StrEnum
from itertools import count
from random import Random
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidMessage, InvalidStatus, WebSocketException
from websockets.frames import Frame, Opcode

from faults.ledger import Ledger, Subscriber

__all__ = ("ROOM", "Loss", "Talker")

ROOM: Final = "lobby"
#: Between two tries to connect, and before what was refused is said again, in seconds.
PAUSE: Final = 0.02
REFUSED_PAUSE: Final = 0.1
#: After so many seconds without an answer it is said again: not every refusal is told.
NO_ANSWER: Final = 1.0
#: Messages that wait for an answer, at the most.
WINDOW: Final = 32
#: How often, of so many messages, one is said twice, and one that was answered again.
DUPLICATES: Final = 20
#: How often, of so many returns, two connections race for the session.
RACES: Final = 3
#: The largest number that a told hole may end with.
EVER: Final = 2**53


class Loss(StrEnum):
    """How a connection is lost."""

    #: Both sides notice at once.
    CUT = "cut"
    #: In the middle of a message, at any of its bytes.
    TORN = "torn"
    #: The old one still seems to live when the client comes back on another.
    LEFT = "left"


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
        waiting: What it said and has no answer to, by its own id, with the time at
            which it says it again.
        is_talking: Whether it goes on saying things.
        head: The room's newest number, as it was told last.
        connections: How often it connected.
        resumed: How often its session went on.
        races: How often two connections wanted the session.
    """

    def __init__(self, name: str, url: str, ledger: Ledger, chance: Random) -> None:
        self.name = name
        self.epoch = ""
        self.seq = 0
        self.head = 0
        self.waiting: dict[str, float] = {}
        self.is_talking = True
        self.connections = 0
        self.resumed = 0
        self.races = 0
        self._url = url
        self._ledger = ledger
        self._chance = chance
        self._heard = Subscriber(name)
        self._token: str | None = None
        self._refs: dict[int, str] = {}
        self._numbers = count(1)
        self._said = count(1)
        self._answered: list[str] = []
        self._pages: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._socket: ClientConnection | None = None
        self._listening: asyncio.Task[None] | None = None
        self._left: list[ClientConnection] = []
        self._is_over = False
        ledger.subscribers.append(self._heard)

    async def run(self) -> None:
        """Talk and listen until `stop`, over as many connections as it takes."""
        while not self._is_over:
            try:
                socket, authed = await self._connect()
            except (OSError, WebSocketException, InvalidMessage, InvalidStatus):
                await asyncio.sleep(PAUSE)
                continue
            if self._is_over:
                socket.transport.abort()
                break
            self._socket = socket
            tasks = [
                asyncio.ensure_future(self._listen(socket, authed)),
                asyncio.ensure_future(self._talk(socket)),
            ]
            self._listening = tasks[0]
            await asyncio.wait(tasks[:1])
            self._socket = None
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            self._ledger.faults += [
                f"{self.name}: {end!r}" for end in ends if isinstance(end, Exception)
            ]
            await asyncio.sleep(PAUSE)
        for one in self._left:
            one.transport.abort()

    async def read_history(self) -> list[tuple[int, str]]:
        """Return number and id of all that the room has, read page by page."""
        found: list[tuple[int, str]] = []
        is_more = True
        while is_more:
            if self._socket is None:
                await asyncio.sleep(PAUSE)
                continue
            ref = next(self._numbers)
            answer = asyncio.get_running_loop().create_future()
            self._pages[ref] = answer
            after = {"after": found[-1][0] if found else 0}
            await self._send(self._socket, "chat", "history", after, ref)
            try:
                page = await asyncio.wait_for(answer, NO_ANSWER)
            except TimeoutError:
                # It is asked for again, maybe on another connection.
                continue
            found += [(one["seq"], one["msg"]) for one in page["messages"]]
            is_more = page["more"]
        return found

    def lose(self, loss: Loss) -> None:
        """Lose the connection, as by a bad line: in the middle of whatever it does."""
        socket = self._socket
        if socket is None or self._listening is None:
            return
        if loss is Loss.LEFT:
            self._left.append(socket)
            self._socket = None
            self._listening.cancel()
            return
        if loss is Loss.TORN and self.epoch:
            data = self._message(next(self._numbers), self._next_id())
            frame = Frame(Opcode.TEXT, data.encode()).serialize(mask=True)
            size = self._chance.randint(1, len(frame))
            # Where the gateway has closed, there is nobody to send it to.
            with contextlib.suppress(RuntimeError):
                socket.transport.write(frame[:size])
        socket.transport.abort()

    def stop(self) -> None:
        """Come back no more."""
        self._is_over = True
        self.lose(Loss.CUT)

    # ---------------------------------------------------------------- connecting

    async def _connect(self) -> tuple[ClientConnection, dict[str, Any]]:
        """Return a connection, and what it was told first.

        Now and then two race for the session, of which one may get it.
        """
        if self._token is None or self._chance.randrange(RACES):
            return await self._dial()
        self.races += 1
        both = await asyncio.gather(self._dial(), self._dial(), return_exceptions=True)
        came = [one for one in both if not isinstance(one, BaseException)]
        if not came:
            raise OSError("neither got through")
        # The one with the session first, where one has it.
        came.sort(key=lambda one: not one[1].get("resumed"))
        if len([one for one in came if one[1].get("resumed")]) > 1:
            self._ledger.faults.append(f"{self.name}: one token was good twice")
        for socket, _ in came[1:]:
            socket.transport.abort()
        return came[0]

    async def _dial(self) -> tuple[ClientConnection, dict[str, Any]]:
        url = self._url
        if self._token is not None:
            url += f"&resume={self._token}"
        socket = await connect(url, proxy=None, open_timeout=5)
        self.connections += 1
        try:
            message = json.loads(await socket.recv())
        except BaseException:
            socket.transport.abort()
            raise
        return socket, message["data"]

    async def _listen(self, socket: ClientConnection, authed: dict[str, Any]) -> None:
        try:
            await self._enter(socket, authed)
            async for message in socket:
                await self._take(socket, json.loads(message))
        except WebSocketException:
            return

    # ------------------------------------------------------------------ speaking

    async def _talk(self, socket: ClientConnection) -> None:
        while True:
            await asyncio.sleep(self._chance.expovariate(1 / 0.01))
            if not self.epoch:
                continue
            now = asyncio.get_running_loop().time()
            for id in [id for id, due in self.waiting.items() if due <= now]:
                await self._say(socket, id)
            if self.is_talking and len(self.waiting) < WINDOW:
                id = self._next_id()
                await self._say(socket, id)
                if not self._chance.randrange(DUPLICATES):
                    await self._say(socket, id)
                if self._answered and not self._chance.randrange(DUPLICATES):
                    await self._say(socket, self._chance.choice(self._answered))

    def _next_id(self) -> str:
        """Return an id for another message, which waits for an answer from now on."""
        id = f"{self.name}-{next(self._said)}"
        self._ledger.sent.add(id)
        self.waiting[id] = 0.0
        return id

    async def _say(self, socket: ClientConnection, id: str) -> None:
        if id in self.waiting:
            self.waiting[id] = asyncio.get_running_loop().time() + NO_ANSWER
        ref = next(self._numbers)
        self._refs[ref] = id
        await self._write(socket, self._message(ref, id))

    def _message(self, ref: int, id: str) -> str:
        return _envelope("chat", "send", {"msg": id, "id": id}, ref)

    async def _send(
        self, socket: ClientConnection, svc: str, type: str, data: Any, ref: int
    ) -> None:
        await self._write(socket, _envelope(svc, type, data, ref))

    async def _write(self, socket: ClientConnection, envelope: str) -> None:
        try:
            await socket.send(envelope)
        except WebSocketException:
            # It is said again on the next connection.
            return

    # ----------------------------------------------------------------- listening

    async def _take(self, socket: ClientConnection, message: dict[str, Any]) -> None:
        data = message.get("data") or {}
        match message["svc"], message["type"]:
            case "sys", "joined":
                self._settle_in(data)
                await self._say_again(socket)
            case "sys", "ack":
                id = self._refs.pop(message["ref"])
                if self.waiting.pop(id, None) is not None:
                    self._answered.append(id)
                self._ledger.acknowledge(id, self.epoch, data["seq"])
            case "sys", "error" if message.get("ref") in self._refs:
                # It was not stored: it is said again, under the same id.
                id = self._refs.pop(message["ref"])
                if id in self.waiting:
                    again = asyncio.get_running_loop().time() + REFUSED_PAUSE
                    self.waiting[id] = again
                self._ledger.refusals[data["code"]] += 1
            case "chat", "history":
                if not (page := self._pages.pop(message["ref"])).done():
                    page.set_result(data)
            case "chat", "msg":
                self._hear(message["seq"], data["msg"])

    async def _enter(self, socket: ClientConnection, data: dict[str, Any]) -> None:
        self._token = data.get("resume")
        rooms = data.get("rooms", [])
        if data.get("reason") in ("expired", "not_offered"):
            # No conversation lasts as long as the window.
            self._ledger.faults.append(f"{self.name}: not resumed, {data['reason']}")
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
            if self.seq:
                # The file has all of so short a conversation, whatever befalls.
                why = room.get("reason")
                self._ledger.faults.append(f"{self.name}: not recovered, {why}")
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


def _envelope(svc: str, type: str, data: Any, ref: int) -> str:
    fields = {"svc": svc, "type": type, "room": ROOM, "seq": ref, "flags": 4}
    return json.dumps(fields | {"data": data})
