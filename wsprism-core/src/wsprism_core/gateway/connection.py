"""One connection's life: awaiting its ticket, open, closed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final

from mypy_extensions import mypyc_attr

from wsprism_core.api import Identity
from wsprism_core.gateway.admission import Admission
from wsprism_core.gateway.catalog import Catalog
from wsprism_core.gateway.egress import Egress
from wsprism_core.gateway.errors import error_data
from wsprism_core.gateway.expiry import Expiry
from wsprism_core.gateway.handlers import HandlerQueues
from wsprism_core.gateway.heartbeat import Heartbeat
from wsprism_core.gateway.inbound import InboundTable
from wsprism_core.gateway.ingress import Ingress
from wsprism_core.gateway.sessions import SessionDesk
from wsprism_core.logs import EventLog
from wsprism_core.metrics import Metrics
from wsprism_core.policy.limits import EventWindow, TokenBucket
from wsprism_core.policy.tenant import Tenant
from wsprism_core.protocol.envelope import (
    Envelope,
    decode_json,
    decode_msgpack,
    is_binary_envelope,
    outbound,
)
from wsprism_core.protocol.errors import ProtocolError
from wsprism_core.protocol.hotframe import decode_hot_frame
from wsprism_core.protocol.layout import CloseCode, ErrorCode
from wsprism_core.realtime.clock import Clock, Timer
from wsprism_core.realtime.delivery import DeliveryEngine
from wsprism_core.realtime.outbox import OutboxState
from wsprism_core.realtime.session import Session
from wsprism_core.realtime.wheel import Wheel
from wsprism_core.realtime.wire import outgoing_bytes
from wsprism_core.transports.port import ConnectRequest, Link, Refusal

__all__ = ("Connection", "ConnectionParts")

# Bound once: enum attribute look-ups cost on the hot path.
CLOSED: Final = OutboxState.CLOSED

#: Refused messages that a client is told of in a second; further ones are counted.
ERRORS_PER_SECOND = 10
#: The time in which `max_strikes` undecodable messages close the connection, seconds.
STRIKE_SECONDS = 10.0
#: What a client is told that sends anything else before its ticket.
AUTH_FIRST = "the first message must be sys.auth"


@dataclass(slots=True)
class ConnectionParts:
    """What every connection of a gateway shares; what is reloaded is changed here."""

    admission: Admission
    authenticate: Callable[
        [Tenant, str, ConnectRequest, Callable[[Identity | Refusal], None]], None
    ]
    desk: SessionDesk
    ingress: Ingress
    catalog: Catalog
    delivery: DeliveryEngine
    clock: Clock
    wheel: Wheel
    heartbeat: Heartbeat
    expiry: Expiry
    metrics: Metrics
    log: EventLog
    new_trace_id: Callable[[], str]
    auth_timeout: float
    max_strikes: int
    max_async_queue: int

    @property
    def egress(self) -> Egress:
        """What sends the core's own messages."""
        return self.desk.egress


