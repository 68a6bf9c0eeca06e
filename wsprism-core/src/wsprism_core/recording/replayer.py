"""Replaying: a recording's inputs, at their times, into a gateway of this build.

No socket, no ticket, no coroutine of a plugin: time moves from turn to turn as it was
recorded, sockets fill up where they did, and async handlers return what they returned.
Plain functions of plugins run again, and so do their timers.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict, deque
from collections.abc import (
    Awaitable,
    Callable,
    Container,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final, cast

from wsprism_core.actions import Actions, Push, PushFrame
from wsprism_core.api import Identity
from wsprism_core.api import Session as PluginSession
from wsprism_core.auth_config import AuthConfig
from wsprism_core.config import Config, out_of_the_box
from wsprism_core.gateway import Gateway
from wsprism_core.gateway.boundary import (
    Authenticate,
    Boundary,
    Connect,
    Cut,
    Perform,
)
from wsprism_core.gateway.connection import Connection, ConnectionParts
from wsprism_core.gateway.handlers import Finish, HandlerQueues, Job
from wsprism_core.logs import EventLog
from wsprism_core.plugins import PluginError, PluginSet
from wsprism_core.policy.tenant import Tenant
from wsprism_core.protocol.envelope import Envelope
from wsprism_core.protocol.errors import Malformed, ProtocolError, WsPrismError
from wsprism_core.protocol.layout import CloseCode, ErrorCode
from wsprism_core.realtime.wire import Wire
from wsprism_core.recording.chance import CoreChance
from wsprism_core.recording.clock import NANOSECONDS, TurnClock
from wsprism_core.recording.format import (
    Header,
    Kind,
    Record,
    RecordingError,
    RecordingReader,
)
from wsprism_core.recording.outcomes import outcome_of
from wsprism_core.recording.recorder import digest_of
from wsprism_core.recording.streams import Comparison, Difference
from wsprism_core.recording.tickets import placeholder
from wsprism_core.transports.deflate import Deflate
from wsprism_core.transports.framed import TCP_WIRES
from wsprism_core.transports.frames import WEBSOCKET_WIRES
from wsprism_core.transports.port import (
    NO_CLOSE_FRAME,
    ConnectRequest,
    Receiver,
    Refusal,
)

__all__ = (
    "Replay",
    "ReplayBoundary",
    "ReplayError",
    "ReplayedConnection",
    "ReplayedLink",
    "ReplayedQueues",
    "ReplayedSource",
    "plugins_of",
    "replay",
)

_log = EventLog("replay")

#: How many turns pass before the event loop is let in.
_TURNS_AT_ONCE: Final = 256
#: How often the event loop goes round until the next async handler has begun.
_ROUNDS: Final = 4
#: How many connections are kept that are over while a handler of theirs is under way.
_LEFT_BEHIND: Final = 256


class ReplayError(WsPrismError):
    """A recording cannot be replayed here; the text says what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What came of a replay.

    Args:
        first: The earliest difference, or None where every lane of every session had
            the same messages in the same order.
        differing: In how many lanes of sessions there is one.
        sessions: How many sessions there were.
        inputs: How many messages, pongs, pauses and the like came in.
        messages: How many messages went out.
        seconds: How long the recording is.
        elapsed: How long the replay took, in seconds.
        ended: Why the recording ends: `closed` with its gateway, `max_bytes`, or None
            where it is cut off behind its last whole block.
        warnings: What may explain a difference, one line each.
    """

    first: Difference | None
    differing: int
    sessions: int
    inputs: int
    messages: int
    seconds: float
    elapsed: float
    ended: str | None
    warnings: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return self.first is None

    def __str__(self) -> str:
        if self.first is None:
            return f"the same: {self.messages} messages to {self.sessions} sessions"
        where = f"different in {self.differing} lanes of sessions, first"
        return "\n".join((f"{where} {self.first}", *self.warnings))


def plugins_of(header: Header, names: tuple[str, ...] | None = None) -> PluginSet:
    """Load the plugins that a recording names.

    Args:
        header: Of the recording.
        names: Others in their place.

    Raises:
        ReplayError: One is not installed, or it was handed over.
        PluginError: One does not work.
    """
    if names is not None:
        return PluginSet.load(names)
    loose = [name for name, distribution, _ in header.plugins if distribution is None]
    if loose:
        raise ReplayError(
            f"the recording was made with {', '.join(loose)}, which no distribution "
            "brought: replay it from Python, and hand the plugins over"
        )
    try:
        return PluginSet.load([name for name, _, _ in header.plugins])
    except PluginError as error:
        wanted = " ".join(
            f"{distribution}=={version}" for _, distribution, version in header.plugins
        )
        text = f"{error}\nthe recording was made with: pip install {wanted}"
        raise ReplayError(text) from error


async def replay(
    path: Path,
    *,
    plugins: PluginSet | None = None,
    config: Config | None = None,
    real_time: bool = False,
) -> Replay:
    """Replay a recording, and compare what goes out with what went out.

    Args:
        path: The recording.
        plugins: What runs; None loads those that the recording names.
        config: The configuration; None is that of a gateway without a file.
        real_time: Whether to take the time that the recording took.

    Raises:
        RecordingError: It is no recording, or broken.
        ReplayError: It cannot be replayed here.
        WsPrismError: Whatever else refuses to start a gateway.
    """
    with RecordingReader(path) as recording:
        header = recording.header
        if config is None and header.config is not None:
            raise ReplayError("it was recorded with a configuration: hand it over")
        loaded = plugins_of(header) if plugins is None else plugins
        config = config or out_of_the_box()
        player = _Player(header, loaded, config)
        began = time.perf_counter()
        await player.start()
        try:
            for count, turn in enumerate(recording.turns()):
                if real_time:
                    due = began + turn[0][1] / NANOSECONDS - time.perf_counter()
                    await asyncio.sleep(max(0.0, due))
                elif count % _TURNS_AT_ONCE == 0:
                    await asyncio.sleep(0)
                await player.turn(turn)
            player.comparison.finish()
        except (TypeError, ValueError) as error:
            raise RecordingError(f"{path} has a bad record: {error}") from error
        finally:
            await player.gateway.stop()
        return Replay(
            first=player.comparison.first,
            differing=player.comparison.differing,
            sessions=player.sessions,
            inputs=player.inputs,
            messages=player.comparison.messages,
            seconds=player.clock.now(),
            elapsed=time.perf_counter() - began,
            ended=recording.end,
            warnings=(*_warnings(header, config, loaded), *player.complaints()),
        )


def _wires(config: Config) -> dict[tuple[str, str], Wire]:
    """Return every wire that a recording may name, by framing and codec."""
    wires = [*WEBSOCKET_WIRES.values(), *TCP_WIRES.values()]
    settings = config.gateway.deflate
    if settings.enabled:
        deflate = Deflate(min_bytes=settings.min_bytes, level=settings.level)
        wires += deflate.wires.values()
    return {(wire.framing.name, wire.codec.name): wire for wire in wires}


def _warnings(header: Header, config: Config, plugins: PluginSet) -> tuple[str, ...]:
    """Return what is not as it was."""
    found = []
    if header.config is not None and header.config != digest_of(config):
        found.append("the configuration is not the one of the recording")
    was = {name: version for name, _, version in header.plugins}
    now = {one.name: one.version for one in plugins.loaded}
    if list(was) != list(now):
        found.append(f"the plugins were {', '.join(was) or 'none'}")
    found += [
        f"plugin {name} was version {was[name]} and is {version}"
        for name, version in now.items()
        if name in was and was[name] != version
    ]
    return tuple(found)


class _Player:
    """Plays turns into a gateway.

    Args:
        header: Of the recording.
        plugins: What runs.
        config: The gateway's configuration.
    """

    def __init__(self, header: Header, plugins: PluginSet, config: Config) -> None:
        self.clock = TurnClock(header.wall_ms)
        self.sessions = 0
        self.inputs = 0
        self._wires = _wires(config)
        self._boundary = boundary = ReplayBoundary(self.clock)
        self.gateway = Gateway(
            _without_tickets(config),
            plugins,
            self.clock,
            chance=CoreChance(self.clock, Random(header.seed)),
            boundary=boundary,
        )
        lanes = tuple(lane.name for lane in self.gateway.delivery.lanes)
        self.comparison = Comparison(boundary.parts.catalog, lanes)
        self._connections: dict[int, ReplayedConnection] = {}
        # Those that are over while an async handler of theirs is under way.
        self._left_behind: OrderedDict[int, ReplayedConnection] = OrderedDict()
        # Connections that the core has closed in the recording.
        self._closed_then: dict[int, None] = {}
        # Connections of which the core asked something in the turn at hand.
        self._asked: dict[int, None] = {}
        self._place = 0
        self._play: dict[int, Callable[..., None]] = {
            Kind.OPEN: self._open,
            Kind.TEXT: self._text,
            Kind.BINARY: self._binary,
            Kind.MALFORMED: self._malformed,
            Kind.HEARD: self._heard,
            Kind.PONG: self._pong,
            Kind.CONTROL: self._control,
            Kind.PAUSE: self._pause,
            Kind.RESUME: self._resume,
            Kind.CLOSED: self._closed,
            Kind.REFRESHED: boundary.refreshed,
            Kind.ACTIONS: boundary.act,
            Kind.DRAIN: boundary.begin_drain,
            Kind.REVOKED: boundary.cut_sessions,
        }

    async def start(self) -> None:
        """Start the plugins.

        Raises:
            ReplayError: One does not start.
        """
        try:
            await self.gateway.start()
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            raise ReplayError(f"a plugin failed to start: {what}") from error

    def complaints(self) -> Iterator[str]:
        """Yield a line for each plugin whose functions raised something."""
        failures = self.gateway.metrics.plugin_failures
        for (plugin, hook), times in failures.items():
            yield f"plugin {plugin} failed in {hook}: {times}"

    async def turn(self, records: list[Record]) -> None:
        """Do what a turn brought, and compare what came of it.

        Raises:
            ReplayError: Something in it is not known here.
        """
        self._foresee(records)
        _, now_ns, wall_ms = records[0]
        self.clock.begin(now_ns, wall_ms)
        for kind, *fields in records[1:]:
            self._place += 1
            if kind in self._play:
                self.inputs += 1
                self._inside(partial(self._play[kind], *fields))
            elif kind == Kind.RESULT:
                self.inputs += 1
                await self._result(*fields)
            elif kind == Kind.WRITE:
                self.comparison.expect(*fields)
            elif kind == Kind.CLOSE:
                self._closed_then[fields[0]] = None
                self.comparison.expect_close(*fields)
        self.clock.end()
        if self._boundary.is_waiting:
            await self._let_handlers_run()
        for number in [one for one in self._closed_then if self._is_over(one)]:
            del self._closed_then[number]
            self._forget(number)
        self.comparison.settle(now_ns / NANOSECONDS)

    def _foresee(self, records: list[Record]) -> None:
        """Find out what the core will be told; that stands behind what asked for it.

        Of a connection that opens in this very turn too.
        """
        boundary = self._boundary
        for number in self._asked:
            # Of another build's questions there may be fewer.
            boundary.unsent.get(number, deque()).clear()
        boundary.pulled.clear()
        boundary.behind.clear()
        self._asked.clear()
        for place, record in enumerate(records[1:], self._place + 1):
            match record:
                case (Kind.FULL, number, written, at_once):
                    fill = place, written, at_once
                    boundary.fills.setdefault(number, deque()).append(fill)
                case (Kind.UNSENT, number, unsent):
                    boundary.unsent.setdefault(number, deque()).append(unsent)
                    self._asked[number] = None
                case (Kind.BEHIND, number):
                    boundary.behind.add(number)
                case (Kind.PULLED, source, outcome, more):
                    given = outcome, more
                    boundary.pulled.setdefault(source, deque()).append(given)

    def _inside(self, work: Callable[[], None]) -> None:
        """Run a part of the core; what it raises goes no further.

        Raises:
            ReplayError: Something is not known here.
        """
        was, self.clock.inside = self.clock.inside, True
        try:
            work()
        except ReplayError:
            raise
        except Exception as error:
            _log.error("replay_failed", exc=error)
        finally:
            self.clock.inside = was

    # --------------------------------------------------------------- the inputs

    def _open(
        self,
        number: int,
        user: str,
        tenant: str,
        framing: str,
        codec: str,
        transport: str,
        is_in_band: bool,
        ref: int | None,
        resumes: bool,
        expires: float | None,
        rooms: Sequence[str] | None,
        ticket_id: str | None,
    ) -> None:
        wire = self._wires.get((framing, codec))
        if wire is None:
            raise ReplayError(f"no transport here has the framing {framing!r}")
        if tenant not in self._boundary.tenants:
            raise ReplayError(f"the configuration has no tenant {tenant!r}")
        self.sessions += 1
        self.comparison.open(number, framing, f"{number:x}", user)
        fills = self._boundary.fills.setdefault(number, deque())
        unsent = self._boundary.unsent.setdefault(number, deque())
        behind = self._boundary.behind
        link = ReplayedLink(number, wire, fills, unsent, behind, self.comparison)
        request = ConnectRequest(transport, "", tenant, resume="" if resumes else None)
        connection = ReplayedConnection(self._boundary, link, request)
        self._connections[number] = connection
        if is_in_band:
            link.receiver = connection
        identity = _identity(user, tenant, expires, rooms, ticket_id)
        connection.begin(self._boundary.tenants[tenant], identity, ref=ref)
        link.attach(connection)

    def _text(self, number: int, payload: bytes) -> None:
        self.comparison.heard(number, payload, is_text=True)
        if (connection := self._connections.get(number)) is not None:
            connection.text(payload)

    def _binary(self, number: int, payload: bytes) -> None:
        self.comparison.heard(number, payload, is_text=False)
        if (connection := self._connections.get(number)) is not None:
            connection.binary(payload)

    def _malformed(
        self, number: int, code: str, msg: str, ref: int | None, strike: bool
    ) -> None:
        self.comparison.refused(number, ref)
        if (connection := self._connections.get(number)) is not None:
            if strike:
                connection.refuse_undecoded(Malformed(msg, ref=ref))
            else:
                error = ProtocolError(ErrorCode(code), msg, ref=ref)
                connection.refuse_undecoded(error)

    def _heard(self, number: int) -> None:
        if (connection := self._connections.get(number)) is not None:
            connection.heard()

    def _pong(self, number: int) -> None:
        if (connection := self._connections.get(number)) is not None:
            connection.pong()

    def _control(self, number: int, data: bytes) -> None:
        if (connection := self._connections.get(number)) is not None:
            connection.control(data)

    def _pause(self, number: int) -> None:
        if (connection := self._connections.get(number)) is not None:
            connection.replayed.is_full = True
            connection.pause()

    def _resume(self, number: int) -> None:
        if (connection := self._connections.get(number)) is not None:
            connection.replayed.empty(self._place)
            connection.resume()

    def _closed(self, number: int, code: int, reason: str) -> None:
        if (connection := self._connections.get(number)) is not None:
            connection.replayed.end(code, reason)
            self._closed_then[number] = None

    async def _result(self, number: int, svc: str, outcome: bytes) -> None:
        """End an async handler as it ended then, and let the next one begin."""
        connection = self._connections.get(number) or self._left_behind.get(number)
        if connection is None:
            return
        queues = connection.handlers()
        assert isinstance(queues, ReplayedQueues)
        actions, failure = outcome_of(outcome, self._boundary.source)
        self._inside(partial(queues.settle, svc, actions, failure))
        await self._let_handlers_run()

    async def _let_handlers_run(self) -> None:
        """Let the event loop come round to the handlers that begin or are over."""
        self._boundary.is_waiting = False
        for _ in range(_ROUNDS):
            await asyncio.sleep(0)

    def _is_over(self, number: int) -> bool:
        connection = self._connections.get(number)
        return connection is None or connection.replayed.over is not None

    def _forget(self, number: int) -> None:
        connection = self._connections.pop(number, None)
        if connection is None:
            return
        self._boundary.fills.pop(number, None)
        self._boundary.unsent.pop(number, None)
        self.comparison.close(number)
        if connection.has_handlers:
            self._left_behind[number] = connection
            if len(self._left_behind) > _LEFT_BEHIND:
                self._left_behind.popitem(last=False)


class ReplayBoundary(Boundary):
    """Plays what came in from outside.

    Args:
        clock: The gateway's time.

    Attributes:
        parts: What connections share.
        tenants: The tenants, by id.
        fills: By connection, where its socket will be full: the place of the record,
            how much was written up to then, whether the link says so at once.
        unsent: By connection, what is told of its socket in this turn.
        behind: The connections of which something waited unread in this turn.
        pulled: By source, what it gives in this turn.
        is_waiting: Whether async handlers are to begin.
        begin_drain: Begins to empty the gateway.
        cut_sessions: Ends the sessions whose tickets are revoked.
    """

    spawns = False
    resumes = False

    parts: ConnectionParts
    tenants: Mapping[str, Tenant]
    begin_drain: Callable[[], None]
    cut_sessions: Cut

    def __init__(self, clock: TurnClock) -> None:
        self.clock = clock
        self.fills: dict[int, deque[tuple[int, int, bool]]] = {}
        self.unsent: dict[int, deque[int]] = {}
        self.behind: set[int] = set()
        self.pulled: dict[int, deque[tuple[bytes, bool]]] = {}
        self.is_waiting = False
        self._perform: Perform
        self._judging: dict[
            str, tuple[Tenant, Callable[[Identity | Refusal], None]]
        ] = {}

    def connect(self, parts: ConnectionParts, tenants: Mapping[str, Tenant]) -> Connect:
        """Keep what connections are made of."""
        self.parts, self.tenants = parts, tenants
        return super().connect(parts, tenants)

    def authenticate(self, inner: Authenticate) -> Authenticate:
        """Ask nobody, and wait for the answer of then."""

        def wait(
            tenant: Tenant,
            ticket: str,
            request: ConnectRequest,
            decided: Callable[[Identity | Refusal], None],
        ) -> None:
            self._judging[ticket] = tenant, decided

        return wait

    def refreshed(
        self,
        refresh: int,
        user: str | None,
        expires: float | None,
        rooms: Sequence[str] | None,
        ticket_id: str | None,
    ) -> None:
        """Give the answer of then."""
        tenant, decided = self._judging.pop(placeholder(refresh), (None, None))
        if tenant is None or decided is None:
            return
        if user is None:
            decided(Refusal(401, CloseCode.NOT_AUTHENTICATED, "as recorded"))
        else:
            decided(_identity(user, tenant.id, expires, rooms, ticket_id))

    def perform(self, inner: Perform) -> Perform:
        """Do what the core asks for; what came from outside is in the recording."""
        self._perform = inner

        def replayed(actions: Actions, svc: str, tenant: str) -> None:
            if self.clock.inside:
                inner(actions, svc, tenant)

        return replayed

    def act(self, svc: str, tenant: str, outcome: bytes) -> None:
        """Do what a plugin wanted from outside."""
        actions, _ = outcome_of(outcome, self.source)
        # The plugin that would be told of a failure does not run.
        with contextlib.suppress(Exception):
            self._perform(actions, svc, tenant)

    def source(self, number: int) -> ReplayedSource:
        """Return what stands for a source from outside."""
        return ReplayedSource(self, number)

    def cut(self, inner: Cut) -> Cut:
        """Keep what ends the sessions whose tickets are revoked."""
        self.cut_sessions = inner
        return inner

    def drain(self, inner: Callable[[], None]) -> Callable[[], None]:
        """Keep what begins the draining."""
        self.begin_drain = inner
        return inner

    def random(self, inner: Callable[[str], Random]) -> Callable[[str], Random]:
        """Give a plugin the chance of then."""
        return lambda plugin: CoreChance(self.clock, inner(plugin))

    def started(self) -> None:
        """Begin with the turns."""
        self.clock.started()


@dataclass(frozen=True, slots=True)
class ReplayedSource:
    """Gives what a source of a plugin gave; the source itself is not there.

    Args:
        boundary: Where that is.
        number: The source's number.
    """

    boundary: ReplayBoundary
    number: int

    def pull(
        self, session: PluginSession, budget: int
    ) -> tuple[Sequence[Push | PushFrame], bool]:
        """Return what was given then."""
        given = self.boundary.pulled.get(self.number)
        if not given:
            return (), False
        outcome, more = given.popleft()
        pushes, _ = outcome_of(outcome, self.boundary.source)
        return cast("Sequence[Push | PushFrame]", pushes), more


class ReplayedQueues(HandlerQueues):
    """Messages that wait for async handlers, which return what they returned then.

    Attributes:
        boundary: The gateway's.
        under_way: By service, what ends the handler that is under way.
    """

    __slots__ = ("boundary", "under_way")

    boundary: ReplayBoundary

    def __init__(self, bound: int, **options: Any) -> None:
        super().__init__(bound, **options)
        self.under_way: dict[str, tuple[Finish, asyncio.Future[None]]] = {}

    def submit(self, svc: str, job: Job) -> None:
        """Wait for the end of then, behind what came before it."""
        finish = job.finish

        def start() -> Awaitable[None]:
            over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.under_way[svc] = finish, over
            return over

        job.start, job.finish = start, _finished_already
        super().submit(svc, job)
        self.boundary.is_waiting = True

    def settle(self, svc: str, actions: Actions, failure: BaseException | None) -> None:
        """End the handler that is under way, if one is."""
        finish, over = self.under_way.pop(svc, (None, None))
        if finish is None or over is None:
            return
        finish(actions, failure)
        if not over.done():
            over.set_result(None)


class ReplayedConnection(Connection):
    """A connection that is told what another received.

    Args:
        boundary: The gateway's.
        link: What it writes to.
        request: How the client came.

    Attributes:
        replayed: Its link.
    """

    __slots__ = ("_boundary", "replayed")

    queue_type = ReplayedQueues

    def __init__(
        self, boundary: ReplayBoundary, link: ReplayedLink, request: ConnectRequest
    ) -> None:
        super().__init__(boundary.parts, link, request)
        self._boundary = boundary
        self.replayed = link

    @property
    def has_handlers(self) -> bool:
        """Whether an async handler is under way, though nobody may wait for it."""
        queues = self._queues
        return isinstance(queues, ReplayedQueues) and bool(queues.under_way)

    def handlers(self) -> HandlerQueues:
        """Return the queues of messages that wait for async handlers."""
        queues = super().handlers()
        assert isinstance(queues, ReplayedQueues)
        queues.boundary = self._boundary
        return queues

    def refuse_undecoded(self, error: ProtocolError) -> None:
        """Take a message that cannot be decoded, for this reason."""

        def decode(payload: bytes) -> Envelope:
            raise error

        if self.session is not None:
            self._take(self.session, decode, b"")


class ReplayedLink:
    """A link to nobody, whose socket is full where another was; a `Link`.

    Args:
        number: The connection's number.
        wire: Which bytes it wants.
        fills: Where its socket will be full, see `ReplayBoundary`.
        unsent: What is told of it when the core asks.
        behind: The connections of which something waits unread.
        comparison: Is told what goes out.

    Attributes:
        receiver: Who is told of its end, once it is attached.
        over: Code and reason of its end, or None.
        is_full: Whether its socket takes nothing.
    """

    def __init__(
        self,
        number: int,
        wire: Wire,
        fills: deque[tuple[int, int, bool]],
        unsent: deque[int],
        behind: Container[int],
        comparison: Comparison,
    ) -> None:
        self.wire = wire
        self.receiver: Receiver | None = None
        self.over: tuple[int, str] | None = None
        self.is_full = False
        self._number = number
        self._fills = fills
        self._unsent = unsent
        self._last_unsent = 0
        self._behind = behind
        self._comparison = comparison
        self._written = 0

    def write(self, data: bytes) -> bool:
        """Take framed bytes; return whether the socket takes more."""
        if self.over is not None:
            return False
        self._written += len(data)
        self._comparison.got(self._number, data)
        if self._fills and not self.is_full and self._written >= self._fills[0][1]:
            _, _, at_once = self._fills.popleft()
            self.is_full = True
            if at_once and self.receiver is not None:
                self.receiver.pause()
        return not self.is_full

    def unsent(self) -> int:
        """Return how many of the bytes the socket had not taken then."""
        if self._unsent:
            self._last_unsent = self._unsent.popleft()
        return self._last_unsent

    def is_behind(self) -> bool:
        """Whether something of the client waited unread then."""
        return self._number in self._behind

    def empty(self, place: int) -> None:
        """Take bytes again; what was to fill the socket before that did not."""
        self.is_full = False
        while self._fills and self._fills[0][0] < place:
            self._fills.popleft()

    def attach(self, receiver: Receiver) -> None:
        """Tell a receiver of the end, from now on."""
        if self.receiver is None and self.over is not None:
            receiver.closed(*self.over)
        else:
            self.receiver = receiver

    def limit(self, max_message_bytes: int) -> None:
        """Do nothing: what came was small enough."""

    def use_codec(self, name: str) -> bool:
        """Do nothing: the codec is known."""
        return True

    def pause_reading(self) -> None:
        """Do nothing: what came is recorded."""

    def resume_reading(self) -> None:
        """Do nothing: what came is recorded."""

    def close(self, code: int, reason: str) -> None:
        """Send a close, and end."""
        if self.over is None:
            self._comparison.got_close(self._number, int(code), reason)
            self.end(code, reason)

    def abort(self) -> None:
        """End at once, without a close."""
        self.close(NO_CLOSE_FRAME, "aborted")

    def end(self, code: int, reason: str) -> None:
        """End, and tell so."""
        if self.over is not None:
            return
        self.over = code, reason
        receiver, self.receiver = self.receiver, None
        if receiver is not None:
            receiver.closed(code, reason)


def _without_tickets(config: Config) -> Config:
    """Return a configuration that needs no keys: every ticket was judged then."""
    tenants = [
        tenant.model_copy(update={"auth": AuthConfig()}) for tenant in config.tenants
    ]
    return config.model_copy(update={"tenants": tenants})


def _identity(
    user: str,
    tenant: str,
    expires: float | None,
    rooms: Sequence[str] | None,
    ticket_id: str | None,
) -> Identity:
    allowed = None if rooms is None else tuple(rooms)
    return Identity(user, tenant, expires, allowed, ticket_id=ticket_id)


def _finished_already(actions: Actions, failure: BaseException | None) -> None:
    """Do nothing: it was done in the turn of then."""
