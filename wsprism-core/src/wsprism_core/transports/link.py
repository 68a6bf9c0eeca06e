"""A link over a stream socket: everything about it but its framing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

from wsprism_core.protocol.layout import CloseCode
from wsprism_core.realtime.wire import Wire
from wsprism_core.transports.port import NO_CLOSE_FRAME, Grant, Receiver
from wsprism_core.transports.stream import StreamConnection, StreamTransport

__all__ = ("BYTES_PER_TURN", "StreamLink")

#: Bytes of one connection that are taken apart in one turn of the event loop, so that
#: who sends much holds up nobody else for long.
BYTES_PER_TURN: Final = 4 * 1024


class StreamLink(StreamConnection):
    """One connection as the core sees it.

    It is open from `_open` to `_end`; after that the socket stays for the close.

    Args:
        home: The transport that accepted it.
        wire: Which bytes the connection wants.
    """

    #: The wires of this framing, by the codec's name.
    wires: ClassVar[Mapping[str, Wire]]

    __slots__ = (
        "_control_count",
        "_control_since",
        "_held",
        "_over",
        "_paused",
        "_put_off_rest",
        "_receiver",
        "_rest",
        "_told_to_pause",
        "_unfinished_since",
        "wire",
    )

    def __init__(self, home: StreamTransport, wire: Wire) -> None:
        super().__init__(home)
        self.wire = wire
        self._receiver: Receiver | None = None
        self._paused = False
        # Code and reason of the end, once there is one.
        self._over: tuple[int, str] | None = None
        self._held = 0
        # What was read and is not taken yet.
        self._rest = b""
        self._put_off_rest = False
        self._told_to_pause = False
        self._unfinished_since: float | None = None
        self._control_since = 0.0
        self._control_count = 0

    # ------------------------------------------------------ what the core calls

    def write(self, data: bytes) -> bool:
        """Hand framed bytes over; return whether the socket takes more."""
        if self._over is not None or self._socket is None:
            return False
        self._socket.write(data)
        return not self._paused

    def unsent(self) -> int:
        """Return how many of the bytes handed over the socket has not taken yet."""
        return 0 if self._socket is None else self._socket.get_write_buffer_size()

    def limit(self, max_message_bytes: int) -> None:
        """Set the largest inbound message, inflated, in bytes."""
        raise NotImplementedError

    def use_codec(self, name: str) -> bool:
        """Switch to the codec `name`; return False where there is none such."""
        wire = self.wires.get(name)
        if wire is not None:
            self.wire = wire
        return wire is not None

    def pause_reading(self) -> None:
        """Take no more bytes from the socket; what was read already still comes."""
        self._told_to_pause = True
        if self._over is None and self._socket is not None:
            self._socket.pause_reading()

    def resume_reading(self) -> None:
        """Take bytes from the socket again."""
        self._told_to_pause = False
        if self._over is None and self._socket is not None and not self._put_off_rest:
            self._socket.resume_reading()

    def is_behind(self) -> bool:
        """Whether something of the client waits for its turn."""
        return self._put_off_rest

    def close(self, code: int, reason: str) -> None:
        """Send a close, behind what was written, and end."""
        if self._over is None:
            self._end(code, reason)
            self._send_close(code, reason)
            self._abort_in(self._home.host.timeouts.close)

    def abort(self) -> None:
        """End at once, without a close."""
        self._end(NO_CLOSE_FRAME, "aborted")
        if self._socket is not None:
            self._socket.abort()

    # ------------------------------------------------- what the event loop calls

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything; the socket is closed."""
        self._end(NO_CLOSE_FRAME, "the connection was lost")
        super().connection_lost(exc)

    def eof_received(self) -> bool:
        """End without a close: the peer sends nothing more, close frames included."""
        self._end(NO_CLOSE_FRAME, "the connection was dropped without a close")
        self._abort_in(self._home.host.timeouts.close)
        return False

    def pause_writing(self) -> None:
        """Note that the socket takes no bytes."""
        self._paused = True
        if self._receiver is not None:
            self._receiver.pause()

    def resume_writing(self) -> None:
        """Note that the socket takes bytes again."""
        self._paused = False
        if self._receiver is not None:
            self._receiver.resume()

    def cut(self) -> None:
        """End at once, unless it is ending already and has a deadline for that."""
        if self._over is None:
            self.abort()

    # -------------------------------------------------------- for each framing

    def _send_close(self, code: int, reason: str) -> None:
        """Write a close frame."""
        raise NotImplementedError

    def _fail(self, code: int, reason: str) -> None:
        """End because of what the peer sent or failed to send."""
        raise NotImplementedError

    def _open(self, grant: Grant) -> None:
        """Attach the link to the core."""
        try:
            receiver = grant.open(self)
        except BaseException:
            # Nobody would hear of its end.
            self.abort()
            raise
        # The core may have closed it, or filled the socket, while opening it.
        if self._over is not None:
            receiver.closed(*self._over)
            return
        self._receiver = receiver
        if self._paused:
            receiver.pause()

    def _end(self, code: int, reason: str) -> None:
        """Tell the receiver, the first time."""
        if self._over is not None:
            return
        self._over = code, reason
        self._disarm()
        self._told_to_pause = False
        self._home.unfinished.change(-self._held)
        self._held = 0
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.closed(code, reason)

    def _hold(self, size: int | None) -> None:
        """Account for a message that is not whole; its first call starts its deadline.

        Whoever completes a message resets `_unfinished_since`.

        Args:
            size: What came of it, in bytes; None where none is under way.
        """
        home = self._home
        by = (size or 0) - self._held
        self._held += by
        if not home.unfinished.change(by):
            self._fail(CloseCode.TRY_AGAIN_LATER, "too many unfinished messages")
        elif size is not None and self._unfinished_since is None:
            self._unfinished_since = home.loop.time()
            if self._timer is None:
                self._arm(home.host.timeouts.message, self._check_unfinished)

    def _check_unfinished(self) -> None:
        """Cut a message short that is over its deadline.

        The timer is not moved with each message: it looks after the one that is under
        way when it ends.
        """
        self._timer = None
        if self._unfinished_since is None:
            return
        allowed = self._home.host.timeouts.message
        left = self._unfinished_since + allowed - self._home.loop.time()
        if left > 0:
            self._arm(left, self._check_unfinished)
        else:
            self._fail(
                CloseCode.POLICY_VIOLATION, f"a message unfinished after {allowed:g} s"
            )

    def _put_off(self, *, for_place: bool = False) -> None:
        """Take what was read in a turn to come, and read no more until then.

        Args:
            for_place: Whether it is a text, and the turn has no place for one more.
        """
        if self._put_off_rest:
            return
        self._put_off_rest = True
        if self._socket is not None:
            self._socket.pause_reading()
        turns = self._home.turns
        (turns.wait_for_place if for_place else turns.put_off)(self._go_on)

    def _go_on(self) -> None:
        self._put_off_rest = False
        if self._socket is None:
            return
        self.data_received(b"")
        # What came may have been too much for this turn again.
        if not self._put_off_rest and not self._told_to_pause:
            self._socket.resume_reading()

    def _portion(self, data: bytes) -> bytes:
        """Return as much of what came as one turn takes, and put off the rest."""
        if self._rest:
            data, self._rest = self._rest + data, b""
        if len(data) > BYTES_PER_TURN:
            self._rest = data[BYTES_PER_TURN:]
            self._put_off()
            return data[:BYTES_PER_TURN]
        return data

    def _one_control_too_many(self) -> bool:
        """Count a ping or pong; say whether there are too many within a second."""
        now = self._home.loop.time()
        if now - self._control_since >= 1.0:
            self._control_since = now
            self._control_count = 0
        self._control_count += 1
        return self._control_count > self._home.bounds.control_frames_per_second
