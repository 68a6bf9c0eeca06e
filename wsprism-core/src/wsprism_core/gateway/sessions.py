"""Opening and ending sessions: registry, limits, hooks and what clients are told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from wsprism_core.api import Identity
from wsprism_core.gateway.egress import Egress
from wsprism_core.gateway.hooks import EventHooks
from wsprism_core.gateway.resume import Detached, NotResumed, Resumes
from wsprism_core.gateway.rooms import RoomDesk
from wsprism_core.logs import EventLog
from wsprism_core.metrics import Metrics, close_label
from wsprism_core.policy.limits import EventWindow
from wsprism_core.policy.tenant import Tenant
from wsprism_core.protocol.errors import ProtocolError
from wsprism_core.protocol.layout import CloseCode
from wsprism_core.realtime.clock import Clock
from wsprism_core.realtime.delivery import DeliveryEngine
from wsprism_core.realtime.session import Session, SessionRegistry

if TYPE_CHECKING:
    from wsprism_core.gateway.connection import Connection

__all__ = ("SessionDesk",)

#: Sessions that begin within a second and are logged at level INFO.
LOGGED_PER_SECOND: Final = 100


class SessionDesk:
    """Where sessions begin and end.

    Args:
        sessions: Who is there.
        rooms: Where rooms are left.
        delivery: Makes outboxes.
        egress: What sends the core's own messages.
        hooks: The plugins' event hooks.
        metrics: Where ends are counted.
        clock: Time.
        new_trace_id: Returns an id for support and logs.
        service_ids: Every service with its id for hot frames, told to clients.
        draining: Whether the gateway lets nobody in: sessions that end then end for
            good.

    Attributes:
        egress: What sends the core's own messages.
        resumes: Who may come back; set by the gateway.
    """

    resumes: Resumes

    def __init__(
        self,
        *,
        sessions: SessionRegistry,
        rooms: RoomDesk,
        delivery: DeliveryEngine,
        egress: Egress,
        hooks: EventHooks,
        metrics: Metrics,
        clock: Clock,
        new_trace_id: Callable[[], str],
        service_ids: dict[str, int | None],
        draining: Callable[[], bool],
    ) -> None:
        self._sessions = sessions
        self._rooms = rooms
        self._delivery = delivery
        self.egress = egress
        self._hooks = hooks
        self._metrics = metrics
        self._clock = clock
        self._new_trace_id = new_trace_id
        self._service_ids = service_ids
        self._connections: dict[str, Connection] = {}
        self._draining = draining
        self._storm = EventWindow(LOGGED_PER_SECOND, 1.0)
        self._log = EventLog("sessions")

    def connections(self) -> Iterator[Connection]:
        """Yield the connections of all sessions, as they are now."""
        return iter(list(self._connections.values()))

    def open(
        self,
        connection: Connection,
        identity: Identity,
        *,
        resume: str | None,
        ref: int | None,
    ) -> None:
        """Begin a session, or go on with one; its tenant and user have room for it."""
        refused = None
        if resume is not None:
            found = self.resumes.find(resume, identity.tenant, identity.user)
            if isinstance(found, Session):
                if self._can_be_told(connection, found, ref):
                    self._resume(connection, found, ref)
                    return
                self._end_for_good(found)
                found = NotResumed.TOO_MANY_ROOMS
            refused = found
        tenant = connection.tenant
        self._make_room_for(tenant.max_sessions_per_user, identity)
        session = Session(
            self._sessions.new_id(identity.tenant),
            identity.user,
            identity.tenant,
            connection.link,
            self._delivery.outbox(identity.tenant),
            opened=self._clock.now(),
        )
        session.allowed_rooms = identity.rooms
        self._sessions.add(session)
        self._connections[session.id] = connection
        connection.session = session
        self._note_opened(session)
        extra = {} if refused is None else {"resumed": False, "reason": str(refused)}
        self.tell_authed(connection, ref=ref, **extra)
        self._hooks.on_open(session)

    def renew(self, connection: Connection, *, ref: int | None) -> None:
        """Go on with the new ticket of a session, and tell the client."""
        session = connection.session
        assert session is not None
        session.allowed_rooms = connection.identity.rooms
        self._rooms.leave_forbidden(session)
        if connection.session is session:
            self.tell_authed(connection, ref=ref)

    def cut(self, tenant: str, user: str | None, ticket_id: str | None) -> None:
        """End the sessions of a user, or with a ticket, at once.

        What waits for them is not sent.
        """
        for connection in self.with_ticket(tenant, user, ticket_id):
            connection.cut(CloseCode.NOT_AUTHENTICATED, "the ticket was revoked")
        if user is not None:
            self.resumes.end(tenant, user=user)

    def with_ticket(
        self, tenant: str, user: str | None, ticket_id: str | None
    ) -> list[Connection]:
        """Return the connections of a user, and those with a ticket."""
        return [
            connection
            for connection in self._connections.values()
            if (known := connection.identity).tenant == tenant
            and (
                (user is not None and known.user == user)
                or (ticket_id is not None and known.ticket_id == ticket_id)
            )
        ]

    def tell_authed(
        self, connection: Connection, *, ref: int | None = None, **extra: Any
    ) -> None:
        """Tell a client who it is here."""
        session = connection.session
        assert session is not None
        data = {**self._about(connection, session), **extra}
        self.egress.system(
            session, "authed", data, ref=ref, trace_id=self._new_trace_id()
        )

    def _about(
        self, connection: Connection, session: Session, later: int = 0
    ) -> dict[str, Any]:
        """Return what a client is told of a session and its connection.

        Args:
            connection: The connection.
            session: The session.
            later: How often it has come back by then, from now on.
        """
        data: dict[str, Any] = {
            "tenant": session.tenant,
            "user": session.user,
            "sid": session.id,
            "ping_ms": connection.heartbeat.ping_ms,
            "limits": {"max_frame_bytes": connection.tenant.limits.max_frame_bytes},
            "services": self._service_ids,
        }
        token = self.resumes.token(session, later)
        if token is not None:
            data["resume"] = token
        return data

    def _can_be_told(
        self, connection: Connection, session: Session, ref: int | None
    ) -> bool:
        """Whether all that a session that comes back is told fits one message.

        It is asked before anything has changed: services may have put a session into
        any number of rooms.
        """
        data = {
            **self._about(connection, session, later=1),
            "resumed": True,
            "rooms": self._rooms.longest_rows(session),
            "active_room": session.active_room,
        }
        wire, trace_id = connection.link.wire, self._new_trace_id()
        return self.egress.fits(wire, "authed", data, ref=ref, trace_id=trace_id)

    def _end_for_good(self, session: Session) -> None:
        """End a session that may come back; its client begins anew."""
        before = self._connections.get(session.id)
        if before is not None:
            # It was not known yet that its connection is gone.
            before.cut(CloseCode.RESUMED_ELSEWHERE, "resumed elsewhere")
        else:
            self.resumes.end_one(session.id)

    def goes_on(self, token: str, tenant: Tenant, identity: Identity) -> bool:
        """Whether a token is for a session that is connected, and so is counted."""
        found = self.resumes.find(token, tenant.id, identity.user)
        return isinstance(found, Session) and found.id in self._connections

    def _resume(
        self, connection: Connection, session: Session, ref: int | None
    ) -> None:
        """Go on with a session on a new connection."""
        before = self._connections.pop(session.id, None)
        self.resumes.take(session)
        if before is None:
            limit = connection.tenant.max_sessions_per_user
            self._make_room_for(limit, connection.identity)
            self._sessions.add(session)
        else:
            # It was not known yet that its connection is gone.
            self._delivery.close(session)
            self._rooms.detach(session)
            before.give_up()
        session.rebind(connection.link, self._delivery.outbox(session.tenant))
        self._connections[session.id] = connection
        connection.session = session
        # Its ticket is another one, and may be for fewer rooms.
        session.allowed_rooms = connection.identity.rooms
        told, replays = self._rooms.attach(session)
        self._log.info("session_resumed", sid=session.id, user=session.user)
        self.tell_authed(
            connection,
            ref=ref,
            resumed=True,
            rooms=told,
            active_room=session.active_room,
        )
        self._rooms.tell_left(session)
        for room, replay in replays:
            self._delivery.fetch_again(session, room, replay)
        self._rooms.leave_forbidden(session)
        if connection.session is session:
            # Else a hook of what it left has ended it.
            self._rooms.tell_members_again(session)
            self._hooks.on_resume(session)

    def kick(self, session: Session, code: int, reason: str) -> None:
        """End a session, told why before the close."""
        self.egress.system(session, "kicked", {"reason": reason})
        self.end(session, code, reason)

    def turn_down(self, session: Session, error: ProtocolError, lane: int) -> None:
        """Tell a sender of what became known only after its message was taken."""
        connection = self._connections.get(session.id)
        if connection is not None:
            connection.refuse(error, lane=lane)

    def end(self, session: Session, code: int, reason: str) -> None:
        """End a session with a close code."""
        connection = self._connections.get(session.id)
        if connection is not None:
            connection.end(code, reason)

    def cut_slow_consumer(self, session: Session) -> None:
        """End a session whose reliable messages found their lane full."""
        self.end(session, CloseCode.SLOW_CONSUMER, "you read too slowly")

    def ended(self, connection: Connection, code: int, reason: str) -> None:
        """Clean up behind a link that has ended."""
        session = connection.session
        assert session is not None
        del self._connections[session.id]
        self._sessions.remove(session)
        self._delivery.close(session)
        if self.resumes.may_return(code) and not self._draining():
            self._rooms.detach(session)
            self._log.info("session_detached", sid=session.id, code=code, reason=reason)
            self.resumes.keep(session, code, reason)
            self._hooks.on_detach(session)
        else:
            self._over(session, code, reason)

    def over(self, detached: Detached) -> None:
        """Clean up behind a session that did not come back."""
        self._over(*detached[:3])

    def _over(self, session: Session, code: int, reason: str) -> None:
        self._rooms.leave_all(session)
        self._metrics.closes[close_label(code)] += 1
        self._log.info(
            "session_closed",
            sid=session.id,
            user=session.user,
            tenant=session.tenant,
            code=code,
            reason=reason,
        )
        self._hooks.on_close(session, code, reason)

    def _note_opened(self, session: Session) -> None:
        """Log a session's beginning; its end leaves a line in any case.

        In a storm most beginnings are for level DEBUG: the counters tell how many, and
        a line for each took an eighth of the time that a connection takes.
        """
        is_storm = self._storm.exceeded(self._clock.now())
        log = self._log.debug if is_storm else self._log.info
        log("session_opened", sid=session.id, user=session.user, tenant=session.tenant)

    def _make_room_for(self, limit: int, identity: Identity) -> None:
        """Kick a user's oldest sessions until one more fits."""
        if not limit:
            return
        mine = self._sessions.of_user(identity.tenant, identity.user)
        for session in mine[: max(0, len(mine) - limit + 1)]:
            self.kick(session, CloseCode.KICKED, "logged in elsewhere")
