"""One connection of the load client: as little work for each message as will do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, cast
from urllib.parse import quote, urlencode

from wsprism_cli.bench.histogram import Histogram
from wsprism_cli.bench.ledger import Ledger
from wsprism_cli.bench.plan import Group, Stream
from wsprism_cli.bench.wire import (
    TIME_MASK,
    FrameReader,
    TokenCounter,
    TokenReader,
    chat_message,
    close_code,
    frame,
    history_message,
    hot_message,
    ping_message,
    token,
)
from wsprism_cli.trust import trusting

__all__ = (
    "NO_STREAM",
    "LoadClient",
    "LoadError",
    "NotResumedError",
    "Sender",
    "Tally",
    "Target",
    "open_client",
)

#: Where what is counted goes while it is to count for nothing.
NO_STREAM: Final = -1
#: What may wait in a client for the gateway to read it; beyond it nothing is sent.
MOST_UNSENT: Final = 1 << 20
#: What a throttled client takes from the socket at a time, and lets the system hold.
SIP: Final = 4096
SMALL_BUFFER: Final = 16 * 1024
#: And what a segment holds, as on any line of Ethernet.
SEGMENT: Final = 1448
#: Seconds until an answer that does not come is given up.
PATIENCE: Final = 20.0

TEXT: Final = 1
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10
#: Head, code and reason.
LONGEST_CLOSE: Final = 127

_SEQ: Final = re.compile(rb'"seq":(\d+)')
_TICKER_TIME: Final = re.compile(rb'"ticker".{1,400}?"ts":(\d+)', re.DOTALL)
_ERROR: Final = re.compile(rb'"sys","type":"error".{0,400}?"code":"(\w+)"', re.DOTALL)
_KIND: Final = {"input": 1, "event": 2}


class LoadError(Exception):
    """The load cannot be made; the text is for the person at the terminal."""


class NotResumedError(LoadError):
    """A session does not go on, or not all that it missed can be had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where to connect, and as whom.

    Args:
        host: Name or address.
        port: The port.
        path: The path, `/v1/ws` as a rule.
        tls: Whether it is `wss`.
        tenant: The tenant; None where the gateway has one.
        ticket: `{n}` in it is the client's index.
        prefix: What the names of the rooms begin with, so that nobody else is in them.
        ca: A file with the authorities to trust; None is the system's.
    """

    host: str
    port: int
    path: str
    tls: bool
    tenant: str | None
    ticket: str = field(repr=False)
    prefix: str = "bench-"
    ca: str | None = None

    def tls_context(self) -> ssl.SSLContext | None:
        """Return what connections to it are secured with, None where none is."""
        return trusting(self.ca) if self.tls else None

    def room(self, name: str, number: int) -> str:
        """Return the whole name of a room of the plan, for a client."""
        return self.prefix + name.replace("{n}", str(number))

    def request(self, number: int, resume: str | None = None) -> bytes:
        """Return the handshake of a client, one that comes back with its token."""
        asked = {"tenant": self.tenant, "resume": resume}
        given = {name: value for name, value in asked.items() if value is not None}
        query = f"?{urlencode(given, quote_via=quote)}" if given else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (
            f"GET {self.path}{query} HTTP/1.1\r\n"
            f"Host: {host}:{self.port}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: d3NwcmlzbS1iZW5jaC1rZQ==\r\n"
            "Sec-WebSocket-Version: 13\r\n"
            f"Authorization: Bearer {self.ticket.replace('{n}', str(number))}\r\n\r\n"
        ).encode()


class Tally:
    """What the clients of one process have counted.

    Args:
        streams: The streams of the plan.

    Attributes:
        sent: Messages sent, by stream.
        unsent: Messages that were due while a client had too much to send already.
        received: Messages received, by stream.
        delays: How long each took, by stream.
        counted: The stream that clients who only count receive, or NO_STREAM.
        errors: `sys.error` messages, by code.
        closed: Connections that ended although nobody wanted it, by close code.
        bytes: Bytes received.
    """

    def __init__(self, streams: tuple[Stream, ...]) -> None:
        self.streams = streams
        self.counted = NO_STREAM
        self.errors: Counter[str] = Counter()
        self.closed: Counter[str] = Counter()
        self.begin()

    def begin(self) -> None:
        """Start messages, delays and bytes anew."""
        self.sent = [0] * len(self.streams)
        self.unsent = [0] * len(self.streams)
        # One place more than there are streams, for what is of none.
        self.received = [0] * (len(self.streams) + 1)
        self.delays = [Histogram() for _ in self.streams]
        self.bytes = 0


class LoadClient(asyncio.BaseProtocol):
    """A connection that joins its rooms, and then sends and reads.

    Args:
        number: Its index in the plan.
        group: What it is.
        target: Where it connects.
        tally: Where it counts.
        loop: Its event loop.
        before: The connection that dropped, where it goes on with its session.

    Attributes:
        aliases: The aliases of its rooms.
        services: What the gateway offers.
        token: What the session may come back with.
        ledger: The numbers that it has seen, where its group keeps a ledger.
        pages: The stream of pages that it asks for, or NO_STREAM.
        asked: When it asked for the page that is under way, in nanoseconds.
        wanted: Whether the connection is to stay open.
        answer: Called with stream and sender of each message, in a closed loop.
    """

    def __init__(
        self,
        number: int,
        group: Group,
        target: Target,
        tally: Tally,
        loop: asyncio.AbstractEventLoop,
        before: LoadClient | None = None,
    ) -> None:
        self.number = number
        self.group = group
        self.aliases: dict[str, int] = {}
        self.services: dict[str, int] = {}
        self.token: str | None = None
        self.ledger: Ledger | None = None
        self.pages = NO_STREAM
        self.asked = 0
        self.wanted = True
        self.answer: Callable[[int], None] | None = None
        self._target = target
        self._tally = tally
        self._loop = loop
        self._transport: asyncio.Transport
        self._frames = FrameReader()
        self._tokens = TokenReader()
        self._counter = TokenCounter()
        self._closed: int | None = None
        self._before = before
        # The number that makes it whole, and who waits for that.
        self._head = 0
        self._whole: asyncio.Future[None] | None = None
        self._take: Callable[[bytes], None] = self._take_head
        # What is waited for is named before it is asked for: it may come at once.
        self._wait: asyncio.Future[dict[str, Any]] = loop.create_future()
        self._waiting_for = "authed"

    # ------------------------------------------------------------------ connecting

    async def hello(self) -> None:
        """Wait until the gateway says who this is.

        Raises:
            LoadError: It refuses, or says nothing.
        """
        data = (await self._answer())["data"]
        self.services, self.token = data["services"], data.get("resume")
        if self._before is not None:
            self._go_on(self._before, data)

    async def settle_in(self) -> None:
        """Join the rooms, subscribe, and from then on read as the group does.

        Raises:
            LoadError: The gateway refuses.
        """
        for name in self.group.rooms:
            room = self.room(name)
            join = {"svc": "room", "type": "join", "room": room, "seq": 1}
            joined = (await self._ask(join, "joined"))["data"]
            self.aliases[room] = joined["alias"]
            if self.group.reads == "ledger" and self.ledger is None:
                self.ledger = Ledger(joined["seq"])
        if self.group.symbols:
            names = {"symbols": self.group.symbols}
            subscribe = {"svc": "market", "type": "subscribe", "seq": 2, "data": names}
            await self._ask(subscribe, "subscribed")
        self._read_as_group()

    def _read_as_group(self) -> None:
        """Read from now on as the group does, what has come already first."""
        self._take = {
            "count": self._count,
            "all": self._read_times,
            "ledger": self._keep_ledger,
            "pages": self._read_pages,
        }[self.group.reads]
        if rest := self._frames.rest():
            self._take(rest)

    def _go_on(self, before: LoadClient, authed: dict[str, Any]) -> None:
        """Go on where the connection before was, if the gateway lets it.

        Raises:
            NotResumedError: It is a new session, or not all that was missed can be
                had.
        """
        rooms = authed.get("rooms", [])
        if not authed.get("resumed"):
            raise NotResumedError(f"not resumed: {authed.get('reason')}")
        for room in rooms:
            if not room["recovered"]:
                raise NotResumedError(f"not recovered: {room.get('reason')}")
        self.aliases, self.ledger = before.aliases, before.ledger
        if self.ledger is not None and rooms:
            self.ledger.came_back()
            self._head = rooms[0]["seq"]
        self._whole = self._loop.create_future()
        self._read_as_group()
        self._look_whether_whole()

    async def be_whole(self) -> None:
        """Wait until everything has come that was missed.

        Raises:
            LoadError: The connection ended before.
        """
        assert self._whole is not None
        await self._whole

    def _look_whether_whole(self) -> None:
        whole, ledger = self._whole, self.ledger
        if whole is not None and not whole.done():
            if ledger is None or ledger.last >= self._head:
                whole.set_result(None)

    def room(self, name: str) -> str:
        """Return the whole name of a room of the plan."""
        spread = self.group.spread
        return self._target.room(name, self.number % spread if spread else self.number)

    def send(self, data: bytes) -> bool:
        """Send bytes, unless too much waits to be sent already."""
        if self._transport.get_write_buffer_size() > MOST_UNSENT:
            return False
        self._transport.write(data)
        return True

    def beat(self) -> None:
        """Show that somebody is there, before the gateway asks.

        A client that only counts does not look for pings.
        """
        if not self._transport.is_closing():
            self._transport.write(frame(PONG, b""))

    def drop(self) -> None:
        """Lose the connection, without a word."""
        self.wanted = False
        self._transport.abort()

    def hang_up(self) -> None:
        """Close the connection for good."""
        self.wanted = False
        if not self._transport.is_closing():
            self._transport.write(frame(CLOSE, b"\x03\xe8"))
            self._transport.close()

    async def _ask(self, question: dict[str, Any], answer: str) -> dict[str, Any]:
        """Send an envelope and return the first one of a type."""
        self._wait, self._waiting_for = self._loop.create_future(), answer
        self._transport.write(frame(TEXT, json.dumps(question).encode()))
        # What came behind the answer before.
        self._take(b"")
        return await self._answer()

    async def _answer(self) -> dict[str, Any]:
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._wait
        except TimeoutError:
            missing = f"no {self._waiting_for!r} came within {PATIENCE:.0f} s"
            raise LoadError(missing) from None

    def _fail(self, text: str) -> None:
        for waiting in (self._wait, self._whole):
            if waiting is not None and not waiting.done():
                waiting.set_exception(LoadError(text))

    # --------------------------------------------------------------- the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the handshake."""
        # No isinstance: what uvloop has is no subclass of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        token = None if self._before is None else self._before.token
        self._transport.write(self._target.request(self.number, token))

    def read(self, data: bytes) -> None:
        """Make of bytes what the group makes of them."""
        self._tally.bytes += len(data)
        self._take(data)
        # The last thing that a gateway sends; nobody looks for it elsewhere.
        end = data[-LONGEST_CLOSE:]
        if b"\x88" in end and (code := close_code(end)) is not None:
            self._closed = code
            self._transport.write(frame(CLOSE, b"\x03\xe8"))
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note it, if nobody wanted it."""
        code = self._closed or 1006
        self._fail(f"the gateway closed the connection, code {code}")
        if self.wanted:
            self._tally.closed[str(code)] += 1

    # ------------------------------------------------------------- what is received

    def _take_head(self, data: bytes) -> None:
        head, found, rest = (self._frames.rest() + data).partition(b"\r\n\r\n")
        if not found:
            self._frames = FrameReader()
            list(self._frames.feed(head))
            return
        if not head.startswith(b"HTTP/1.1 101"):
            status = head.partition(b"\r\n")[0].decode("latin-1")
            self._fail(f"the gateway refused the connection: {status} {rest.decode()}")
            self._transport.close()
            return
        self._take = self._take_answer
        self._take(rest)

    def _take_answer(self, data: bytes) -> None:
        if self._wait.done():
            # It is for whoever reads next.
            self._frames.hold(data)
            return
        for opcode, payload in self._frames.feed(data):
            if opcode == PING:
                self._transport.write(frame(PONG, payload))
            if opcode != TEXT:
                continue
            envelope = json.loads(payload)
            if envelope["type"] == self._waiting_for:
                self._wait.set_result(envelope)
                return
            elif envelope["svc"] == "sys" and envelope["type"] == "error":
                said = envelope["data"]
                self._fail(f"the gateway refuses: {said['code']}: {said['msg']}")

    def _count(self, data: bytes) -> None:
        self._tally.received[self._tally.counted] += self._counter.feed(data)

    def _read_times(self, data: bytes) -> None:
        now = time.perf_counter_ns()
        tally = self._tally
        for found in self._tokens.feed(data):
            stream = found >> 16 & 0xFF
            tally.received[stream] += 1
            tally.delays[stream].record((now - (found >> 24)) & TIME_MASK)
            if self.answer is not None and found & 0xFFFF == self.number:
                self.answer(stream)
        if self.group.symbols:
            self._read_tickers(data)
        if b'"type":"error"' in data:
            tally.errors.update(code.decode() for code in _ERROR.findall(data))

    def _read_tickers(self, data: bytes) -> None:
        """Read the time of each quote, in milliseconds since 1970."""
        if b'"ticker"' not in data:
            return
        now = time.time_ns()
        tally = self._tally
        for stream, told in enumerate(tally.streams):
            if told.kind == "ticker":
                for found in _TICKER_TIME.findall(data):
                    tally.received[stream] += 1
                    tally.delays[stream].record(now - int(found) * 1_000_000)

    def _keep_ledger(self, data: bytes) -> None:
        now = time.perf_counter_ns()
        tally, ledger = self._tally, self.ledger
        assert ledger is not None
        for opcode, payload in self._frames.feed(data):
            for found in TokenReader().feed(payload):
                stream = found >> 16 & 0xFF
                tally.received[stream] += 1
                tally.delays[stream].record((now - (found >> 24)) & TIME_MASK)
                if opcode == TEXT and (seq := _SEQ.search(payload)):
                    ledger.message(int(seq[1]))
            if opcode == TEXT and payload.startswith(b'{"v":1,"svc":"sys"'):
                self._read_system(payload, ledger)
        self._look_whether_whole()

    def _read_pages(self, data: bytes) -> None:
        """Read the times of what is live, and how long a page took."""
        tally, stream = self._tally, self.pages
        for _, payload in self._frames.feed(data):
            if not payload.startswith(b'{"v":1,"svc":"chat","type":"history"'):
                self._read_times(payload)
                continue
            tally.received[stream] += 1
            tally.delays[stream].record(time.perf_counter_ns() - self.asked)
            if self.answer is not None:
                self.answer(stream)

    def _read_system(self, payload: bytes, ledger: Ledger) -> None:
        envelope = json.loads(payload)
        if envelope["type"] == "lost" and "from_seq" in envelope["data"]:
            ledger.range(envelope["data"]["from_seq"], envelope["data"]["to_seq"])
        elif envelope["type"] == "error":
            self._tally.errors[envelope["data"]["code"]] += 1


class _FastClient(LoadClient, asyncio.Protocol):
    """Reads as fast as it can."""

    def data_received(self, data: bytes) -> None:
        """Read what came."""
        self.read(data)


class _ThrottledClient(LoadClient, asyncio.BufferedProtocol):
    """Reads no faster than its group says, a sip at a time."""

    _busy_until = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Get the place that all sips go to."""
        self._sip = bytearray(SIP)
        super().connection_made(transport)

    def get_buffer(self, sizehint: int) -> bytearray:
        """Return where the next sip goes."""
        return self._sip

    def buffer_updated(self, nbytes: int) -> None:
        """Read what came, and then nothing for as long as the throttle wants."""
        self.read(bytes(self._sip[:nbytes]))
        now = self._loop.time()
        self._busy_until = max(now, self._busy_until) + nbytes / self.group.bytes_per_s
        # Timers are a millisecond apart: what one is late by is caught up.
        if self._busy_until - now > 0.002 and not self._transport.is_closing():
            self._transport.pause_reading()
            self._loop.call_at(self._busy_until - 0.001, self._read_on)

    def _read_on(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()


class Sender:
    """Sends the messages of one stream from one client.

    Args:
        client: Who sends.
        index: The stream's place in the plan.
        stream: The stream.
        tally: Where it counts.
        place: Which of the stream's senders it is.
    """

    def __init__(
        self,
        client: LoadClient,
        index: int,
        stream: Stream,
        tally: Tally,
        place: int,
    ) -> None:
        self.client = client
        self.place = place
        self.stream = stream
        self._index = index
        self._tally = tally
        self._seq = 0
        self._alias = 0
        room = client.room(stream.room)
        if stream.kind == "chat":
            self._before, self._behind = chat_message(room, stream.size)
        elif stream.kind == "ping":
            self._before, self._behind = ping_message()
        elif stream.kind == "history":
            self._before, self._behind = history_message(room), b""
            client.pages = index
        else:
            self._alias = client.aliases[room]
            opcode = _KIND[stream.kind]
            self._before, self._behind = hot_message(opcode, self._alias, stream.size)

    def send(self, due: int) -> None:
        """Send a message that was due at a time, in nanoseconds.

        Whoever is late says when it was due all the same: a message that had to wait
        for its predecessors has waited.
        """
        if self.stream.kind == "input":
            self._seq += 1
            numbers = self._seq.to_bytes(4, "little") + self._alias.to_bytes(
                4, "little"
            )
        else:
            numbers = b""
        mark = token(due, self._index, self.client.number)
        if self.stream.kind == "history":
            # A page is known by its type, and one at a time is under way.
            mark, self.client.asked = b"", due
        if self.client.send(b"".join((self._before, numbers, mark, self._behind))):
            self._tally.sent[self._index] += 1
        else:
            self._tally.unsent[self._index] += 1


async def open_client(
    number: int,
    group: Group,
    target: Target,
    tally: Tally,
    tls: ssl.SSLContext | None,
    before: LoadClient | None = None,
) -> LoadClient:
    """Connect a client and wait until the gateway has let it in.

    Args:
        number: Its index in the plan.
        group: What it is.
        target: Where it connects.
        tally: Where it counts.
        tls: What secures the connection.
        before: The connection that dropped, where it goes on with its session.

    Raises:
        LoadError: The gateway refuses.
        OSError: Nobody listens there.
    """
    loop = asyncio.get_running_loop()
    kind = _ThrottledClient if group.bytes_per_s else _FastClient
    client: LoadClient = kind(number, group, target, tally, loop, before)
    where = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    family, type, proto, _, address = where[0]
    sock = socket.socket(family, type, proto)
    try:
        sock.setblocking(False)
        if group.bytes_per_s:
            # Before it connects, or the window has been offered already.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
            if hasattr(socket, "TCP_MAXSEG"):
                # A segment of loopback is larger than this buffer, and a sender then
                # waits for 200 ms now and then until it sees that there is room.
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await loop.sock_connect(sock, address)
        except OSError as error:
            asked = f"{target.host}:{target.port}"
            raise LoadError(f"nothing answers on {asked}: {error.strerror}") from None
        transport, _ = await loop.create_connection(
            lambda: client,
            sock=sock,
            ssl=tls,
            server_hostname=target.host if tls else None,
        )
        if tls and group.bytes_per_s:
            # What the client's own TLS holds unread would be as old as what waits.
            # Where a loop can't be told, the figures are of that too.
            with contextlib.suppress(AttributeError):
                transport.set_read_buffer_limits(SMALL_BUFFER)  # type: ignore[attr-defined]
    except BaseException:
        sock.close()
        raise
    await client.hello()
    return client
