"""A service of which the newest counts, in every way that there is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from typing_extensions import TypedDict

from wsprism_core import (
    Actions,
    Envelope,
    HotFrame,
    Inbound,
    Opcode,
    Outbound,
    Reply,
    RoomRule,
    Service,
    Session,
    hookimpl,
)
from wsprism_core.packets import Packet, u8

#: The range's service id, and its opcodes.
RANGE = 201
MOVE, TURN, SHOUT, AFAR, LOAD = range(1, 6)


class Aim(TypedDict, total=False):
    weapon: str | list[int]
    at: int


class Round(Packet):
    number: int = u8()


class Range:
    """Handles text messages one at a time, when a test lets it, and frames at once.

    Attributes:
        seen: The data of the messages and the frames that got here, in order.
        answer: What it makes of a text message.
        answer_frame: The same for a frame.
    """

    wsprism_api = 1
    name = "range"

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.answer: Callable[[Envelope], Actions] = lambda _: None
        self.answer_frame: Callable[[HotFrame], Actions] = lambda _: None
        self._turns = asyncio.Semaphore(0)

    def let(self, messages: int) -> None:
        """Let so many messages be handled."""
        for _ in range(messages):
            self._turns.release()

    @hookimpl
    def register_services(self) -> Service:
        member = RoomRule.MEMBER
        return Service(
            name="range",
            svc_id=RANGE,
            inbound=(
                Inbound(name="say"),
                Inbound(name="look", latest=True),
                Inbound(name="stand", latest=True, room=member),
                Inbound(name="aim", latest=True, key="weapon", schema=Aim),
                Inbound(name="mark", latest=True, key="id", room=RoomRule.OPTIONAL),
                Inbound(name="step", drop_stale=True),
                Inbound(name="walk", drop_stale=True, room=member),
                Inbound(name="run", drop_stale=True, latest=True),
            ),
            outbound=(Outbound(name="done"),),
            opcodes=(
                Opcode(number=MOVE, name="MOVE", drop_stale=True),
                Opcode(number=TURN, name="TURN", drop_stale=True),
                Opcode(number=SHOUT, name="SHOUT"),
                Opcode(number=AFAR, name="AFAR", drop_stale=True, room=RoomRule.NONE),
                Opcode(number=LOAD, name="LOAD", drop_stale=True, layout=Round),
            ),
        )

    @hookimpl
    async def on_message(self, session: Session, message: Envelope) -> Actions:
        self.seen.append(message.data)
        await self._turns.acquire()
        return self.answer(message)

    @hookimpl
    def on_binary(self, session: Session, frame: HotFrame) -> Actions:
        self.seen.append(frame.payload)
        return self.answer_frame(frame)


def done(message: Envelope) -> Reply:
    """Answer with what was sent."""
    return Reply("done", message.data)