@mypyc_attr(allow_interpreted_subclasses=True)
class Connection:
    """The core's end of a link.

    Args:
        parts: What it shares with the others.
        link: Its other end.
        request: How the client came.
        tenant: The tenant, where the handshake told.

    Attributes:
        session: None until the client is authenticated, and again after the end.
        table: What the tenant's clients may send; read only once there is a session.
        tenant: The tenant; read only once there is a session.
        heartbeat: What looks after it; read only once there is a session.
        identity: What its ticket says; read only once there is a session.
        expiry: The look at its ticket that comes next.
        beat: The heartbeat that comes next.
        beats: Heartbeats since it began.
        beats_silent: Heartbeats since anything was heard.
        beats_unanswered: Heartbeats since a ping that no pong answered, -1 without one.
    """

    __slots__ = (
        "_auth_timer",
        "_bucket",
        "_closed",
        "_errors",
        "_held",
        "_parts",
        "_queues",
        "_refreshing",
        "_request",
        "_strikes",
        "beat",
        "beats",
        "beats_silent",
        "beats_unanswered",
        "expiry",
        "heartbeat",
        "identity",
        "link",
        "session",
        "table",
        "tenant",
    )

    heartbeat: Heartbeat
    identity: Identity
    table: InboundTable
    tenant: Tenant
    #: What holds the messages that wait for async handlers.
    queue_type: ClassVar[type[HandlerQueues]] = HandlerQueues

    def __init__(
        self, parts: ConnectionParts, link: Link, request: ConnectRequest
    ) -> None:
        self._parts = parts
        self._request = request
        self.link = link
        self.session: Session | None = None
        self.expiry: Timer | None = None
        self.beat: Timer | None = None
        self.beats = 0
        self.beats_silent = 0
        self.beats_unanswered = -1
        self._bucket: TokenBucket | None = None
        self._queues: HandlerQueues | None = None
        self._errors: EventWindow | None = None
        self._strikes: EventWindow | None = None
        self._auth_timer: Timer | None = None
        # What came while a ticket is being judged; reading is paused meanwhile.
        self._held: list[tuple[Callable[[bytes], None], bytes]] | None = None
        self._refreshing = False
        self._closed = False

    # ---------------------------------------------------------------- beginning

    def await_ticket(self) -> None:
        """Give the client a while to send `sys.auth`."""
        self._auth_timer = self._parts.wheel.after(
            self._parts.auth_timeout, self._auth_timed_out
        )

    def begin(self, tenant: Tenant, identity: Identity, *, ref: int | None) -> None:
        """Open the session; the ticket was good and there is room."""
        if self._auth_timer is not None:
            self._auth_timer.cancel()
        self.tenant = tenant
        self.identity = identity
        self.table = self._parts.ingress.table(tenant)
        self._bucket = tenant.connection_bucket(identity.user, self._parts.clock.now())
        self.link.limit(tenant.limits.max_frame_bytes)
        self._parts.admission.note_accept(self._request)
        # It keeps the one that it begins with: the client is told how often it pings.
        self.heartbeat = self._parts.heartbeat
        self.heartbeat.watch(self)
        self._parts.expiry.watch(self)
        try:
            self._parts.desk.open(self, identity, resume=self._request.resume, ref=ref)
        except Exception as error:
            # Half of a session is none: what there is of it ends with the link.
            self._parts.log.error("session_not_opened", exc=error)
            error.with_traceback(None)
            self.cut(CloseCode.INTERNAL_ERROR, "the session could not begin")

    def _auth_timed_out(self) -> None:
        self._turn_away(_not_authenticated("no ticket came in time"))

    def _authenticate(self, message: Envelope) -> None:
        """Take the first message, which must bring the ticket."""
        if (message.svc, message.type) != ("sys", "auth"):
            self._turn_away(_not_authenticated(AUTH_FIRST, ref=message.seq))
            return
        data = message.data if isinstance(message.data, dict) else {}
        ticket, tenant = data.get("ticket"), data.get("tenant", self._request.tenant)
        codec, resume = data.get("codec"), data.get("resume")
        if not (
            isinstance(ticket, str)
            and isinstance(tenant, str | None)
            and isinstance(codec, str | None)
            and isinstance(resume, str | None)
            and (codec is None or self.link.use_codec(codec))
        ):
            error = ProtocolError(
                ErrorCode.BAD_REQUEST,
                "data needs a ticket; tenant, codec and resume are strings, if given",
                ref=message.seq,
            )
            self._turn_away(error)
            return
        self._request = ConnectRequest(
            transport=self._request.transport,
            address=self._request.address,
            tenant=tenant,
            resume=resume,
        )
        self._held = []
        self.link.pause_reading()
        ref = message.seq
        self._parts.admission.judge(
            self._request, ticket, lambda verdict: self._judged(verdict, ref)
        )

    def _judged(
        self, verdict: tuple[Tenant, Identity] | Refusal, ref: int | None
    ) -> None:
        held, self._held = self._held or [], None
        if self._closed:
            return
        if isinstance(verdict, Refusal):
            wait = verdict.retry_after
            error = ProtocolError(
                verdict.code,
                verdict.reason,
                ref=ref,
                retry_after_ms=None if wait is None else wait * 1000,
            )
            self._turn_away(error, verdict.close_code)
            return
        self.begin(*verdict, ref=ref)
        for take, payload in held:
            take(payload)
        if self.session is not None and not self.reading_paused:
            self.link.resume_reading()

    def _turn_away(
        self, error: ProtocolError, close_code: int = CloseCode.NOT_AUTHENTICATED
    ) -> None:
        """Say why no session begins, and close."""
        self._parts.admission.note_refusal(self._request, close_code, error.msg)
        # Counted is counted: the end that follows is no early one.
        self._closed = True
        self._say_error(error)
        self.link.close(close_code, error.msg)

    # ------------------------------------------------------------- the receiver

    def text(self, payload: bytes) -> None:
        """Take a whole text message, valid UTF-8."""
        session = self.session
        if session is None or self._held is not None:
            self._take_early(decode_json, payload, self.text)
        else:
            self._take(session, decode_json, payload)

    def binary(self, payload: bytes) -> None:
        """Take a whole binary message: an envelope in MessagePack, or a hot frame."""
        session = self.session
        if session is None or self._held is not None:
            if is_binary_envelope(payload):
                self._take_early(decode_msgpack, payload, self.binary)
            elif self._held is not None:
                self._held.append((self.binary, payload))
            elif not self._closed:
                self._turn_away(_not_authenticated(AUTH_FIRST))
            return
        if is_binary_envelope(payload):
            self._take(session, decode_msgpack, payload)
            return
        self.beats_silent = 0
        if session.outbox.state is CLOSED:
            return
        try:
            frame = decode_hot_frame(payload)
        except ProtocolError as error:
            self._refuse_frame(error, lane=0)
            self._count_undelivered(error)
            return
        try:
            self._parts.ingress.frame(self, frame)
        except ProtocolError as error:
            error.ref = frame.seq
            lane = self._parts.catalog.opcode_lane(frame.svc_id, frame.opcode)
            self._refuse_frame(error, lane=lane)
            self._count_strike(error)

    def heard(self) -> None:
        """Note a frame that is no message."""
        self.beats_silent = 0

    def pong(self) -> None:
        """Note a pong."""
        self.beats_silent = 0
        if self.beats_unanswered < 0 or self.session is None:
            return
        self.beats_unanswered = -1
        for membership in self.session.memberships.values():
            membership.prove()

    def control(self, data: bytes) -> None:
        """Send framed control bytes on the control lane."""
        if self.session is None:
            if not self._closed:
                self.link.write(data)
            return
        self._parts.delivery.post_form(self.session, outgoing_bytes(0, data))

    def pause(self) -> None:
        """Note that the socket takes no bytes."""
        if self.session is not None:
            self._parts.delivery.pause(self.session)

    def resume(self) -> None:
        """Note that the socket takes bytes again."""
        if self.session is not None:
            self._parts.delivery.resume(self.session)

    def closed(self, code: int, reason: str) -> None:
        """Note the end of the link."""
        if self.session is None and not self._closed:
            self._parts.admission.note_early_end(self._request, code, reason)
        self._closed = True
        self._let_go()
        if self.session is not None:
            self._parts.desk.ended(self, code, reason)
            self.session = None

    def _let_go(self) -> None:
        """Put an end to all that is the connection's own."""
        for timer in (self._auth_timer, self.beat, self.expiry):
            if timer is not None:
                timer.cancel()
        if self._queues is not None:
            self._queues.drop()
        if self.session is not None and self._bucket is not None:
            now = self._parts.clock.now()
            self.tenant.connection_ended(self.session.user, self._bucket, now)

    def _take(
        self, session: Session, decode: Callable[[bytes], Envelope], payload: bytes
    ) -> None:
        """Decode an envelope and take it to its service."""
        self.beats_silent = 0
        if session.outbox.state is CLOSED:
            # It will be cut; nothing is done any more for what still comes.
            return
        try:
            message = decode(payload)
        except ProtocolError as error:
            self.refuse(error, lane=0)
            self._count_undelivered(error)
            return
        try:
            self._parts.ingress.text(self, message, len(payload))
        except ProtocolError as error:
            error.ref = message.seq
            lane = self._parts.catalog.answer_lane(message.svc, message.type)
            self.refuse(error, lane=lane)

    def _take_early(
        self,
        decode: Callable[[bytes], Envelope],
        payload: bytes,
        again: Callable[[bytes], None],
    ) -> None:
        """Take an envelope that comes before there is a session."""
        self.beats_silent = 0
        if self._held is not None:
            self._held.append((again, payload))
            return
        if self._closed:
            return
        try:
            message = decode(payload)
        except ProtocolError as error:
            self._turn_away(error)
        else:
            self._authenticate(message)

    # ------------------------------------------------------ what the core asks

    @property
    def reading_paused(self) -> bool:
        """Whether nothing is read while async handlers have as much as they may."""
        return self._queues is not None and self._queues.paused

    @property
    def max_waiting(self) -> int:
        """How many of its messages may wait to be handled."""
        return self._parts.max_async_queue

    def handlers_busy(self, svc: str) -> bool:
        """Whether an async handler of a service is under way for this session."""
        queues = self._queues
        return queues is not None and queues.busy(svc)

    def handlers(self) -> HandlerQueues:
        """Return the queues of messages that wait for async handlers."""
        if self._queues is None:
            self._queues = self.queue_type(
                self.max_waiting,
                pause=self.link.pause_reading,
                resume=self.link.resume_reading,
            )
        return self._queues

    def spend_token(self) -> None:
        """Count a message against the rate limits.

        Raises:
            ProtocolError: It is one too many.
        """
        own, shared = self._bucket, self.tenant.bucket
        if own is None and shared is None:
            return
        now = self._parts.clock.now()
        if own is not None and not own.take(now):
            raise _rate_limited(own)
        if shared is not None and not shared.take(now):
            raise _rate_limited(shared)

    def policy_changed(self) -> None:
        """Go on under what the tenant's policy says now.

        The largest message stays what the client was told, until it is told again.
        """
        session = self.session
        assert session is not None
        now = self._parts.clock.now()
        self.table = self._parts.ingress.table(self.tenant)
        self._bucket = self.tenant.next_bucket(self._bucket, session.user, now)

    def refresh(self, ticket: str, ref: int | None) -> None:
        """Take a new ticket for the session that is open.

        The ticket must be good for the same tenant and user. From then on it counts
        when it expires, and which rooms it is for.

        Raises:
            ProtocolError: The one before is still being judged.
        """
        session = self.session
        assert session is not None
        if self._refreshing:
            raise ProtocolError(ErrorCode.CONFLICT, "a refresh is under way")
        self._refreshing = True

        def judged(identity: Identity | Refusal) -> None:
            self._refreshing = False
            if self.session is not session:
                return
            if isinstance(identity, Refusal) or identity.user != session.user:
                error = ProtocolError(
                    ErrorCode.AUTH_FAILED, "the ticket is not good for you", ref=ref
                )
                self.refuse(error, lane=0)
                return
            self.link.limit(self.tenant.limits.max_frame_bytes)
            self.identity = identity
            self._parts.expiry.watch(self)
            self._parts.desk.renew(self, ref=ref)

        self._parts.authenticate(self.tenant, ticket, self._request, judged)

    def refuse(self, error: ProtocolError, *, lane: int) -> None:
        """Tell the client of a refused message, unless it hears that too often."""
        # A frame that kept it is held by its traceback, which nobody reads any more.
        error.__traceback__ = None
        session = self.session
        if session is None:
            return
        data = error_data(error)
        metrics = self._parts.metrics
        metrics.errors[self.tenant.id, data["code"]] += 1
        if self._errors is None:
            self._errors = EventWindow(ERRORS_PER_SECOND, 1.0)
        if self._errors.exceeded(self._parts.clock.now()):
            metrics.errors_silenced += 1
            return
        trace_id = self._parts.new_trace_id()
        self._parts.log.debug(
            "refused",
            sid=session.id,
            code=data["code"],
            msg=data["msg"],
            trace_id=trace_id,
        )
        self._parts.egress.refuse(
            session, data, ref=error.ref, lane=lane, trace_id=trace_id
        )

    def give_up(self) -> None:
        """Let go of the session, which goes on elsewhere, and close."""
        self._let_go()
        self.session = None
        self._closed = True
        self.link.close(CloseCode.RESUMED_ELSEWHERE, "resumed elsewhere")

    def end(self, code: int, reason: str) -> None:
        """Close, behind what already waits and can be sent."""
        if self._closed:
            return
        if self.session is not None:
            self._parts.delivery.send_now(self.session)
        if not self._closed:
            self.link.close(code, reason)

    def cut(self, code: int, reason: str) -> None:
        """Close at once: what waits for the client is not sent."""
        if not self._closed:
            self.link.close(code, reason)

    # ----------------------------------------------------------------- refusing

    def _refuse_frame(self, error: ProtocolError, *, lane: int) -> None:
        error.__traceback__ = None
        if self.tenant.tells_hot_errors:
            self.refuse(error, lane=lane)
            return
        metrics = self._parts.metrics
        metrics.errors[self.tenant.id, error_data(error)["code"]] += 1
        metrics.errors_silenced += 1

    def _count_undelivered(self, error: ProtocolError) -> None:
        """Count a message that did not get as far as the rate limit.

        Where it could be decoded, and was refused for what it says, it takes a token
        like any other.
        """
        if error.strike:
            self._count_strike(error)
        else:
            with contextlib.suppress(ProtocolError):
                self.spend_token()

    def _count_strike(self, error: ProtocolError) -> None:
        if not error.strike:
            return
        if self._strikes is None:
            self._strikes = EventWindow(self._parts.max_strikes, STRIKE_SECONDS)
        if self._strikes.exceeded(self._parts.clock.now()):
            self.end(CloseCode.POLICY_VIOLATION, "too many malformed messages")

    def _say_error(self, error: ProtocolError) -> None:
        """Send an error before there is a session and an outbox."""
        wire = self.link.wire
        envelope = outbound(
            "sys",
            "error",
            ref=error.ref,
            data=error_data(error),
            trace_id=self._parts.new_trace_id(),
        )
        self.link.write(wire.frame_text(wire.codec.encode(envelope)))


def _rate_limited(bucket: TokenBucket) -> ProtocolError:
    return ProtocolError(
        ErrorCode.RATE_LIMITED,
        "too many messages",
        retry_after_ms=max(1, round(bucket.retry_after() * 1000)),
    )


def _not_authenticated(msg: str, *, ref: int | None = None) -> ProtocolError:
    return ProtocolError(ErrorCode.AUTH_FAILED, msg, ref=ref)
