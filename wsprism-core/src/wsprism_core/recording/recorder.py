"""Recording: what enters a gateway is written down while it serves.

A recorder stands at the gateway's boundary and gives it its clock. Inputs are noted
before the core sees them, bytes as they go out; nothing that the core does changes. A
gateway that is not recorded has none of this.
"""

from __future__ import annotations

import asyncio
import platform
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from hashlib import sha256
from importlib.metadata import version
from random import Random, SystemRandom
from typing import Final

from wsprism_core.actions import Actions, Broadcast, Push, PushFrame, Source
from wsprism_core.api import Identity
from wsprism_core.api import Session as PluginSession
from wsprism_core.config import Config
from wsprism_core.gateway.boundary import (
    After,
    Authenticate,
    Boundary,
    Connect,
    Cut,
    Perform,
    Publish,
)
from wsprism_core.gateway.connection import Connection, ConnectionParts
from wsprism_core.gateway.handlers import HandlerQueues, Job
from wsprism_core.logs import EventLog
from wsprism_core.metrics import Metrics
from wsprism_core.plugins import PluginSet
from wsprism_core.policy.tenant import Tenant
from wsprism_core.protocol.envelope import is_binary_envelope
from wsprism_core.realtime.channel import Receipt
from wsprism_core.realtime.clock import Timer
from wsprism_core.realtime.wire import Wire
from wsprism_core.recording.chance import CoreChance
from wsprism_core.recording.clock import LiveTurnClock
from wsprism_core.recording.format import (
    BlockPacker,
    Header,
    Kind,
    Record,
    fields_of,
)
from wsprism_core.recording.outcomes import listed, pack_outcome, with_sources
from wsprism_core.recording.tickets import may_hold_ticket, without_ticket
from wsprism_core.recording.writer import BlockWriter, Sink
from wsprism_core.transports.port import (
    NO_CLOSE_FRAME,
    ConnectRequest,
    Link,
    Refusal,
)

__all__ = (
    "RecordedConnection",
    "RecordedLink",
    "RecordedQueues",
    "RecordedSource",
    "Recorder",
    "digest_of",
)

#: How much is collected before it is handed to the writer, in bytes.
BLOCK_BYTES: Final = 256 * 1024
#: How long it is kept at the most before that, in seconds.
FLUSH_SECONDS: Final = 1.0
#: How many sources from outside are known by their numbers; the eldest goes.
_SOURCES: Final = 4_096
#: Records of a turn that is still under way are packed from this number on.
_MANY: Final = 4_096


