"""A service with a type for every lane and delivery class that clients can ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from simulation.facts import stamped
from wsprism_core import (
    Action,
    Actions,
    Broadcast,
    Delivery,
    Envelope,
    Inbound,
    Outbound,
    Push,
    RoomRule,
    Service,
    Session,
    hookimpl,
)

__all__ = ("TYPES", "LabPlugin")

_LATEST: Final = Delivery.LATEST
_VOLATILE: Final = Delivery.VOLATILE

#: Name, lane, delivery class, and whether it is recoverable.
TYPES: Final = (
    ("urgent", "realtime", Delivery.RELIABLE, False),
    ("note", "interactive", Delivery.RELIABLE, False),
    ("dump", "bulk", Delivery.RELIABLE, False),
    ("spark", "realtime", _VOLATILE, False),
    ("dust", "bulk", _VOLATILE, False),
    ("gauge", "market", _LATEST, False),
    ("pose", "bulk", _LATEST, False),
    ("record", "interactive", Delivery.RELIABLE, True),
)


class LabPlugin:
    """Sends what it is asked for, as much of it as it is asked for.

    Args:
        stamp: Returns the next stamp.
    """

    name = "lab"
    wsprism_api = 1

    def __init__(self, stamp: Callable[[], int]) -> None:
        self._stamp = stamp

    @hookimpl
    def register_services(self) -> Service:
        return Service(
            name="lab",
            svc_id=130,
            inbound=(
                Inbound(name="cast", room=RoomRule.MEMBER),
                Inbound(name="push", room=RoomRule.MEMBER),
            ),
            outbound=tuple(
                Outbound(
                    name=name, lane=lane, delivery=delivery, recoverable=recoverable
                )
                for name, lane, delivery, recoverable in TYPES
            ),
        )

    @hookimpl
    def on_message(self, session: Session, message: Envelope) -> Actions:
        data: dict[str, Any] = message.data
        return [
            self._action(session, message, data, number)
            for number in range(data["count"])
        ]

    def _action(
        self, session: Session, message: Envelope, asked: dict[str, Any], number: int
    ) -> Action:
        keys = asked["keys"]
        key = f"k{number % keys}" if keys else None
        data: dict[str, Any] = {
            "s": stamped(session.tenant, self._stamp(), asked["size"])
        }
        if key is not None:
            data["key"] = key
        if message.type == "cast":
            exclude = session.id if asked.get("others") else None
            return Broadcast(asked["type"], data, key=key, exclude=exclude)
        return Push(asked["type"], data, session=session.id, room=message.room, key=key)
