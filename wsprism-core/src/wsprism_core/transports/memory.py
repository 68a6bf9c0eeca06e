"""In memory: TCP framing without a socket, for tests and simulations.

There is no event loop, no clock and no thread: bytes move when a client sends or reads,
within that call. A client reads only when told to, and a pipe with a capacity makes it
slow: the link is paused while more waits than the pipe holds.
"""

from __future__ import annotations

from wsprism_core.protocol.framing import (
    FrameDecoder,
    FramingError,
    decode_close,
    encode_close,
    encode_frame,
)
from wsprism_core.protocol.layout import MAX_U32, FrameKind
from wsprism_core.realtime.wire import Wire
from wsprism_core.transports.bounds import short_reason
from wsprism_core.transports.framed import TCP_WIRES, read_frames, take_message
from wsprism_core.transports.port import (
    NO_CLOSE_FRAME,
    ConnectRequest,
    Grant,
    Host,
    Receiver,
    Refusal,
)

__all__ = ("MemoryClient", "MemoryLink", "MemoryTransport", "Pipe")


class Pipe:
    """Bytes on their way to a client.

    Attributes:
        waiting: Written and not read.
        capacity: How many bytes it holds before it is full, None without a bound.
    """

    __slots__ = ("capacity", "waiting")

    def __init__(self) -> None:
        self.waiting = bytearray()
        self.capacity: int | None = None

    @property
    def full(self) -> bool:
        """Whether more waits than it holds, as in a socket's write buffer."""
        return self.capacity is not None and len(self.waiting) > self.capacity

    def take(self, max_bytes: int) -> bytes:
        """Remove and return what came first."""
        taken = bytes(self.waiting[:max_bytes])
        del self.waiting[:max_bytes]
        return taken


class MemoryLink:
    """The core's end of a connection; a `Link`.

    Deadlines are a socket's and have no meaning here.

    Attributes:
        pipe: What goes to the client.
        refusal: Why the host turned it away, or None.
        over: Code and reason of its end, or None.
    """

    def __init__(self, transport: MemoryTransport) -> None:
        self.wire: Wire = TCP_WIRES["json"]
        self.pipe = Pipe()
        self.refusal: Refusal | None = None
        self.over: tuple[int, str] | None = None
        self._transport = transport
        self._decoder = FrameDecoder(0)
        self._receiver: Receiver | None = None
        self._paused = False
        self._reading = False
        # What came while reading was paused.
        self._unread = bytearray()

    # ------------------------------------------------------ what the core calls

    def write(self, data: bytes) -> bool:
        """Hand framed bytes over; return whether the pipe takes more."""
        if self.over is not None:
            return False
        self.pipe.waiting += data
        self.pipe_changed()
        return not self._paused

    def unsent(self) -> int:
        """Return how many of the bytes handed over do not fit the pipe."""
        capacity = self.pipe.capacity
        return 0 if capacity is None else max(0, len(self.pipe.waiting) - capacity)

    def limit(self, max_message_bytes: int) -> None:
        """Set the largest inbound message, in bytes."""
        self._decoder.max_bytes = max_message_bytes

    def use_codec(self, name: str) -> bool:
        """Switch to the codec `name`; return False where there is none such."""
        wire = TCP_WIRES.get(name)
        if wire is not None:
            self.wire = wire
        return wire is not None

    def pause_reading(self) -> None:
        """Take no more bytes; what was read already still comes."""
        self._reading = False

    def resume_reading(self) -> None:
        """Take bytes again."""
        self._reading = True
        if self._unread and self._receiver is not None:
            unread, self._unread = self._unread, bytearray()
            self._read(bytes(unread))

    def is_behind(self) -> bool:
        """Return False: all that is to be read is read at once."""
        return False

    def close(self, code: int, reason: str) -> None:
        """Send a close, behind what was written, and end."""
        if self.over is None:
            self._end(code, reason)
            payload = encode_close(code, short_reason(reason))
            self.pipe.waiting += encode_frame(FrameKind.CLOSE, payload)

    def abort(self) -> None:
        """End at once, without a close."""
        self.lost("aborted")

    # ----------------------------------------------- what the client's end calls

    def ask(self, request: ConnectRequest) -> None:
        """Ask the host for admission."""
        host = self._transport.host
        refusal = host.greet(request.transport, request.address)
        if refusal is None:
            host.admit(request, self._decided)
        else:
            self._decided(refusal)

    def arrive(self, data: bytes) -> None:
        """Take bytes from the client, once they are read."""
        if self.over is not None:
            return
        if self._reading:
            self._read(data)
        else:
            self._unread += data

    def pipe_changed(self) -> None:
        """Pause or resume the receiver, as the pipe is full or not."""
        full = self.pipe.full
        if self.over is not None or self._paused is full:
            return
        self._paused = full
        if self._receiver is None:
            return
        if full:
            self._receiver.pause()
        else:
            self._receiver.resume()

    def lost(self, reason: str) -> None:
        """End without a close."""
        self._end(NO_CLOSE_FRAME, reason)

    # ------------------------------------------------------------------- its own

    def _decided(self, decision: Grant | Refusal) -> None:
        """Do what the host decided, unless the client went away meanwhile."""
        if isinstance(decision, Refusal):
            self.refusal = decision
            self.close(decision.close_code, decision.reason)
            return
        if self.over is not None:
            decision.release()
            return
        self.limit(decision.max_message_bytes)
        self._reading = True
        try:
            receiver = decision.open(self)
        except BaseException:
            # Nobody would hear of its end.
            self.abort()
            raise
        # The core may have closed it, or filled the pipe, while opening it.
        if self.over is not None:
            receiver.closed(*self.over)
            return
        self._receiver = receiver
        if self._paused:
            receiver.pause()
        if self._reading:
            self.resume_reading()

    def _read(self, data: bytes) -> None:
        try:
            for kind, payload in read_frames(self._decoder, data):
                receiver = self._receiver
                if receiver is None:
                    return
                if kind is FrameKind.CLOSE:
                    self.close(*decode_close(payload))
                else:
                    take_message(receiver, kind, payload)
        except FramingError as error:
            self.close(error.code, error.reason)

    def _end(self, code: int, reason: str) -> None:
        """Tell the receiver, the first time."""
        if self.over is not None:
            return
        self.over = code, reason
        self._transport.links.pop(self, None)
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.closed(code, reason)