class Recorder(Boundary):
    """Writes down what enters the core of one gateway, and what comes out.

    Make it in the running event loop, give the gateway its `clock`, its `chance` and
    itself as the `boundary`, then `open` it, and `close` it behind the gateway.

    Args:
        config: The gateway's configuration.
        plugins: The gateway's plugins.
        has_file: Whether the configuration came from a file.

    Attributes:
        clock: The gateway's time.
        chance: Where the gateway's chance comes from.
        stopped: Why it records no more; empty while it does.
    """

    #: A token would be in what is written down, and good for a while.
    resumes = False

    def __init__(self, config: Config, plugins: PluginSet, *, has_file: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self.clock = LiveTurnClock(
            self._loop, begun=self._turn_begun, ended=self._turn_ended
        )
        seed = secrets.randbits(63)
        self.chance: Random = CoreChance(self.clock, Random(seed))
        self.stopped = ""
        self._log = EventLog("recording")
        self._metrics = Metrics()
        self._packer = BlockPacker()
        self._writer: BlockWriter | None = None
        self._flush_timer: asyncio.TimerHandle | None = None
        self._turn: list[Record] = []
        self._connections = 0
        self._refreshes = 0
        self._sources: OrderedDict[Source, RecordedSource] = OrderedDict()
        self._source_count = 0
        header = Header(
            wall_ms=self.clock.wall_ms(),
            seed=seed,
            config=digest_of(config) if has_file else None,
            plugins=tuple(
                (one.name, one.distribution, one.version) for one in plugins.loaded
            ),
            core=version("wsprism-core"),
            python=platform.python_version(),
        )
        self._packer.add((Kind.HEADER, fields_of(header)))

    def open(self, file: Sink, *, max_bytes: int) -> None:
        """Begin to write.

        Args:
            file: A binary file without a buffer, which is closed at the end.
            max_bytes: How large it may become; then the recording ends.
        """

        def soon(work: Callable[[], None]) -> None:
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(work)

        self._writer = BlockWriter(
            file,
            max_bytes=max_bytes,
            wrote=lambda size: soon(partial(self._count, size)),
            stopped=lambda reason, text: soon(partial(self._stop, reason, text)),
        )
        self._flush()

    def close(self) -> None:
        """Write what is left and close the file; harmless a second time.

        It waits for the disk, but not for one that hangs.
        """
        self.clock.stop()
        if self._flush_timer is not None:
            self._flush_timer.cancel()
        if self._turn:
            # A turn that is under way has no end yet; what came is told all the same.
            self._turn_ended()
        writer, self._writer = self._writer, None
        if writer is None:
            return
        if not self.stopped:
            writer.put(self._packer.take())
        writer.close(None if self.stopped else "closed")

    # ------------------------------------------------------------- the boundary

    def connect(self, parts: ConnectionParts, tenants: Mapping[str, Tenant]) -> Connect:
        """Make connections that tell what they receive."""
        self._metrics = parts.metrics
        return partial(RecordedConnection, self, parts)

    def deadlines(self, inner: After) -> After:
        """Keep transports' deadlines apart from the core's: they are no part of it."""
        return self.later

    def authenticate(self, inner: Authenticate) -> Authenticate:
        """Note what becomes of a refresh; its ticket is not."""

        def recorded(
            tenant: Tenant,
            ticket: str,
            request: ConnectRequest,
            decided: Callable[[Identity | Refusal], None],
        ) -> None:
            number = self._refreshes

            def noted(identity: Identity | Refusal) -> None:
                said: tuple[object, ...] = (None,) * 4
                if isinstance(identity, Identity):
                    said = identity.user, *_limits_of(identity)
                inside = self.clock.enter()
                try:
                    self.note((Kind.REFRESHED, number, *said))
                    decided(identity)
                finally:
                    self.clock.leave(inside)

            inner(tenant, ticket, request, noted)

        return recorded

    def perform(self, inner: Perform) -> Perform:
        """Note what is wanted from outside; the rest follows by itself."""

        def recorded(actions: Actions, svc: str, tenant: str) -> None:
            if self.clock.inside:
                inner(actions, svc, tenant)
                return
            actions = with_sources(listed(actions), self.source)
            self._from_outside(
                actions, svc, tenant, lambda: inner(actions, svc, tenant)
            )

        return recorded

    def cut(self, inner: Cut) -> Cut:
        """Note that tickets are revoked."""

        def recorded(tenant: str, user: str | None, ticket_id: str | None) -> None:
            inside = self.clock.enter()
            try:
                self.note((Kind.REVOKED, tenant, user, ticket_id))
                inner(tenant, user, ticket_id)
            finally:
                self.clock.leave(inside)

        return recorded

    def publish(self, inner: Publish) -> Publish:
        """Note what an operator publishes, as an action like any other."""

        def recorded(
            action: Broadcast,
            svc: str,
            tenant: str,
            done: Callable[[Receipt], None],
        ) -> None:
            self._from_outside(
                action, svc, tenant, lambda: inner(action, svc, tenant, done)
            )

        return recorded

    def _from_outside(
        self, actions: Actions, svc: str, tenant: str, work: Callable[[], None]
    ) -> None:
        """Note actions, and do them as a part of the core."""
        inside = self.clock.enter()
        try:
            self.note((Kind.ACTIONS, svc, tenant, pack_outcome(actions)))
            work()
        finally:
            self.clock.leave(inside)

    def drain(self, inner: Callable[[], None]) -> Callable[[], None]:
        """Note that the gateway is emptied."""

        def recorded() -> None:
            inside = self.clock.enter()
            try:
                self.note((Kind.DRAIN,))
                inner()
            finally:
                self.clock.leave(inside)

        return recorded

    def trace_ids(self, inner: Callable[[], str]) -> Callable[[], str]:
        """Give those who are not let in ids of another kind."""
        system = SystemRandom()

        def recorded() -> str:
            return inner() if self.clock.inside else f"{system.getrandbits(64):016x}"

        return recorded

    def random(self, inner: Callable[[str], Random]) -> Callable[[str], Random]:
        """Give a plugin chance that repeats inside of the core."""
        return lambda plugin: CoreChance(self.clock, inner(plugin))

    def started(self) -> None:
        """Begin with the turns."""
        self.clock.started()

    # ------------------------------------------------------------------ records

    def note(self, record: Record) -> None:
        """Add a record to the turn that is under way."""
        self.clock.open()
        self._turn.append(record)

    def note_message(
        self, kind: Kind, connection: int, payload: bytes, *, is_envelope: bool
    ) -> None:
        """Add a message, without a ticket that it holds."""
        if len(self._turn) >= _MANY:
            self._pack()
        if is_envelope and may_hold_ticket(payload):
            self.note(without_ticket(kind, connection, payload, self._refresh))
        else:
            self.note((kind, connection, payload))

    def later(self, seconds: float, work: Callable[[], None]) -> Timer:
        """Run `work` once, outside of the core."""
        return self._loop.call_later(seconds, work)

    def source(self, source: Source) -> RecordedSource:
        """Return a source from outside, of which it is noted what it gives."""
        recorded = self._sources.get(source)
        if recorded is None:
            self._source_count += 1
            recorded = RecordedSource(self, source, self._source_count)
            self._sources[source] = recorded
            if len(self._sources) > _SOURCES:
                self._sources.popitem(last=False)
        return recorded

    def new_connection(self) -> int:
        """Return the number of a connection whose session begins."""
        self._connections += 1
        return self._connections

    def _refresh(self) -> int:
        self._refreshes += 1
        return self._refreshes

    def _turn_begun(self) -> None:
        self._turn.append(
            (Kind.TURN, self.clock.now_ns, self.clock.wall_ms()),
        )

    def _turn_ended(self) -> None:
        self._turn.append((Kind.END_OF_TURN,))
        self._pack()

    def _pack(self) -> None:
        turn, self._turn = self._turn, []
        if self.stopped:
            return
        for record in turn:
            self._packer.add(record)
            if self._packer.size >= BLOCK_BYTES:
                self._flush()
        if self._flush_timer is None and self._writer is not None:
            self._flush_timer = self._loop.call_later(FLUSH_SECONDS, self._flush)

    def _flush(self) -> None:
        """Hand what was collected to the writer."""
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None
        if self._writer is None or self.stopped or not self._packer.size:
            return
        if not self._writer.put(self._packer.take()):
            self._stop("too_slow", "the disk is slower than the traffic")

    def _count(self, size: int) -> None:
        self._metrics.recorded_bytes += size

    def _stop(self, reason: str, text: str) -> None:
        """Record no more; the gateway goes on."""
        if self.stopped:
            return
        self.stopped = reason
        self._packer.take()
        self._metrics.recordings_stopped[reason] += 1
        self._log.error("recording_stopped", reason=reason, text=text)


def _limits_of(identity: Identity) -> tuple[object, ...]:
    """Return what a ticket says that counts for its session, but for the user."""
    return identity.expires, identity.rooms, identity.ticket_id


def digest_of(config: Config) -> str:
    """Return what tells configurations apart; where it listens does not count."""
    text = config.model_dump_json(exclude={"gateway": {"listen"}})
    return sha256(text.encode()).hexdigest()


class RecordedSource:
    """A source that a plugin named from outside; what it gives is an input.

    Args:
        recorder: Whom it tells.
        source: The plugin's own, to which it is equal.
        number: Its number.
    """

    __slots__ = ("_recorder", "_source", "number")

    def __init__(self, recorder: Recorder, source: Source, number: int) -> None:
        self._recorder = recorder
        self._source = source
        self.number = number

    def __eq__(self, other: object) -> bool:
        if isinstance(other, RecordedSource):
            return self._source == other._source
        return self._source == other

    def __hash__(self) -> int:
        return hash(self._source)

    def pull(
        self, session: PluginSession, budget: int
    ) -> tuple[Sequence[Push | PushFrame], bool]:
        """Return what a session gets now, and whether there is more."""
        pushes, more = self._source.pull(session, budget)
        # Push and PushFrame are actions, and are held as such.
        outcome = pack_outcome(list(pushes))
        self._recorder.note((Kind.PULLED, self.number, outcome, more))
        return pushes, more


class RecordedQueues(HandlerQueues):
    """Messages that wait for async handlers, of which it is noted what they return.

    Attributes:
        recorder: Whom it tells.
        connection: The connection's number.
    """

    __slots__ = ("connection", "recorder")

    recorder: Recorder
    connection: int

    def submit(self, svc: str, job: Job) -> None:
        """Run a job after those of the same service that came before it."""
        recorder, connection, finish = self.recorder, self.connection, job.finish

        def noted(actions: Actions, failure: BaseException | None) -> None:
            actions = with_sources(listed(actions), recorder.source)
            inside = recorder.clock.enter()
            try:
                outcome = pack_outcome(actions, failure)
                recorder.note((Kind.RESULT, connection, svc, outcome))
                finish(actions, failure)
            finally:
                recorder.clock.leave(inside)

        job.finish = noted
        super().submit(svc, job)


class RecordedLink:
    """A link that tells what goes out and when the socket is full; a `Link`.

    Args:
        recorder: Whom it tells.
        inner: The transport's link.

    Attributes:
        number: The connection's number; 0 before its session begins.
        is_full: Whether the socket takes nothing.
        is_over: Whether the core has closed it.
    """

    __slots__ = (
        "_inner",
        "_is_writing",
        "_recorder",
        "_written",
        "is_full",
        "is_over",
        "number",
    )

    def __init__(self, recorder: Recorder, inner: Link) -> None:
        self.number = 0
        self.is_full = False
        self.is_over = False
        self._recorder = recorder
        self._inner = inner
        self._is_writing = False
        self._written = 0

    @property
    def wire(self) -> Wire:
        """Which bytes this connection wants."""
        return self._inner.wire

    @wire.setter
    def wire(self, wire: Wire) -> None:
        self._inner.wire = wire

    def write(self, data: bytes) -> bool:
        """Hand framed bytes over; return whether the socket takes more."""
        if not self.number:
            return self._inner.write(data)
        self._written += len(data)
        self._recorder.note((Kind.WRITE, self.number, data))
        self._is_writing = True
        takes_more = self._inner.write(data)
        self._is_writing = False
        if not takes_more and not self.is_full:
            self._note_full(at_once=False)
        return takes_more

    def unsent(self) -> int:
        """Return how many of the bytes handed over the socket has not taken yet."""
        unsent = self._inner.unsent()
        if self.number:
            self._recorder.note((Kind.UNSENT, self.number, unsent))
        return unsent

    def filled(self) -> bool:
        """Note that the socket is full; return whether a write has filled it."""
        by_write = self._is_writing and not self.is_full
        if by_write:
            self._note_full(at_once=True)
        self.is_full = True
        return by_write

    def limit(self, max_message_bytes: int) -> None:
        """Set the largest inbound message, in bytes."""
        self._inner.limit(max_message_bytes)

    def use_codec(self, name: str) -> bool:
        """Switch to a codec; return False where there is none such."""
        return self._inner.use_codec(name)

    def pause_reading(self) -> None:
        """Take no more bytes from the socket."""
        self._inner.pause_reading()

    def resume_reading(self) -> None:
        """Take bytes from the socket again."""
        self._inner.resume_reading()

    def is_behind(self) -> bool:
        """Whether something of the client waits unread."""
        is_behind = self._inner.is_behind()
        if is_behind and self.number:
            self._recorder.note((Kind.BEHIND, self.number))
        return is_behind

    def close(self, code: int, reason: str) -> None:
        """Send a close, and end."""
        self._note_close(code, reason)
        self._inner.close(code, reason)

    def abort(self) -> None:
        """End at once, without a close."""
        self._note_close(NO_CLOSE_FRAME, "aborted")
        self._inner.abort()

    def _note_full(self, *, at_once: bool) -> None:
        self.is_full = True
        self._recorder.note((Kind.FULL, self.number, self._written, at_once))

    def _note_close(self, code: int, reason: str) -> None:
        if self.number and not self.is_over:
            self._recorder.note((Kind.CLOSE, self.number, int(code), reason))
        self.is_over = True


class RecordedConnection(Connection):
    """A connection that tells its recorder what it receives, once it has a session.

    Args:
        recorder: Whom it tells.
        parts: As in `Connection`.
        link: As in `Connection`.
        request: As in `Connection`.
    """

    __slots__ = ("_number", "_recorder", "_tap")

    queue_type = RecordedQueues

    def __init__(
        self,
        recorder: Recorder,
        parts: ConnectionParts,
        link: Link,
        request: ConnectRequest,
    ) -> None:
        self._recorder = recorder
        self._number = 0
        self._tap = RecordedLink(recorder, link)
        super().__init__(parts, self._tap, request)

    def await_ticket(self) -> None:
        """Give the client a while to send `sys.auth`; that is no part of the core."""
        self._auth_timer = self._recorder.later(
            self._parts.auth_timeout, self._auth_timed_out
        )

    def begin(self, tenant: Tenant, identity: Identity, *, ref: int | None) -> None:
        """Open the session; the recording of this connection begins."""
        recorder, wire = self._recorder, self.link.wire
        inside = recorder.clock.enter()
        try:
            self._number = self._tap.number = recorder.new_connection()
            self._note(
                Kind.OPEN,
                identity.user,
                identity.tenant,
                wire.framing.name,
                wire.codec.name,
                self._request.transport,
                self._auth_timer is not None,
                ref,
                self._request.resume is not None,
                *_limits_of(identity),
            )
            super().begin(tenant, identity, ref=ref)
        finally:
            recorder.clock.leave(inside)

    def text(self, payload: bytes) -> None:
        """Take a whole text message."""
        if self.session is None:
            super().text(payload)
            return
        inside = self._recorder.clock.enter()
        try:
            self._recorder.note_message(
                Kind.TEXT, self._number, payload, is_envelope=True
            )
            super().text(payload)
        finally:
            self._recorder.clock.leave(inside)

    def binary(self, payload: bytes) -> None:
        """Take a whole binary message."""
        if self.session is None:
            super().binary(payload)
            return
        inside = self._recorder.clock.enter()
        try:
            self._recorder.note_message(
                Kind.BINARY,
                self._number,
                payload,
                is_envelope=is_binary_envelope(payload),
            )
            super().binary(payload)
        finally:
            self._recorder.clock.leave(inside)

    def heard(self) -> None:
        """Note a frame that is no message."""
        self._receive(super().heard, Kind.HEARD)

    def pong(self) -> None:
        """Note a pong."""
        self._receive(super().pong, Kind.PONG)

    def control(self, data: bytes) -> None:
        """Send framed control bytes on the control lane."""
        self._receive(partial(super().control, data), Kind.CONTROL, data)

    def pause(self) -> None:
        """Note that the socket takes no bytes."""
        if self._tap.filled():
            super().pause()
        else:
            self._receive(super().pause, Kind.PAUSE)

    def resume(self) -> None:
        """Note that the socket takes bytes again."""
        self._tap.is_full = False
        self._receive(super().resume, Kind.RESUME)

    def closed(self, code: int, reason: str) -> None:
        """Note the end of the link."""
        end = partial(super().closed, code, reason)
        if self._tap.is_over:
            # The core's own doing, and no news to it.
            self._receive(end)
        else:
            self._receive(end, Kind.CLOSED, code, reason)

    def handlers(self) -> HandlerQueues:
        """Return the queues of messages that wait for async handlers."""
        queues = super().handlers()
        assert isinstance(queues, RecordedQueues)
        queues.recorder, queues.connection = self._recorder, self._number
        return queues

    def _note(self, kind: Kind, *fields: object) -> None:
        self._recorder.note((kind, self._number, *fields))

    def _receive(
        self, work: Callable[[], None], kind: Kind | None = None, *fields: object
    ) -> None:
        """Let the core see an input, and note it first where it has a kind."""
        if self.session is None:
            work()
            return
        inside = self._recorder.clock.enter()
        try:
            if kind is not None:
                self._note(kind, *fields)
            work()
        finally:
            self._recorder.clock.leave(inside)
