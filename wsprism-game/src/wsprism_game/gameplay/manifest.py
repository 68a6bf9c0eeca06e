"""What the gameplay service says on the wire."""

from __future__ import annotations

from typing import Final

from wsprism_core import Delivery, Opcode, RoomRule, Service
from wsprism_game.gameplay.packets import Clock
from wsprism_game.gameplay.service import FIRST_GAME_OPCODE, GameOpcode

__all__ = ("manifest",)

_LATEST: Final = Delivery.LATEST


def manifest() -> Service:
    """Return what the service declares."""
    return Service(
        name="game",
        svc_id=1,
        summary="Input and events of a match, relayed to its room",
        opcodes=(
            Opcode(
                number=GameOpcode.INPUT,
                name=GameOpcode.INPUT.name,
                summary="What a player does; the newest of each sender counts",
                delivery=_LATEST,
                drop_stale=True,
            ),
            Opcode(
                number=GameOpcode.EVENT,
                name=GameOpcode.EVENT.name,
                summary="What happened and may not be lost",
            ),
            Opcode(
                number=GameOpcode.SNAPSHOT,
                name=GameOpcode.SNAPSHOT.name,
                summary="A whole state",
                inbound=False,
                delivery=_LATEST,
            ),
            Opcode(
                number=GameOpcode.DELTA,
                name=GameOpcode.DELTA.name,
                summary="What changed since a state that the client has",
                inbound=False,
                delivery=_LATEST,
            ),
            Opcode(
                number=GameOpcode.CLOCK,
                name=GameOpcode.CLOCK.name,
                summary="The client's time; answered with the gateway's beside it",
                layout=Clock,
                room=RoomRule.NONE,
                delivery=_LATEST,
            ),
            *(
                Opcode(
                    number=number,
                    name=f"GAME_{number}",
                    summary="The game's own; relayed",
                )
                for number in range(FIRST_GAME_OPCODE, 256)
            ),
        ),
        lane="realtime",
    )
