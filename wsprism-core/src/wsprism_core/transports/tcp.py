"""TCP: the same messages behind a length and a kind, no handshake."""

from __future__ import annotations

import asyncio
from typing import Final

from wsprism_core.protocol.framing import (
    FrameDecoder,
    FramingError,
    decode_close,
    encode_close,
    encode_frame,
)
from wsprism_core.protocol.layout import CloseCode, FrameKind
from wsprism_core.transports.bounds import MAX_CONTROL_PAYLOAD, short_reason
from wsprism_core.transports.framed import TCP_WIRES, read_frames, take_message
from wsprism_core.transports.link import StreamLink
from wsprism_core.transports.port import ConnectRequest, Grant, Refusal
from wsprism_core.transports.stream import StreamConnection, StreamTransport

__all__ = ("TcpLink", "TcpTransport")

#: Bytes of a frame besides its payload.
_FRAME_OVERHEAD: Final = 5


class TcpLink(StreamLink):
    """A TCP connection; it asks to be admitted as soon as it is accepted.

    Args:
        home: The transport that accepted it.
    """

    __slots__ = ("_deaf", "_decoder", "_early", "_partial")

    wires = TCP_WIRES

    def __init__(self, home: StreamTransport) -> None:
        super().__init__(home, TCP_WIRES["json"])
        self._decoder = FrameDecoder(0)
        self._partial = 0
        # Once what comes is not understood any more, it is not kept either.
        self._deaf = False
        # What comes before the host has decided; None once it has.
        self._early: bytearray | None = bytearray()

    def limit(self, max_message_bytes: int) -> None:
        """Set the largest inbound message, in bytes."""
        self._decoder.max_bytes = max_message_bytes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket, and ask the host about it."""
        super().connection_made(transport)
        # Its handshake is TLS's alone.
        self.leave_place()
        host, address = self._home.host, self.address
        refusal = host.greet(self._home.name, address)
        if refusal is not None:
            self._decided(refusal)
            return
        self._arm(host.timeouts.handshake, self._late)
        host.admit(ConnectRequest(self._home.name, address), self._decided)

    def data_received(self, data: bytes) -> None:
        """Take frames apart; whole messages reach the receiver from within."""
        if self._over is not None:
            data, self._rest = self._rest + data, b""
            self._look_for_close(data)
            return
        if self._early is not None:
            # Reading starts after `connection_made` whatever that says about it.
            self._early += data
            self.pause_reading()
            return
        data = self._portion(data)
        self._partial += len(data)
        try:
            for kind, payload in read_frames(self._decoder, data):
                self._partial -= len(payload) + _FRAME_OVERHEAD
                self._unfinished_since = None
                self._take(kind, payload)
                if self._receiver is None:
                    return
        except FramingError as error:
            self._fail(error.code, error.reason)
            return
        if self._partial or self._held:
            self._hold(self._partial or None)

    def _take(self, kind: FrameKind, payload: bytes) -> None:
        """Take a frame.

        Raises:
            FramingError: It breaks the protocol.
        """
        receiver = self._receiver
        assert receiver is not None
        if kind is FrameKind.CLOSE:
            if len(payload) > MAX_CONTROL_PAYLOAD:
                # It goes to the log, and what a client sends has no bound by itself.
                raise FramingError(
                    CloseCode.PROTOCOL_ERROR,
                    f"a close over {MAX_CONTROL_PAYLOAD} bytes",
                )
            self.close(*decode_close(payload))
            self._close_socket()
            return
        is_control = kind is FrameKind.PING or kind is FrameKind.PONG
        if is_control and self._one_control_too_many():
            raise FramingError(CloseCode.POLICY_VIOLATION, "too many control frames")
        take_message(receiver, kind, payload)

    def _decided(self, decision: Grant | Refusal) -> None:
        """Do what the host decided, unless the client went away meanwhile."""
        if self._over is not None:
            if not isinstance(decision, Refusal):
                decision.release()
            return
        self._disarm()
        if isinstance(decision, Refusal):
            self.close(decision.close_code, decision.reason)
            return
        self.limit(decision.max_message_bytes)
        self.resume_reading()
        self._open(decision)
        early, self._early = self._early, None
        if early:
            self.data_received(bytes(early))

    def _late(self) -> None:
        self.close(CloseCode.TRY_AGAIN_LATER, "not decided in time")

    def _look_for_close(self, data: bytes) -> None:
        """Read on, after our close, for the peer's."""
        if self._deaf:
            return
        try:
            frames = read_frames(self._decoder, data)
            if any(kind is FrameKind.CLOSE for kind, _ in frames):
                self._close_socket()
        except FramingError:
            self._deaf = True

    def _close_socket(self) -> None:
        """Close the socket once all is written; both closes are exchanged."""
        if self._socket is not None:
            self._socket.close()

    def _fail(self, code: int, reason: str) -> None:
        """End because of what the peer sent or failed to send."""
        self._deaf = True
        self.close(code, reason)

    def _send_close(self, code: int, reason: str) -> None:
        """Write a close frame, and nothing after it."""
        if self._socket is not None:
            payload = encode_close(code, short_reason(reason))
            self._socket.write(encode_frame(FrameKind.CLOSE, payload))
            self._half_close()


class TcpTransport(StreamTransport):
    """TCP; arguments as in `StreamTransport`."""

    name = "tcp"
    schemes = ("tcp", "tls")

    def connection(self) -> StreamConnection:
        """Return the protocol for a socket that was just accepted."""
        return TcpLink(self)
