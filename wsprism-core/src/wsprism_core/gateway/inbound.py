"""What a tenant's clients may send: the inbound half of every manifest, compiled.

There is one entry for each message type and opcode that the tenant's allowlist lets
pass, with everything that the way in must know of it, so that a message costs one
look-up. What has no entry is refused, and only then does anybody ask why.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from wsprism_core.gateway.catalog import Catalog
from wsprism_core.gateway.checks import Check
from wsprism_core.manifest import Inbound, Opcode, RoomRule
from wsprism_core.metrics import Metrics, ShadowedTally
from wsprism_core.policy.tenant import Tenant
from wsprism_core.routing import Routes, ServiceRoute

__all__ = ("FrameEntry", "InboundTable", "TextEntry", "field_of")


class TextEntry:
    """One message type, for one tenant.

    Attributes:
        route: Where it goes.
        svc: The service's name.
        room_rule: What the core sees to about the room.
        max_bytes: The largest whole message, None without a limit of its own.
        check: Its schema, or None.
        lane: Where answers to it ride.
        is_bulk: Whether that is the bulk lane.
        tally: Where it is counted.
        latest: Whether one that waits gives way to a newer one.
        key: The field of `data` that tells those apart, or None.
        drop_stale: Whether its number tells what is dropped.
        dedup: The field of `data` with the sender's own id, or None.
    """

    __slots__ = (
        "check",
        "dedup",
        "drop_stale",
        "is_bulk",
        "key",
        "lane",
        "latest",
        "max_bytes",
        "room_rule",
        "route",
        "svc",
        "tally",
    )

    def __init__(
        self,
        route: ServiceRoute,
        kind: Inbound,
        check: Check | None,
        catalog: Catalog,
        tenant: Tenant,
        metrics: Metrics,
    ) -> None:
        self.route = route
        self.svc = route.service.name
        self.room_rule: RoomRule = kind.room
        self.max_bytes = kind.max_bytes
        self.check = check
        self.lane = catalog.answer_lane(self.svc, kind.name)
        self.is_bulk = self.lane >= catalog.bulk
        self.tally = metrics.messages_of(tenant.id, self.svc, "text")
        shadow = tenant.shadow
        if shadow is not None and not shadow.passes_text(self.svc, kind.name):
            self.tally = ShadowedTally(
                self.tally, partial(shadow.count, "ext_allowlist")
            )
        self.latest = kind.latest
        self.key = kind.key
        self.dedup = kind.dedup
        self.drop_stale = kind.drop_stale


def field_of(data: Any, name: str) -> Any:
    """Return a field of what a check has made of `data`; None where it has none."""
    return data.get(name) if isinstance(data, dict) else getattr(data, name, None)


class FrameEntry:
    """One opcode, for one tenant; attributes as in `TextEntry`.

    Attributes:
        layout: The packet that the payload must fit, or None.
        needs_room: Whether a frame for no room is refused.
    """

    __slots__ = (
        "drop_stale",
        "lane",
        "layout",
        "max_bytes",
        "needs_room",
        "room_rule",
        "route",
        "svc",
        "tally",
    )

    def __init__(
        self,
        route: ServiceRoute,
        kind: Opcode,
        lane: int,
        tenant: Tenant,
        metrics: Metrics,
    ) -> None:
        self.route = route
        self.svc = route.service.name
        self.room_rule: RoomRule = kind.room
        self.needs_room = tenant.hot_requires_active_room
        self.max_bytes = kind.max_bytes
        self.layout = kind.layout
        self.lane = lane
        self.tally = metrics.messages_of(tenant.id, self.svc, "hot")
        svc_id, shadow = route.service.svc_id, tenant.shadow
        assert svc_id is not None
        if shadow is not None and not shadow.passes_hot(svc_id, kind.number):
            self.tally = ShadowedTally(
                self.tally, partial(shadow.count, "hot_allowlist")
            )
        self.drop_stale = kind.drop_stale


class InboundTable:
    """Every entry of one tenant.

    Args:
        routes: Where messages and frames go.
        checks: Schemas by service and type.
        catalog: Which lane answers ride.
        tenant: Whose clients send.
        metrics: Where messages are counted.

    Attributes:
        text: Message types, by service and type.
        frames: Opcodes, by `svc_id << 8 | opcode`.
        room_tally: Where messages to `room` are counted.
    """

    __slots__ = ("frames", "room_tally", "text")

    def __init__(
        self,
        routes: Routes,
        checks: Mapping[tuple[str, str], Check],
        catalog: Catalog,
        tenant: Tenant,
        metrics: Metrics,
    ) -> None:
        self.room_tally = metrics.messages_of(tenant.id, "room", "text")
        self.text = {
            (svc, type): TextEntry(
                route, kind, checks.get((svc, type)), catalog, tenant, metrics
            )
            for svc, route in routes.services.items()
            for type, kind in route.inbound.items()
            if tenant.text.passes(svc, type)
        }
        self.frames = {
            svc_id << 8 | opcode: FrameEntry(
                route, kind, catalog.opcode_lane(svc_id, opcode), tenant, metrics
            )
            for svc_id, route in enumerate(routes.by_id)
            if route is not None
            for opcode, kind in route.opcodes.items()
            if tenant.hot.passes(svc_id, opcode)
        }
