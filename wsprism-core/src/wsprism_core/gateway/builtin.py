"""The core's own services: `sys` for the connection, `room` for membership."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wsprism_core.gateway.egress import Egress
from wsprism_core.gateway.recovery import Missed
from wsprism_core.gateway.rooms import RoomDesk
from wsprism_core.protocol.envelope import Envelope, outbound
from wsprism_core.protocol.errors import ProtocolError
from wsprism_core.protocol.layout import MAX_SAFE_INTEGER, MAX_U32, ErrorCode
from wsprism_core.realtime.clock import Clock
from wsprism_core.realtime.delivery import DeliveryEngine
from wsprism_core.realtime.session import Session
from wsprism_core.realtime.wire import Outgoing

if TYPE_CHECKING:
    from wsprism_core.gateway.connection import Connection

__all__ = ("DEFAULT_ROOM", "Builtin")

#: What `room.join` joins where it names no room.
DEFAULT_ROOM = "default"
#: How many members `room.members` returns unless told, and at the most.
MEMBERS_PAGE, MEMBERS_PAGE_LIMIT = 100, 500


class Builtin:
    """Answers `sys.*` and `room.*`.

    Args:
        desk: Where rooms are joined and left.
        egress: What sends the answers.
        delivery: Where messages are posted.
        clock: Time.
    """

    def __init__(
        self, desk: RoomDesk, egress: Egress, delivery: DeliveryEngine, clock: Clock
    ) -> None:
        self._desk = desk
        self._egress = egress
        self._delivery = delivery
        self._clock = clock
        self._lane = delivery.lane("interactive")

    def system(self, connection: Connection, message: Envelope) -> None:
        """Answer `sys.*` of an open session.

        Raises:
            ProtocolError: It is refused.
        """
        session = connection.session
        assert session is not None
        if message.type == "ping":
            data = {
                "client_ts": _mapping(message).get("client_ts"),
                "server_ts": self._clock.wall_ms(),
            }
            self._egress.system(session, "pong", data, ref=message.seq)
        elif message.type == "refresh":
            ticket = _mapping(message).get("ticket")
            if not isinstance(ticket, str):
                raise _bad("data.ticket must be a string")
            connection.refresh(ticket, message.seq)
        elif message.type == "auth":
            raise ProtocolError(ErrorCode.CONFLICT, "you are authenticated already")
        else:
            raise _bad("no such type of message")

    def room(self, session: Session, message: Envelope) -> None:
        """Answer `room.*`.

        Raises:
            ProtocolError: It is refused.
        """
        if message.type == "join":
            name = DEFAULT_ROOM if message.room is None else message.room
            missed = _missed(_mapping(message))
            self._desk.ask_to_join(session, name, message.seq, missed)
        elif message.type == "leave":
            name = self._membership(session, message)
            self._desk.leave(session, name, message.seq)
        elif message.type == "members":
            self._members(session, self._membership(session, message), message)
        else:
            raise _bad("no such type of message")

    def _membership(self, session: Session, message: Envelope) -> str:
        """Return the room that a message names, or the active one; it is a member."""
        name = session.active_room if message.room is None else message.room
        membership = None if name is None else session.memberships.get(name)
        if name is None or membership is None or membership.quiet:
            raise ProtocolError(ErrorCode.NOT_ALLOWED, "you are not in this room")
        return name

    def _members(self, session: Session, name: str, message: Envelope) -> None:
        data = _mapping(message)
        after = _number(data, "after", 0, 0, MAX_U32)
        limit = _number(data, "limit", MEMBERS_PAGE, 1, MEMBERS_PAGE_LIMIT)
        room = session.memberships[name].room
        found = room.roster(after=after, limit=limit + 1)
        answer = {
            "members": found[:limit],
            "more": len(found) > limit,
            "count": len(room.channel.members()),
            "version": room.version,
        }
        self._delivery.post(
            session,
            Outgoing(
                self._lane,
                svc="room",
                envelope=outbound(
                    "room", "members", room=name, ref=message.seq, data=answer
                ),
            ),
        )


def _mapping(message: Envelope) -> dict[str, Any]:
    if message.data is None:
        return {}
    if not isinstance(message.data, dict):
        raise _bad("data must be an object")
    return message.data


def _missed(data: dict[str, Any]) -> Missed | None:
    """Return where a join wants to go on from, None where it does not say."""
    if "epoch" not in data and "seq" not in data:
        return None
    epoch = data.get("epoch")
    if not isinstance(epoch, str):
        raise _bad("data.epoch must be a string, and come with seq")
    return Missed(epoch, _number(data, "seq", -1, 0, MAX_SAFE_INTEGER))


def _number(data: dict[str, Any], name: str, default: int, low: int, high: int) -> int:
    value = data.get(name, default)
    if type(value) is not int or not low <= value <= high:
        raise _bad(f"data.{name} must be an integer from {low} to {high}")
    return value


def _bad(msg: str) -> ProtocolError:
    return ProtocolError(ErrorCode.BAD_REQUEST, msg)
