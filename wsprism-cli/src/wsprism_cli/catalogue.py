"""Names for what arrives as numbers: services, opcodes, rooms."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from wsprism_cli.render import Line, render_frame
from wsprism_core.protocol.errors import Malformed
from wsprism_core.protocol.hotframe import HotFrame
from wsprism_core.protocol.layout import OPCODE_ACK

if TYPE_CHECKING:
    from wsprism_core.manifest import Opcode

__all__ = ("Catalogue",)


class Catalogue:
    """What one connection has learnt.

    Opcodes are named by the manifests of plugins that are installed here, where the
    gateway has a service of the same name and id.

    Args:
        services: The gateway's services with their ids, as `sys.authed` told.
    """

    def __init__(self, services: Mapping[str, int | None]) -> None:
        self._services = {id: name for name, id in services.items() if id is not None}
        self._aliases: dict[str, int] = {}
        self._opcodes = _installed_opcodes(self._services)

    def note(self, envelope: Mapping[str, Any]) -> None:
        """Learn from a text message which rooms the session is in."""
        match envelope:
            case {
                "svc": "sys",
                "type": "joined",
                "room": str(room),
                "data": {"alias": int(alias)},
            }:
                self.note_alias(room, alias)
            case {"svc": "sys", "type": "left", "room": str(room)}:
                self._aliases.pop(room, None)

    def note_alias(self, room: str, alias: int) -> None:
        """Learn the alias of a room that the session is in."""
        self._aliases[room] = alias

    def alias(self, room: str) -> int | None:
        """Return the alias of a room that the session is in."""
        return self._aliases.get(room)

    def render(self, frame: HotFrame) -> Line:
        """Return a frame as a line, with the names that are known."""
        rooms = {alias: room for room, alias in self._aliases.items()}
        opcode = self._opcodes.get((frame.svc_id, frame.opcode))
        name = "ACK" if frame.opcode == OPCODE_ACK else None
        packet = None
        if opcode is not None:
            name = opcode.name
        if opcode is not None and opcode.layout is not None:
            # Another version's may not fit; it is shown as bytes.
            with contextlib.suppress(Malformed):
                packet = opcode.layout.unpack(frame.payload)
        return render_frame(
            frame,
            svc=self._services.get(frame.svc_id),
            opcode=name,
            room=None if frame.alias is None else rooms.get(frame.alias),
            packet=packet,
        )


def _installed_opcodes(services: Mapping[int, str]) -> dict[tuple[int, int], Opcode]:
    from wsprism_core.plugins import list_plugins

    return {
        (service.svc_id, opcode.number): opcode
        for info in list_plugins()
        for service in info.services
        if service.svc_id is not None and services.get(service.svc_id) == service.name
        for opcode in service.opcodes
    }
