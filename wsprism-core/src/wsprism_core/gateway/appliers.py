"""Which keys of `gateway` can change while it runs, and what takes each of them.

Every key that is not here needs a restart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from wsprism_core.config import GatewayConfig
from wsprism_core.gateway.admission import Admission
from wsprism_core.gateway.connection import ConnectionParts
from wsprism_core.gateway.drain import Drain
from wsprism_core.gateway.heartbeat import Heartbeat
from wsprism_core.gateway.presence import PresenceDesk
from wsprism_core.gateway.recovery import RecoveryBounds
from wsprism_core.gateway.reload import Applier
from wsprism_core.gateway.rooms import RoomDesk
from wsprism_core.policy.limits import HandshakeLimiter
from wsprism_core.policy.origins import OriginPolicy

__all__ = ("LiveParts", "appliers")


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveParts:
    """Parts of a gateway that can be changed, and how those that are replaced are made.

    Args:
        admission: Who judges connections.
        connections: What connections share.
        presence: Where members are told of each other.
        rooms: Where rooms are joined.
        drain: What empties the gateway.
        limiter: Makes the handshake limiter, or None where there is none.
        origins: Makes what judges web pages.
        heartbeat: Makes what looks after connections, or None where its times are
            shorter than the gateway's wheel can tell.
        recovery: Makes the bounds of what is fetched at once.
    """

    admission: Admission
    connections: ConnectionParts
    presence: PresenceDesk
    rooms: RoomDesk
    drain: Drain
    limiter: Callable[[GatewayConfig], HandshakeLimiter | None]
    origins: Callable[[GatewayConfig], OriginPolicy]
    heartbeat: Callable[[GatewayConfig], Heartbeat | None]
    recovery: Callable[[GatewayConfig], RecoveryBounds]


def appliers(parts: LiveParts) -> tuple[Applier, ...]:
    """Return what can change, one for each part that takes new values."""
    return (
        Applier(("allowed_origins",), lambda new: _origins(parts, new)),
        Applier(("handshake_limit",), lambda new: _handshake_limit(parts, new)),
        Applier(
            ("ping_interval_ms", "pong_timeout_ms", "idle_timeout_ms"),
            lambda new: _heartbeat(parts, new),
        ),
        Applier(
            ("max_strikes", "max_async_queue"), lambda new: _connections(parts, new)
        ),
        Applier(
            ("presence_batch_ms", "presence_max_members"),
            lambda new: _presence(parts, new),
        ),
        Applier(
            ("max_recover_messages", "max_recover_bytes"),
            lambda new: _recovery(parts, new),
        ),
        Applier(("max_rooms_per_session",), lambda new: _rooms(parts, new)),
        Applier(("drain_grace_ms",), lambda new: _drain(parts, new)),
    )


def _origins(parts: LiveParts, new: GatewayConfig) -> Callable[[], None]:
    origins = parts.origins(new)

    def apply() -> None:
        parts.admission.origins = origins

    return apply


def _handshake_limit(parts: LiveParts, new: GatewayConfig) -> Callable[[], None]:
    limiter = parts.limiter(new)

    def apply() -> None:
        before = parts.admission.limiter
        if limiter is not None and before is not None:
            limiter.go_on_from(before)
        parts.admission.limiter = limiter

    return apply


def _heartbeat(parts: LiveParts, new: GatewayConfig) -> Callable[[], None] | None:
    heartbeat = parts.heartbeat(new)
    if heartbeat is None:
        return None

    def apply() -> None:
        # Sessions that are open keep theirs: their clients were told of it.
        parts.connections.heartbeat = heartbeat

    return apply


def _connections(parts: LiveParts, new: GatewayConfig) -> Callable[[], None]:
    def apply() -> None:
        parts.connections.max_strikes = new.max_strikes
        parts.connections.max_async_queue = new.max_async_queue

    return apply


def _presence(parts: LiveParts, new: GatewayConfig) -> Callable[[], None]:
    def apply() -> None:
        parts.presence.batch = new.presence_batch_ms / 1000
        parts.presence.most = new.presence_max_members

    return apply


def _recovery(parts: LiveParts, new: GatewayConfig) -> Callable[[], None]:
    bounds = parts.recovery(new)

    def apply() -> None:
        parts.rooms.recovery = bounds

    return apply


def _rooms(parts: LiveParts, new: GatewayConfig) -> Callable[[], None]:
    def apply() -> None:
        parts.rooms.max_per_session = new.max_rooms_per_session

    return apply


def _drain(parts: LiveParts, new: GatewayConfig) -> Callable[[], None]:
    def apply() -> None:
        parts.drain.grace = new.drain_grace_ms / 1000

    return apply
