"""WebSocket (RFC 6455): an `asyncio.Protocol` around a Sans-I/O parser."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final

from websockets.frames import Frame, Opcode
from websockets.protocol import State

from wsprism_core.policy.proxies import TrustedProxies
from wsprism_core.protocol.layout import CloseCode
from wsprism_core.realtime.wire import Wire
from wsprism_core.transports.bounds import (
    InboundBounds,
    UnfinishedBytes,
    short_reason,
)
from wsprism_core.transports.deflate import Deflate
from wsprism_core.transports.door import Door
from wsprism_core.transports.frames import (
    WEBSOCKET_FRAMING,
    WEBSOCKET_WIRES,
    WIRE_BY_SUBPROTOCOL,
    FrameParser,
    may_become_whole,
    whole_message,
)
from wsprism_core.transports.half_open import HalfOpen
from wsprism_core.transports.handshake import Handshake
from wsprism_core.transports.link import StreamLink
from wsprism_core.transports.port import Grant
from wsprism_core.transports.reassembly import Fragments, is_utf8
from wsprism_core.transports.stream import StreamConnection, StreamTransport
from wsprism_core.transports.turns import ReadingTurns

__all__ = ("WebSocketLink", "WebSocketTransport")

# Bound once: enum attribute look-ups cost on the hot path.
TEXT: Final = Opcode.TEXT
BINARY: Final = Opcode.BINARY
PING: Final = Opcode.PING
PONG: Final = Opcode.PONG
CLOSE: Final = Opcode.CLOSE
OPEN: Final = State.OPEN
#: Whole messages of one connection that are taken in one turn of the event loop: so
#: many others wait for, and not for all that one read brought.
MESSAGES_PER_TURN: Final = 8
_TOO_MANY_CONTROLS: Final = "too many control frames"


class WebSocketLink(StreamLink):
    """A WebSocket connection whose handshake is done.

    Args:
        home: The transport that accepted it.
        handshake: What the handshake has come to.
    """

    __slots__ = ("_extensions", "_fragments", "_limit", "_parser")

    wires = WEBSOCKET_WIRES

    def __init__(self, home: WebSocketTransport, handshake: Handshake) -> None:
        super().__init__(home, home.wire_of(handshake))
        self._extensions = handshake.extensions
        self._limit = 0
        # Made for the first frame that is not of the usual kind.
        self._parser: FrameParser | None = None
        self._fragments: Fragments | None = None

    def take_over(
        self, socket: asyncio.Transport, response: bytes, grant: Grant, rest: bytes
    ) -> None:
        """Complete the handshake and open.

        Args:
            socket: The connection, from the door.
            response: The 101.
            grant: Leave to open.
            rest: What came behind the handshake.
        """
        self._socket = socket
        self._home.connections.add(self)
        socket.set_protocol(self)
        self._limit = grant.max_message_bytes
        socket.write(response)
        socket.resume_reading()
        self._open(grant)
        if rest:
            self.data_received(rest)

    def limit(self, max_message_bytes: int) -> None:
        """Set the largest inbound message, inflated, in bytes."""
        self._limit = max_message_bytes
        if self._parser is not None:
            self._parser.max_message_size = max_message_bytes

    def data_received(self, data: bytes) -> None:
        """Parse what came; whole messages reach the receiver from within."""
        parser = self._parser
        if (parser is None or not parser.partial) and self._fragments is None:
            if self._rest:
                data, self._rest = self._rest + data, b""
            data = self._skim(data)
            if not data:
                return
        parser = self._frames()
        parser.receive_data(self._portion(data))
        if parser.state is not OPEN:
            self._wind_down()
            return
        if self._fragments is not None:
            self._hold(parser.partial + len(self._fragments))
        elif parser.partial or self._held:
            self._hold(parser.partial or None)

    def _skim(self, data: bytes) -> bytes:
        """Hand over the whole messages that `data` begins with.

        A turn takes only so many of one connection, and so many texts of all, so that
        whoever sends a thousand at once holds up nobody else for longer than that.

        Returns:
            What is for the parser.
        """
        start, end = 0, len(data)
        left = MESSAGES_PER_TURN
        while start < end:
            if self._receiver is None:
                return data[start:]
            # A message may raise the limit; it then holds for the next.
            limit = self._limit
            found = whole_message(data, start, limit)
            if found is None:
                if not may_become_whole(data, start, limit):
                    return data[start:]
                self._rest = data[start:]
                self._hold(end - start)
                return b""
            # It is whole, also where it has to wait for its turn.
            if self._held:
                self._hold(None)
            self._unfinished_since = None
            if not left:
                self._rest = data[start:]
                self._put_off()
                return b""
            opcode, payload, behind = found
            if opcode == TEXT:
                if not payload.isascii() and not is_utf8(payload):
                    # The parser finds out where it is wrong.
                    return data[start:]
                if not self._home.turns.take_text():
                    self._rest = data[start:]
                    self._put_off(for_place=True)
                    return b""
            start = behind
            left -= 1
            if opcode == TEXT:
                self._receiver.text(payload)
            elif opcode == BINARY:
                self._receiver.binary(payload)
            elif self._one_control_too_many():
                self._fail(CloseCode.POLICY_VIOLATION, _TOO_MANY_CONTROLS)
            else:
                self._receiver.pong()
        return b""

    def _frames(self) -> FrameParser:
        """Return the parser, which is made when it is needed."""
        if self._parser is None:
            self._parser = FrameParser(self._take, self._limit, self._extensions)
        return self._parser

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything; the socket is closed."""
        super().connection_lost(exc)
        if self._parser is not None:
            self._parser.dispose()

    def _take(self, frame: Frame) -> None:
        """Take a frame from the parser."""
        parser = self._parser
        assert parser is not None
        receiver = self._receiver
        if receiver is None:
            # Over: what still comes, but for the peer's close, concerns nobody.
            return
        opcode = frame.opcode
        payload = bytes(frame.data)
        if opcode is TEXT or opcode is BINARY:
            if not frame.fin:
                self._fragments = Fragments(opcode is TEXT)
                self._add_fragment(payload, last=False)
                return
            if opcode is BINARY:
                receiver.binary(payload)
            else:
                if not payload.isascii():
                    payload.decode()
                receiver.text(payload)
        elif opcode is PING or opcode is PONG:
            if self._one_control_too_many():
                parser.fail(CloseCode.POLICY_VIOLATION, _TOO_MANY_CONTROLS)
            elif opcode is PONG:
                receiver.pong()
            else:
                receiver.heard()
                receiver.control(WEBSOCKET_FRAMING.pong(payload))
        elif opcode is not CLOSE:
            self._add_fragment(payload, last=frame.fin)
        if self._fragments is None:
            self._unfinished_since = None

    def _add_fragment(self, payload: bytes, *, last: bool) -> None:
        """Take a fragment; the last one completes the message."""
        fragments = self._fragments
        # The parser has refused a continuation of nothing.
        assert fragments is not None
        fragments.add(payload, last=last)
        receiver = self._receiver
        assert receiver is not None
        if last:
            self._fragments = None
            deliver = receiver.text if fragments.is_text else receiver.binary
            deliver(fragments.payload())
        elif fragments.count >= self._home.bounds.max_fragments:
            self._frames().fail(CloseCode.MESSAGE_TOO_BIG, "too many fragments")
        else:
            receiver.heard()

    def _send_close(self, code: int, reason: str) -> None:
        """Write a close frame."""
        self._frames().send_close(code, short_reason(reason))
        self._write_parser()

    def _fail(self, code: int, reason: str) -> None:
        """End because of what the peer sent or failed to send."""
        self._frames().fail(code, reason)
        self._wind_down()

    def _wind_down(self) -> None:
        """Do what the parser wants once it is not open any more."""
        parser = self._frames()
        if self._over is None:
            # Of a close that the peer began it is the echo.
            close = parser.close_sent
            assert close is not None
            self._end(int(close.code), close.reason)
            self._abort_in(self._home.host.timeouts.close)
        self._fragments = None
        self._write_parser()

    def _write_parser(self) -> None:
        """Write what the parser has to say: the handshake, a close, the end."""
        socket = self._socket
        if socket is None or socket.is_closing():
            return
        parser = self._frames()
        for data in parser.data_to_send():
            if data:
                socket.write(data)
            elif parser.close_rcvd is not None:
                socket.close()
            else:
                self._half_close()


