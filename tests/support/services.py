"""Small plugins for tests of the gateway, of the test kit and of the client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from wsprism_core import (
    Actions,
    Broadcast,
    BroadcastFrame,
    Envelope,
    Gateway,
    HotFrame,
    Inbound,
    Kick,
    LeaveRoom,
    Opcode,
    Outbound,
    Reply,
    RoomRule,
    Service,
    Session,
    hookimpl,
)
from wsprism_core.protocol.fields import u8
from wsprism_core.protocol.packets import Packet

#: The lab's service id, and its opcodes.
LAB = 200
RELAY, ANYWHERE, PICKY, OUTBOUND, DO, HERE = range(1, 7)


@dataclass
class Strict:
    n: int


class Exact(Packet):
    value: int = u8()


class Lab:
    """A service with one of everything; what `do` does, a test says.

    Attributes:
        todo: Handles the messages `lab.do`.
        todo_frame: Handles the frames `DO` and `HERE`.
        gateway: As `on_start` got it.
        events: What hooks were called with, in order.
    """

    wsprism_api = 1
    name = "lab"

    def __init__(self) -> None:
        self.todo: Callable[[Session, Envelope], Actions] = lambda *_: None
        self.todo_frame: Callable[[Session, HotFrame], Actions] = lambda *_: None
        self.events: list[tuple[Any, ...]] = []

    @hookimpl
    def register_services(self) -> Service:
        return Service(
            name="lab",
            svc_id=LAB,
            inbound=(
                Inbound(name="echo"),
                Inbound(name="say", room=RoomRule.MEMBER),
                Inbound(name="post", room=RoomRule.MEMBER),
                Inbound(
                    name="picky", schema=Strict, room=RoomRule.MEMBER, max_bytes=150
                ),
                Inbound(name="do"),
            ),
            outbound=(
                Outbound(name="echoed"),
                Outbound(name="said"),
                Outbound(name="posted", recoverable=True),
                Outbound(name="big", lane="bulk"),
            ),
            opcodes=(
                Opcode(number=RELAY, name="RELAY", lane="realtime"),
                Opcode(number=ANYWHERE, name="ANYWHERE", room=RoomRule.NONE),
                Opcode(number=PICKY, name="PICKY", layout=Exact, max_bytes=4),
                Opcode(number=OUTBOUND, name="OUTBOUND", inbound=False),
                Opcode(number=DO, name="DO", room=RoomRule.NONE),
                Opcode(number=HERE, name="HERE"),
            ),
        )

    @hookimpl
    def on_start(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.events.append(("start",))

    @hookimpl
    def on_stop(self) -> None:
        self.events.append(("stop",))

    @hookimpl
    def on_message(self, session: Session, message: Envelope) -> Actions:
        match message.type:
            case "say":
                return Broadcast("said", message.data)
            case "post":
                return Broadcast("posted", message.data, ack={"id": "p1"})
            case "do":
                return self.todo(session, message)
            case _:
                return Reply("echoed", message.data)

    @hookimpl
    def on_binary(self, session: Session, frame: HotFrame) -> Actions:
        if frame.opcode != RELAY:
            return self.todo_frame(session, frame)
        assert frame.room is not None
        return BroadcastFrame(
            RELAY, frame.payload, seq=frame.seq, sender=session.number_in(frame.room)
        )

    @hookimpl
    def on_open(self, session: Session) -> None:
        self.events.append(("open", session.user))

    @hookimpl
    def on_join(self, session: Session, room: str) -> None:
        self.events.append(("join", session.user, room))

    @hookimpl
    def on_leave(self, session: Session, room: str) -> None:
        self.events.append(("leave", session.user, room))

    @hookimpl
    def on_close(self, session: Session, code: int, reason: str) -> None:
        self.events.append(("close", session.user, code, reason))


class Late:
    """A service that answers when a test lets it.

    `late.work` answers `done` with its data once the gate is open.

    Attributes:
        gate: What `late.work` waits for.
        started: The data of each message, as its handler began.
    """

    wsprism_api = 1
    name = "late"

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.started: list[Any] = []

    @hookimpl
    def register_services(self) -> Service:
        return Service(
            name="late",
            inbound=(Inbound(name="work"),),
            outbound=(Outbound(name="done"),),
        )

    @hookimpl
    async def on_message(self, session: Session, message: Envelope) -> Actions:
        self.started.append(message.data)
        await self.gate.wait()
        return Reply("done", message.data)


class Bouncer:
    """Does at once, in one of its hooks, what ends what it was told of.

    Args:
        at: The event at which it does so.
        leaves: Whether it ends the membership, and not the session.
        user: Whose alone; None is everybody's.
    """

    wsprism_api = 1
    name = "bouncer"

    def __init__(
        self, at: str, *, leaves: bool = False, user: str | None = None
    ) -> None:
        self.at = at
        self.leaves = leaves
        self.user = user
        self.gateway: Gateway

    @hookimpl
    def register_services(self) -> Service:
        return Service(name="bouncer")

    @hookimpl
    def on_start(self, gateway: Gateway) -> None:
        self.gateway = gateway

    @hookimpl
    def on_open(self, session: Session) -> None:
        self.heard("open", session)

    @hookimpl
    def on_join(self, session: Session, room: str) -> None:
        self.heard("join", session)

    @hookimpl
    def on_leave(self, session: Session, room: str) -> None:
        self.heard("leave", session)

    def heard(self, event: str, session: Session) -> None:
        if event == self.at and self.user in (None, session.user):
            end = (
                LeaveRoom(session.id, "r1") if self.leaves else Kick("out", session.id)
            )
            self.gateway.perform(end, tenant=session.tenant)
