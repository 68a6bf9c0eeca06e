"""The plugin `game`."""

from __future__ import annotations

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
from wsprism_game.gameplay.manifest import manifest
from wsprism_game.gameplay.service import CLOCK, answer_clock, relay

__all__ = ("GamePlugin",)


class GamePlugin:
    """Gameplay; it keeps nothing of its own."""

    name = "game"
    wsprism_api = 1

    def __init__(self) -> None:
        self._gateway: Gateway

    @hookimpl
    def register_services(self) -> Service:
        """Declare `game`."""
        return manifest()

    @hookimpl
    def on_start(self, gateway: Gateway) -> None:
        """Keep the gateway, for its clock."""
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
        return relay(session.number_in(room), frame)
