"""A service with a type for every lane and delivery class that clients can ask for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    Pull,
    Push,
    PushFrame,
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


class _Gauges:
    """Values that change when somebody looks, for all who look: what is pulled.

    Args:
        tenant: Whose.
        stamp: Returns the next stamp.
    """

    def __init__(self, tenant: str, stamp: Callable[[], int]) -> None:
        self._tenant = tenant
        self._stamp = stamp
        self._left: dict[str, int] = {}

    def pull(
        self, session: Session, budget: int
    ) -> tuple[Sequence[Push | PushFrame], bool]:
        # Up to three pages for each reader, some of them as large as may be.
        left = self._left.pop(session.id, self._stamp() % 3)
        if left:
            self._left[session.id] = left - 1
        size = budget - 200 if left == 1 else 100
        data = {"s": stamped(self._tenant, self._stamp(), min(size, 3_000))}
        return [Push("page", data)], left > 0


class LabPlugin:
    """Sends what it is asked for, as much of it as it is asked for.

    Args:
        stamp: Returns the next stamp.
    """

    name = "lab"
    wsprism_api = 1

    def __init__(self, stamp: Callable[[], int]) -> None:
        self._stamp = stamp
        self._gauges: dict[str, _Gauges] = {}

    @hookimpl
    def register_services(self) -> Service:
        return Service(
            name="lab",
            svc_id=130,
            inbound=(
                Inbound(name="cast", room=RoomRule.MEMBER),
                Inbound(name="push", room=RoomRule.MEMBER),
                Inbound(name="pull", room=RoomRule.MEMBER),
            ),
            outbound=(
                Outbound(name="page", lane="market", delivery=Delivery.PULLED),
                *(
                    Outbound(
                        name=name, lane=lane, delivery=delivery, recoverable=recoverable
                    )
                    for name, lane, delivery, recoverable in TYPES
                ),
            ),
        )

    @hookimpl
    def on_message(self, session: Session, message: Envelope) -> Actions:
        data: dict[str, Any] = message.data
        if message.type == "pull":
            tenant = session.tenant
            gauges = self._gauges.setdefault(tenant, _Gauges(tenant, self._stamp))
            if data["room"]:
                return Pull("page", gauges, key=data["key"], room=message.room)
            return Pull("page", gauges, key=data["key"], session=session.id)
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
