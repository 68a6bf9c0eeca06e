"""Dice for wsPrism, by somebody else."""

from __future__ import annotations

import random

from wsprism_core import (
    Actions,
    Broadcast,
    BroadcastFrame,
    Envelope,
    HotFrame,
    Inbound,
    Opcode,
    Outbound,
    RoomRule,
    Service,
    Session,
    hookimpl,
)

__all__ = ("DicePlugin",)


class DicePlugin:
    """Rolls dice for a room."""

    wsprism_api = 1

    def __init__(self) -> None:
        self._dice = random.Random(6)

    @hookimpl
    def register_services(self) -> Service:
        """Declare the service `dice`."""
        return Service(
            name="dice",
            svc_id=66,
            inbound=(Inbound(name="roll", room=RoomRule.MEMBER),),
            outbound=(Outbound(name="rolled"),),
            opcodes=(Opcode(number=1, name="ROLL"),),
        )

    @hookimpl
    def on_message(self, session: Session, message: Envelope) -> Actions:
        """Roll for everybody in the room."""
        pips = self._dice.randint(1, 6)
        return Broadcast("rolled", {"by": session.user, "pips": pips})

    @hookimpl
    def on_binary(self, session: Session, frame: HotFrame) -> Actions:
        """Roll, fast."""
        return BroadcastFrame(1, bytes([self._dice.randint(1, 6)]))
