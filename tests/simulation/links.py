"""Links whose far end reads as fast as it can, or slowly, or not at all."""

from __future__ import annotations

from collections import deque
from hashlib import blake2b
from typing import Final

from simulation.ledger import Ledger, Posted
from wsprism_core.protocol.framing import encode_frame
from wsprism_core.protocol.layout import CloseCode, FrameKind
from wsprism_core.realtime.clock import Clock
from wsprism_core.transports.memory import MemoryLink, MemoryTransport
from wsprism_core.transports.port import NO_CLOSE_FRAME, ConnectRequest

__all__ = ("Network", "SimulatedLink")

#: What a socket that is full must take at least, over so many seconds.
LEAST_RATE: Final = 1024
RATE_SECONDS: Final = 10.0
#: Time is counted in ticks by the gateway, in seconds.
SLACK: Final = 1.0


class SimulatedLink(MemoryLink):
    """The core's end of a link, and the bytes on their way to the far end.

    Args:
        network: Where it belongs.
        ledger: What its session is owed.
        buffer: What fits into its socket, in bytes; None is no limit.
        rate: How many bytes a second the far end reads; None is all at once.
    """

    def __init__(
        self,
        network: Network,
        ledger: Ledger,
        *,
        buffer: int | None,
        rate: float | None,
    ) -> None:
        super().__init__(network.transport)
        self.ledger = ledger
        self.rate = rate
        #: Whether the far end reads and sends at all.
        self.alive = True
        #: When the gateway knew of its end, and the code that it ended with.
        self.ended_at = 0.0
        self.end_code = 0
        self.pipe.capacity = buffer
        self._network = network
        self._under_way: deque[tuple[int, Posted]] = deque()
        self._written = 0
        self._read_bytes = 0
        self._credit = 0.0
        # When a socket that is full took bytes last, and how many had been taken when.
        self._took_at = 0.0
        self._window: deque[tuple[float, int]] = deque(maxlen=2_000)

    # ------------------------------------------------------ what the core calls

    def write(self, data: bytes) -> bool:
        """Check what the gateway writes, and take it."""
        if self.over is None:
            for message in self.ledger.wrote(data, full=self.pipe.full):
                self._written += len(message.data)
                self._under_way.append((self._written, message))
            self._network.noted(self, data)
        return super().write(data)

    def pipe_changed(self) -> None:
        """Tell the ledger whether the socket takes bytes."""
        super().pipe_changed()
        if self.over is None:
            if self.pipe.full:
                if not self.ledger.stalled:
                    self._took_at = self._network.now()
                    self._window.clear()
                    self._window.append((self._took_at, self._read_bytes))
                self.ledger.full()
            else:
                self.ledger.roomy()

    def close(self, code: int, reason: str) -> None:
        """Note what the gateway closes with."""
        if self.over is None:
            before = len(self.pipe.waiting)
            slow = code == CloseCode.SLOW_CONSUMER
            self.ledger.ended(slow=slow, late=slow and self._may_be_late())
            self.ended_at, self.end_code = self._network.now(), code
            super().close(code, reason)
            frame = bytes(self.pipe.waiting[before:])
            self._written += len(frame)
            self._under_way.append((self._written, Posted(frame)))
            self._network.noted(self, frame)

    def lost(self, reason: str) -> None:
        """Note the end of a link that nobody closed."""
        if self.over is None:
            self.ledger.ended()
            self.ended_at, self.end_code = self._network.now(), NO_CLOSE_FRAME
        super().lost(reason)

    def touch(self) -> None:
        """Note that something is to be looked at when the turn ends."""
        self._network.touched[self] = None

    # ----------------------------------------------------- what the far end does

    @property
    def is_late(self) -> bool:
        """Whether its socket has taken nothing for longer than it may, and by far."""
        silence = self._network.silence
        if not silence or not self.pipe.full or not self.ledger.stalled:
            return False
        return self._network.now() - self._took_at > 2 * silence + 1

    def _may_be_late(self) -> bool:
        """Whether its socket has taken nothing, or next to nothing, for a while."""
        now = self._network.now()
        silence = self._network.silence
        if not self.ledger.stalled:
            return False
        if silence and now - self._took_at >= silence - SLACK:
            return True
        began = now - RATE_SECONDS + SLACK
        before = [read for at, read in self._window if at <= began]
        return (
            bool(before) and self._read_bytes - before[-1] < RATE_SECONDS * LEAST_RATE
        )

    @property
    def over_and_read(self) -> bool:
        """Whether nothing comes of it any more."""
        return self.over is not None and not (self.pipe.waiting and self.alive)

    def send(self, kind: FrameKind, payload: bytes) -> None:
        """Send a frame to the gateway."""
        if self.alive:
            self.arrive(encode_frame(kind, payload))

    def drop(self) -> None:
        """Lose the link, and what is under way with it."""
        self.pipe.waiting.clear()
        self._under_way.clear()
        self.lost("the link was lost")

    def read(self, seconds: float) -> list[Posted]:
        """Return the messages that arrive whole within so much time."""
        if not self.alive or not self.pipe.waiting:
            return []
        if self.rate is None:
            budget = None
        else:
            self._credit += self.rate * seconds
            budget = int(self._credit)
            if not budget:
                return []
            self._credit -= budget
        while self.pipe.waiting and budget != 0:
            waiting = len(self.pipe.waiting)
            size = waiting if budget is None else min(budget, waiting)
            if self.pipe.full:
                self._took_at = self._network.now()
                self._window.append((self._took_at, self._read_bytes))
            self.pipe.take(size)
            self._read_bytes += size
            if budget is not None:
                budget -= size
            self.pipe_changed()
        arrived: list[Posted] = []
        under_way = self._under_way
        while under_way and under_way[0][0] <= self._read_bytes:
            arrived.append(under_way.popleft()[1])
        return arrived


class Network:
    """All links, and a record of what was written to them.

    Args:
        transport: What the gateway listens with.
        clock: Time.

    Attributes:
        silence: Seconds in which a socket that is full must take something; 0 is
            forever.
    """

    def __init__(self, transport: MemoryTransport, clock: Clock) -> None:
        self.transport = transport
        self.now = clock.now
        self.silence = 0.0
        self.digest: Final = blake2b(digest_size=16)
        #: Links that were written to since somebody asked.
        self.touched: dict[SimulatedLink, None] = {}
        self.bytes_out = 0

    def connect(
        self, link: SimulatedLink, tenant: str, ticket: str | None, resume: str | None
    ) -> None:
        """Connect a link to the gateway."""
        self.transport.links[link] = None
        link.ask(ConnectRequest("memory", "127.0.0.1", tenant, ticket, resume))

    def noted(self, link: SimulatedLink, data: bytes) -> None:
        """Record what is written to a link."""
        self.touched[link] = None
        self.bytes_out += len(data)
        self.digest.update(link.ledger.name.encode())
        self.digest.update(data)

    def take_touched(self) -> list[SimulatedLink]:
        """Return the links that were written to since the last call."""
        touched, self.touched = self.touched, {}
        return list(touched)
