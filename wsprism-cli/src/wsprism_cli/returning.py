"""Coming back for `wsprism connect`: when to try again, and what to ask for then."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from random import random
from typing import Any, Final

from wsprism_core import WsPrismError
from wsprism_core.client import Client, ConnectionClosed, HandshakeRefused

__all__ = ("Whereabouts", "come_back")

#: Seconds before the first attempt, about, and at the most between two.
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 15.0
#: Numbers of a room that are remembered, so that none is shown twice.
REMEMBERED: Final = 1_000


@dataclass(slots=True)
class _Room:
    """What one has of a room.

    Args:
        epoch: Its epoch.
        seq: The largest number that one has seen.
        numbers: The last numbers that one has seen.
        again: Those that may come a second time, after coming back.
    """

    epoch: str
    seq: int
    numbers: deque[int] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    again: set[int] = field(default_factory=set)


class Whereabouts:
    """The rooms that one is in, and what one has seen of each."""

    def __init__(self) -> None:
        #: By name, the active room last.
        self._rooms: dict[str, _Room] = {}

    def note(self, envelope: Mapping[str, Any]) -> bool:
        """Learn from a message; return False for one that comes again."""
        match envelope:
            case {
                "svc": "sys",
                "type": "joined",
                "room": str(name),
                "data": {"epoch": str(epoch), "seq": int(seq), **more},
            }:
                room = self._rooms.pop(name, None)
                if room is None or not more.get("recovered"):
                    room = _Room(epoch, seq)
                self._rooms[name] = room
            case {"svc": "sys", "type": "left", "room": str(name)}:
                self._rooms.pop(name, None)
            case {"room": str(name), "seq": int(seq)} if name in self._rooms:
                room = self._rooms[name]
                if seq in room.again:
                    room.again.discard(seq)
                    return False
                room.seq = max(room.seq, seq)
                room.numbers.append(seq)
        return True

    def resumed(self, rows: list[dict[str, Any]]) -> list[str]:
        """Go on in the rooms of a session that is back; return where not, and why."""
        lost = []
        before, self._rooms = self._rooms, {}
        for row in rows:
            name = row["room"]
            room = before.get(name)
            if room is None or not row["recovered"]:
                room = _Room(row["epoch"], row["seq"])
            if not row["recovered"]:
                lost.append(f"{name}: {row['reason']}")
            # It begins behind what has certainly arrived, and more may have.
            room.again = set(room.numbers)
            self._rooms[name] = room
        return lost

    async def join_again(self, client: Client) -> list[dict[str, Any]]:
        """Join the rooms anew, from where one was; return what answers each."""
        answers = []
        for name, room in list(self._rooms.items()):
            try:
                answers.append(await client.join(name, epoch=room.epoch, seq=room.seq))
            except WsPrismError:
                del self._rooms[name]
                raise
        return answers


async def come_back(
    client: Client,
    connect: Callable[[str | None], Awaitable[Client]],
    pause: Callable[[float], Awaitable[None]],
) -> Client | None:
    """Connect again, as often as it takes; return None where there is no point in it.

    Args:
        client: A connection that is over.
        connect: Connects, with what a session may be resumed by.
        pause: Waits for so many seconds.
    """
    assert client.closed is not None
    if not ConnectionClosed(*client.closed).reconnect:
        return None
    for attempt in count():
        seconds = min(FIRST_PAUSE * 2**attempt, LONGEST_PAUSE)
        await pause(seconds * (0.5 + random()))
        try:
            return await connect(client.authed.get("resume"))
        except HandshakeRefused as refused:
            # Without a status the line was lost before there was an answer.
            if refused.status and not refused.reconnect:
                return None
        except ConnectionClosed as closed:
            if not closed.reconnect:
                return None
        except OSError:
            # Nobody is there, or not in time.
            continue
    raise AssertionError("it counts for ever")
