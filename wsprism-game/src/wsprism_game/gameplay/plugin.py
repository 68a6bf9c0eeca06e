"""The plugin `game`."""

from __future__ import annotations

from collections import defaultdict

from wsprism_core import (
    Actions,
    ErrorCode,
    Gateway,
    HotFrame,
    ProtocolError,
    Service,
    Session,
    hookimpl,
)
from wsprism_game.gameplay.manifest import STALE_INPUTS, manifest
from wsprism_game.gameplay.service import CLOCK, Relay, answer_clock

__all__ = ("GamePlugin",)


class GamePlugin:
    """Gameplay, one relay per tenant."""

    name = "game"
    wsprism_api = 1

    def __init__(self) -> None:
        self._gateway: Gateway
        self._relays: defaultdict[str, Relay] = defaultdict(Relay)

    @hookimpl
    def register_services(self) -> Service:
        """Declare `game`."""
        return manifest()

    @hookimpl
    def on_start(self, gateway: Gateway) -> None:
        """Keep the gateway, for its clock and counters."""
        self._gateway = gateway

    @hookimpl
    def on_binary(self, session: Session, frame: HotFrame) -> Actions:
        """Relay a frame, or answer CLOCK.

        Raises:
            ProtocolError: The frame is refused.
        """
        if frame.opcode == CLOCK:
            return answer_clock(session.id, frame, self._gateway.now())
        room = frame.room
        if room is None:
            raise ProtocolError(ErrorCode.BAD_REQUEST, "it is for no room")
        relay, number = self._relays[session.tenant], session.number_in(room)
        action = relay.relay(session.id, room, number, frame)
        if action is None:
            self._gateway.count(STALE_INPUTS)
        return action

    @hookimpl
    def on_leave(self, session: Session, room: str) -> None:
        """Forget what the session sent to the room."""
        self._relays[session.tenant].left(session.id, room)
