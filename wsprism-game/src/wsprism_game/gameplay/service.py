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
    "Relay",
    "answer_clock",
    "is_newer",
)

#: This opcode and those above it mean what the game says.
FIRST_GAME_OPCODE: Final = 16

_HALF: Final = 1 << 31
_MASK: Final = (1 << 32) - 1


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


def is_newer(seq: int, than: int) -> bool:
    """Whether a 32-bit number comes after another, across the wrap (RFC 1982).

    Numbers exactly half the range apart have no order; neither is newer.
    """
    return 0 < (seq - than) & _MASK < _HALF


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


class Relay:
    """Relays the frames of one tenant.

    Every member of the room gets a frame, the sender too, so that the sender sees the
    room's order.
    """

    def __init__(self) -> None:
        #: The newest INPUT of each session, by room.
        self._newest: dict[str, dict[str, int]] = {}

    def relay(
        self, session: str, room: str, sender: int, frame: HotFrame
    ) -> BroadcastFrame | None:
        """Pass a frame on to its room.

        Args:
            session: The sender's session id.
            room: The frame's room.
            sender: The sender's member number in that room; 0 in the quiet audience.
            frame: INPUT, EVENT or one of the game's own.

        Returns:
            The frame with SENDER and the sender's SEQ; None for an INPUT that is not
            newer than the last one of the same session in the same room. An INPUT
            without SEQ is never old.

        Raises:
            ProtocolError: `NOT_ALLOWED` from the audience, which has no number to be
                known by.
        """
        if not sender:
            raise ProtocolError(ErrorCode.NOT_ALLOWED, "join the room first")
        seq = frame.seq
        if frame.opcode != INPUT:
            return BroadcastFrame(frame.opcode, frame.payload, seq=seq, sender=sender)
        if seq is not None:
            rooms = self._newest.setdefault(session, {})
            newest = rooms.get(room)
            if newest is not None and not is_newer(seq, newest):
                return None
            rooms[room] = seq
        return BroadcastFrame(INPUT, frame.payload, seq=seq, sender=sender, key=sender)

    def left(self, session: str, room: str) -> None:
        """Forget a session's INPUT in a room; it may count from anywhere again."""
        rooms = self._newest.get(session)
        if rooms is not None:
            rooms.pop(room, None)
            if not rooms:
                del self._newest[session]
