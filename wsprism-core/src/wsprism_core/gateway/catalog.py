"""What services send: the outbound half of every manifest, ready for the hot path."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from wsprism_core.manifest import Service
from wsprism_core.realtime.lanes import Delivery, Lane

__all__ = ("Catalog", "OutboundRoute")

PULLED: Final = Delivery.PULLED


class OutboundRoute(NamedTuple):
    """How one outbound message type or opcode travels.

    Attributes:
        lane: The lane's index.
        delivery: What happens to it while a reader's socket is full.
        recoverable: Whether it takes the room's next `seq`.
        svc: The service that sends it.
    """

    lane: int
    delivery: Delivery
    recoverable: bool
    svc: str


class Catalog:
    """Outbound routes of all services.

    Args:
        services: Their manifests, checked already.
        lanes: The gateway's lanes, in order.

    Attributes:
        lane_index: Each lane's place in that order, by name.
        lane_names: Their names, in that order.
        bulk: The place of the lane of that name; what comes after it is bulk as well.
        recoverable_lanes: The lanes that recoverable types ride; none where no room is
            recoverable.
    """

    def __init__(self, services: Iterable[Service], lanes: tuple[Lane, ...]) -> None:
        index = {lane.name: place for place, lane in enumerate(lanes)}
        self.lane_index = index
        self.lane_names = tuple(lane.name for lane in lanes)
        self.bulk = index.get("bulk", len(lanes))
        self._types: dict[tuple[str, str], OutboundRoute] = {}
        self._opcodes: dict[tuple[int, int], OutboundRoute] = {}
        self._pulled: dict[tuple[str, str] | tuple[int, int], OutboundRoute] = {}
        self._opcode_lanes: dict[tuple[int, int], int] = {}
        self._answers: dict[tuple[str, str], int] = {}
        self._service_lane: dict[str, int] = {}
        self._ids: dict[str, int | None] = {}
        self._names: dict[int, str] = {}
        for service in services:
            default = index[service.lane]
            self._service_lane[service.name] = default
            self._ids[service.name] = service.svc_id
            for kind in service.outbound:
                route = OutboundRoute(
                    index[kind.lane] if kind.lane else default,
                    kind.delivery,
                    kind.recoverable,
                    service.name,
                )
                types = self._types if kind.delivery is not PULLED else self._pulled
                types[service.name, kind.name] = route
            for type in service.inbound:
                lane = index[type.lane] if type.lane else default
                self._answers[service.name, type.name] = lane
            if service.svc_id is None:
                continue
            self._names[service.svc_id] = service.name
            self._opcodes[service.svc_id, 0] = OutboundRoute(
                default, Delivery.RELIABLE, False, service.name
            )
            self._opcode_lanes[service.svc_id, 0] = default
            for opcode in service.opcodes:
                route = OutboundRoute(
                    index[opcode.lane] if opcode.lane else default,
                    opcode.delivery,
                    False,
                    service.name,
                )
                # Answers to it ride its lane, however it travels itself.
                self._opcode_lanes[service.svc_id, opcode.number] = route.lane
                if opcode.delivery is PULLED:
                    self._pulled[service.svc_id, opcode.number] = route
                else:
                    self._opcodes[service.svc_id, opcode.number] = route
        recoverable = {one.lane for one in self._types.values() if one.recoverable}
        self.recoverable_lanes = tuple(sorted(recoverable))

    @property
    def service_ids(self) -> dict[str, int | None]:
        """Every service with its id for hot frames."""
        return self._ids

    def type(self, svc: str, type: str, *, pulled: bool = False) -> OutboundRoute:
        """Return how a message type travels.

        Args:
            svc: The service.
            type: Its type.
            pulled: Whether it is asked for as one that sessions pull.

        Raises:
            ValueError: The manifest does not declare it, or not so.
        """
        try:
            return (self._pulled if pulled else self._types)[svc, type]
        except KeyError:
            how = "pulled" if pulled else "pushed"
            raise ValueError(
                f"service {svc!r} declares no type {type!r} that is {how}"
            ) from None

    def opcode(
        self, svc_id: int, opcode: int, *, pulled: bool = False
    ) -> OutboundRoute:
        """Return how an opcode travels.

        Args:
            svc_id: The service.
            opcode: Its opcode.
            pulled: Whether it is asked for as one that sessions pull.

        Raises:
            ValueError: The manifest does not declare it, or not so.
        """
        try:
            return (self._pulled if pulled else self._opcodes)[svc_id, opcode]
        except KeyError:
            how = "pulled" if pulled else "pushed"
            raise ValueError(
                f"service {svc_id} declares no opcode {opcode} that is {how}"
            ) from None

    def svc_id(self, svc: str) -> int:
        """Return a service's id for hot frames.

        Raises:
            ValueError: It has none.
        """
        svc_id = self._ids.get(svc)
        if svc_id is None:
            raise ValueError(f"service {svc!r} declares no svc_id")
        return svc_id

    def answer_lane(self, svc: str, type: str) -> int:
        """Return the lane that answers to a message ride, control without an owner."""
        return self._answers.get((svc, type), self._service_lane.get(svc, 0))

    def opcode_lane(self, svc_id: int, opcode: int) -> int:
        """Return the lane that answers to a hot frame ride."""
        return self._opcode_lanes.get((svc_id, opcode), 0)