class MemoryClient:
    """The client's end of a connection.

    Args:
        link: The core's end.
    """

    def __init__(self, link: MemoryLink) -> None:
        self._link = link
        self._decoder = FrameDecoder(MAX_U32)
        self._close: tuple[int, str] | None = None

    @property
    def refusal(self) -> Refusal | None:
        """Why the host turned it away, or None."""
        return self._link.refusal

    @property
    def ended(self) -> tuple[int, str] | None:
        """Code and reason of the close that it read; None while there may be more.

        Where the link ended without a close, the code is `NO_CLOSE_FRAME`.
        """
        if self._close is None and self._link.over is not None and not self.waiting:
            return NO_CLOSE_FRAME, ""
        return self._close

    @property
    def waiting(self) -> int:
        """Bytes that were written to it and that it has not read."""
        return len(self._link.pipe.waiting)

    @property
    def capacity(self) -> int | None:
        """How many bytes the pipe to it holds, None without a bound."""
        return self._link.pipe.capacity

    @capacity.setter
    def capacity(self, max_bytes: int | None) -> None:
        self._link.pipe.capacity = max_bytes
        self._link.pipe_changed()

    def send_text(self, payload: bytes) -> None:
        """Send a text message."""
        self.send_bytes(encode_frame(FrameKind.TEXT, payload))

    def send_binary(self, payload: bytes) -> None:
        """Send a binary message."""
        self.send_bytes(encode_frame(FrameKind.BINARY, payload))

    def send_ping(self, payload: bytes = b"") -> None:
        """Send a ping."""
        self.send_bytes(encode_frame(FrameKind.PING, payload))

    def send_pong(self, payload: bytes = b"") -> None:
        """Send a pong; none is sent without this."""
        self.send_bytes(encode_frame(FrameKind.PONG, payload))

    def send_bytes(self, data: bytes) -> None:
        """Send bytes as they are, such as a part of a frame."""
        self._link.arrive(data)

    def received(self, max_bytes: int | None = None) -> list[tuple[FrameKind, bytes]]:
        """Read, and return the frames that became whole, a close included.

        Args:
            max_bytes: How much to read; None reads until nothing waits.
        """
        frames: list[tuple[FrameKind, bytes]] = []
        left = self.waiting if max_bytes is None else max_bytes
        while left > 0 and self.waiting:
            data = self._link.pipe.take(left)
            frames += self._decoder.feed(data)
            # There may be room now for what waits in the core.
            self._link.pipe_changed()
            left = self.waiting if max_bytes is None else left - len(data)
        for kind, payload in frames:
            if kind is FrameKind.CLOSE:
                self._close = decode_close(payload)
        return frames

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Send a close."""
        payload = encode_close(code, short_reason(reason))
        self.send_bytes(encode_frame(FrameKind.CLOSE, payload))

    def drop(self) -> None:
        """Lose the connection, and with it what waits."""
        self._link.pipe.waiting.clear()
        self._link.lost("the connection was lost")


class MemoryTransport:
    """Connections within the process; `listen` and `connect` need no event loop.

    Attributes:
        links: Every open link, oldest first.
    """

    name = "memory"
    host: Host

    def __init__(self) -> None:
        self.address = ""
        self.links: dict[MemoryLink, None] = {}
        self._accepting = False

    def listen(self, host: Host) -> None:
        """Take connections for `host`."""
        self.host = host
        self.address = "memory"
        self._accepting = True

    def connect(
        self,
        *,
        address: str = "127.0.0.1",
        tenant: str | None = None,
        ticket: str | None = None,
        resume: str | None = None,
    ) -> MemoryClient:
        """Connect; a refusal is found on the client.

        Args:
            address: Where the client seems to come from.
            tenant: As in `ConnectRequest`.
            ticket: As in `ConnectRequest`.
            resume: As in `ConnectRequest`.

        Raises:
            ConnectionRefusedError: Nobody listens.
        """
        if not self._accepting:
            raise ConnectionRefusedError("nobody listens in memory")
        link = MemoryLink(self)
        self.links[link] = None
        link.ask(ConnectRequest(self.name, address, tenant, ticket, resume))
        return MemoryClient(link)

    async def start(self, host: Host) -> None:
        """Take connections."""
        self.listen(host)

    async def stop_accepting(self) -> None:
        """Accept no further connection; those that exist go on."""
        self._accepting = False

    async def stop(self) -> None:
        """Stop accepting and cut whatever is open."""
        self._accepting = False
        for link in tuple(self.links):
            link.abort()
