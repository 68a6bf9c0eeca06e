"""Coming back for `wsprism connect`: when to try again, and what to ask for then."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from random import random
from ssl import SSLCertVerificationError
from typing import Any, Final

from wsprism_core.client import (
    Client,
    ClientError,
    ConnectionClosed,
    HandshakeRefused,
)

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
        is_due: Whether the session, a new one, has not joined it yet.
    """

    epoch: str
    seq: int
    numbers: deque[int] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    again: set[int] = field(default_factory=set)
    is_due: bool = False


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
                room.is_due = False
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

    def resumed(self, rows: list[dict[str, Any]], active: str | None) -> list[str]:
        """Go on in the rooms of a session that is back; return where not, and why.

        Args:
            rows: What the gateway told of each room.
            active: The room that is the active one.
        """
        lost = []
        before, self._rooms = self._rooms, {}
        for row in sorted(rows, key=lambda row: row["room"] == active):
            name = row["room"]
            room = before.get(name)
            if room is None or not row["recovered"]:
                room = _Room(row["epoch"], row["seq"])
            if not row["recovered"]:
                lost.append(f"{name}: {row['reason']}")
            # It begins behind what has certainly arrived, and more may have.
            room.again = set(room.numbers)
            room.is_due = False
            self._rooms[name] = room
        for name, room in before.items():
            if room.is_due:
                self._rooms.setdefault(name, room)
        return lost

    def begin_anew(self) -> None:
        """Note that this is another session, which is in no room yet."""
        # Those that the last one did not get to join were behind those that it did.
        in_order = sorted(self._rooms.items(), key=lambda item: item[1].is_due)
        self._rooms = dict(in_order)
        for room in self._rooms.values():
            room.is_due = True

    async def join_again(
        self, client: Client
    ) -> AsyncIterator[tuple[str, dict[str, Any] | ClientError | TimeoutError]]:
        """Join what is to be joined, from where one was; yield what comes of each.

        A room that one may not join is given up, and the others are joined all the
        same. Where the connection is lost meanwhile, those that are left wait for the
        next one.
        """
        answer: dict[str, Any] | ClientError | TimeoutError
        for name, room in list(self._rooms.items()):
            if not room.is_due:
                continue
            try:
                answer = await client.join(name, epoch=room.epoch, seq=room.seq)
            except ConnectionClosed:
                return
            except TimeoutError as late:
                answer = late
            except ClientError as refused:
                self._rooms.pop(name, None)
                answer = refused
            yield name, answer


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

    Raises:
        SSLCertVerificationError: Whoever answers now is not to be trusted.
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
        except SSLCertVerificationError:
            # No later attempt would find another one by itself.
            raise
        except OSError:
            # Nobody is there, or not in time.
            continue
    raise AssertionError("it counts for ever")
