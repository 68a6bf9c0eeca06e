"""What happens to a hot frame in a room without game logic."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from wsprism_core import BroadcastFrame, ErrorCode, HotFrame, ProtocolError, PushFrame
from wsprism_game.gameplay.packets import Clock

__all__ = (
    "CLOCK",
    "FIRST_GAME_OPCODE",
    "GameOpcode",
    "answer_clock",
    "relay",
)

#: This opcode and those above it mean what the game says.
FIRST_GAME_OPCODE: Final = 16


class GameOpcode(IntEnum):
    """Opcodes with a meaning of their own; 0 is ACK, sent by the core."""

    INPUT = 1
    EVENT = 2
    SNAPSHOT = 3
    DELTA = 4
    CLOCK = 5


# Bound once: enum attribute look-ups cost on the hot path.
INPUT: Final = int(GameOpcode.INPUT)
CLOCK: Final = int(GameOpcode.CLOCK)


def answer_clock(session: str, frame: HotFrame, now: float) -> PushFrame:
    """Answer CLOCK with the client's time and the gateway's.

    Args:
        session: The sender's session id.
        frame: The frame; a `server_us` in it is ignored.
        now: The gateway's time in seconds.

    Raises:
        Malformed: The payload is no `Clock`.
    """
    clock = Clock.unpack(frame.payload)
    clock.server_us = int(now * 1_000_000)
    # Of two answers that wait only the newer one still says something: one key.
    return PushFrame(CLOCK, clock.pack(), session=session, key=0)


def relay(sender: int, frame: HotFrame) -> BroadcastFrame:
    """Pass a frame on to its room.

    Every member of the room gets it, the sender too, so that the sender sees the room's
    order.

    Args:
        sender: The sender's member number in the room; 0 in the quiet audience.
        frame: INPUT, EVENT or one of the game's own.

    Returns:
        The frame with SENDER and the sender's SEQ.

    Raises:
        ProtocolError: `NOT_ALLOWED` from the audience, which has no number to be known
            by.
    """
    if not sender:
        raise ProtocolError(ErrorCode.NOT_ALLOWED, "join the room first")
    # Of two inputs of one player that wait only the newer one still says something.
    key = sender if frame.opcode == INPUT else None
    return BroadcastFrame(
        frame.opcode, frame.payload, seq=frame.seq, sender=sender, key=key
    )
