"""The first phase of a connection: one HTTP request, answered or made a WebSocket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsprism_core.protocol.layout import WEBSOCKET_PATH, CloseCode
from wsprism_core.transports.handshake import (
    Handshake,
    accept_handshake,
    check_upgrade,
    connect_request,
)
from wsprism_core.transports.http import Head, Rejected
from wsprism_core.transports.plain import HttpDoor
from wsprism_core.transports.port import Grant, Refusal

if TYPE_CHECKING:
    from wsprism_core.transports.websocket import WebSocketTransport

__all__ = ("Door",)


class Door(HttpDoor):
    """Reads one request head, and what is asked in it decides.

    A plain request gets one answer and is closed; a WebSocket handshake is handed to a
    `WebSocketLink` within the deadline, and the door is gone.
    """

    __slots__ = ("_rest", "_undecided")

    _home: WebSocketTransport

    def __init__(self, home: WebSocketTransport) -> None:
        super().__init__(home)
        # The handshake that the host thinks about, and what came behind it.
        self._undecided: Handshake | None = None
        self._rest = bytearray()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything; what is decided later is given back."""
        self._undecided = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on until the head is there."""
        if self._undecided is not None:
            self._rest += data
        else:
            super().data_received(data)

    def _serve(self, raw: bytes, rest: bytes) -> None:
        head = self._parse_head(raw)
        if head.path == WEBSOCKET_PATH:
            self._serve_handshake(head, rest)
        else:
            self._answer(self._plain(head), head.method)

    def _serve_handshake(self, head: Head, rest: bytes) -> None:
        """Ask the host about a handshake, in the order in which it is refused.

        Raises:
            Rejected: It is not asked.
        """
        host, address = self._home.host, self.address
        refusal = host.greet(self._home.name, address)
        if refusal is None:
            check_upgrade(head)
            origins = head.values("origin")
            if len(origins) > 1:
                raise Rejected(400, "two Origin headers")
            refusal = host.check_origin(origins)
        if refusal is not None:
            self._refuse(refusal)
            return
        handshake = accept_handshake(head, self._home.extensions)
        asked = connect_request(head, self._home.name, address)
        self._undecided = handshake
        self._rest += rest
        host.admit(asked, self._decided)
        self._pause_until_decided()

    def _decided(self, decision: Grant | Refusal) -> None:
        """Do what the host decided, unless the client went away meanwhile."""
        if self._undecided is None or self._socket is None:
            if not isinstance(decision, Refusal):
                decision.release()
        elif isinstance(decision, Refusal):
            self._undecided = None
            self._refuse(decision)
        else:
            handshake, self._undecided = self._undecided, None
            self._disarm()
            self._home.upgrade(
                self, self._socket, handshake, decision, bytes(self._rest)
            )

    def _pause_until_decided(self) -> None:
        if self._undecided is not None and self._socket is not None:
            self._socket.pause_reading()

    def _late(self) -> None:
        """End what is not served in time."""
        if self._undecided is None:
            super()._late()
            return
        self._undecided = None
        refusal = Refusal(
            503, CloseCode.TRY_AGAIN_LATER, "not decided in time", retry_after=1
        )
        self._home.host.refused(self._home.name, self.address, refusal)
        self._refuse(refusal)