class WebSocketTransport(StreamTransport):
    """WebSocket and plain HTTP on one port; arguments as in `StreamTransport`.

    Args:
        deflate: How messages are compressed for clients that offer it; None is not.
    """

    name = "websocket"
    schemes = ("ws", "wss")

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 8080,
        *,
        ssl_context: ssl.SSLContext | None = None,
        bounds: InboundBounds | None = None,
        unfinished: UnfinishedBytes | None = None,
        proxies: TrustedProxies | None = None,
        half_open: HalfOpen | None = None,
        turns: ReadingTurns | None = None,
        deflate: Deflate | None = None,
    ) -> None:
        super().__init__(
            host,
            port,
            ssl_context=ssl_context,
            bounds=bounds,
            unfinished=unfinished,
            proxies=proxies,
            half_open=half_open,
            turns=turns,
        )
        self._deflate = deflate
        self.extensions = None if deflate is None else deflate.extensions

    def wire_of(self, handshake: Handshake) -> Wire:
        """Return the wire that a handshake has come to."""
        if self._deflate is not None and handshake.extensions:
            return self._deflate.wires[handshake.subprotocol]
        return WIRE_BY_SUBPROTOCOL[handshake.subprotocol]

    def connection(self) -> StreamConnection:
        """Return the protocol for a socket that was just accepted."""
        return Door(self)

    def upgrade(
        self,
        door: Door,
        socket: asyncio.Transport,
        handshake: Handshake,
        grant: Grant,
        rest: bytes,
    ) -> None:
        """Put a link in the place of a door."""
        link = WebSocketLink(self, handshake)
        door.leave_place()
        self.connections.discard(door)
        link.take_over(socket, handshake.response, grant, rest)
