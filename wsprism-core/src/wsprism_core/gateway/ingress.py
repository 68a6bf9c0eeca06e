"""The way in: from a decoded message to its service, one check after another.

The order of the checks, of which the first that fails answers: size (the transport's),
decoding (the connection's), rate, allowlist, the type's own size, membership, schema,
whether it was said before, `check_message`, its number, the service. A refusal thus
never tells more than its sender may know.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

from wsprism_core.actions import ACTION_TYPES, Actions
from wsprism_core.gateway.builtin import Builtin
from wsprism_core.gateway.bulk import BulkQueue
from wsprism_core.gateway.catalog import Catalog
from wsprism_core.gateway.checks import Check
from wsprism_core.gateway.egress import Egress, Origin
from wsprism_core.gateway.failures import STOPS_THE_PROCESS, Failures
from wsprism_core.gateway.filters import Filtered, MessageFilters
from wsprism_core.gateway.handlers import Job, Start
from wsprism_core.gateway.hooks import EventHooks
from wsprism_core.gateway.inbound import InboundTable, TextEntry, field_of
from wsprism_core.gateway.newest import Newest, forget_number, waiting_key
from wsprism_core.manifest import RoomRule
from wsprism_core.metrics import Metrics
from wsprism_core.policy.tenant import Tenant
from wsprism_core.protocol.envelope import Envelope
from wsprism_core.protocol.errors import ProtocolError
from wsprism_core.protocol.hotframe import HotFrame
from wsprism_core.protocol.layout import ErrorCode
from wsprism_core.realtime.delivery import MessageTooLarge
from wsprism_core.realtime.rooms import RoomRegistry
from wsprism_core.realtime.session import Session
from wsprism_core.routing import Routes, ServiceRoute

if TYPE_CHECKING:
    from wsprism_core.gateway.connection import Connection

__all__ = ("Ingress",)

# Bound once: enum attribute look-ups cost on the hot path.
MEMBER: Final = RoomRule.MEMBER
NO_ROOM: Final = RoomRule.NONE


class Ingress:
    """Takes decoded messages to their services.

    Args:
        routes: Where each goes.
        checks: Schemas by service and type.
        builtin: The core's own services, `sys` and `room`.
        catalog: Which lane answers ride.
        egress: What performs what handlers return.
        hooks: For `check_message`.
        filters: The same where one is async, else None.
        rooms: What aliases stand for.
        metrics: Where messages are counted.
        failures: Where failures of handlers are noted.
        bulk: Where requests of the bulk lane wait.
    """

    def __init__(
        self,
        *,
        routes: Routes,
        checks: Mapping[tuple[str, str], Check],
        builtin: Builtin,
        catalog: Catalog,
        egress: Egress,
        hooks: EventHooks,
        filters: MessageFilters | None,
        rooms: RoomRegistry,
        metrics: Metrics,
        failures: Failures,
        bulk: BulkQueue,
    ) -> None:
        self._routes = routes
        self._checks = checks
        self._builtin = builtin
        self._catalog = catalog
        self._egress = egress
        self._newest = Newest(egress, metrics)
        self._hooks = hooks
        self._filters = filters
        self._rooms = rooms
        self._metrics = metrics
        self._failures = failures
        self._bulk = bulk
        self._tables: dict[Tenant, InboundTable] = {}

    def table(self, tenant: Tenant) -> InboundTable:
        """Return what a tenant's clients may send."""
        table = self._tables.get(tenant)
        if table is None:
            table = self._tables[tenant] = self.compiled(tenant)
        return table

    def compiled(self, tenant: Tenant) -> InboundTable:
        """Compile what a tenant's clients may send."""
        return InboundTable(
            self._routes, self._checks, self._catalog, tenant, self._metrics
        )

    def replace(self, tenant: Tenant, table: InboundTable) -> None:
        """Let another table say what a tenant's clients may send."""
        self._tables[tenant] = table

    def forget(self, tenant: Tenant) -> None:
        """Forget the table of a tenant that is gone."""
        self._tables.pop(tenant, None)

    def text(self, connection: Connection, message: Envelope, size: int) -> None:
        """Take a text message to its owner.

        Raises:
            ProtocolError: It is refused.
        """
        entry = connection.table.text.get((message.svc, message.type))
        if entry is None:
            try:
                self._built_in(connection, message)
            except MessageTooLarge:
                # An answer of the core's own, such as a pong to a large `client_ts`.
                raise ProtocolError(
                    ErrorCode.PAYLOAD_TOO_LARGE,
                    "the answer comes out too large to be sent",
                ) from None
            return
        session = connection.session
        assert session is not None
        connection.spend_token()
        entry.tally.count += 1
        if entry.max_bytes is not None and size > entry.max_bytes:
            raise ProtocolError(
                ErrorCode.PAYLOAD_TOO_LARGE, f"the limit is {entry.max_bytes} bytes"
            )
        # What a service broadcasts without naming a room goes to no stranger's.
        room = None
        if entry.room_rule is MEMBER:
            room = message.room
            if room is None:
                room = message.room = session.active_room
                if room is None:
                    raise ProtocolError(ErrorCode.BAD_REQUEST, "it names no room")
            membership = session.memberships.get(room)
            if membership is None or membership.quiet:
                raise ProtocolError(ErrorCode.NOT_ALLOWED, "you are not in this room")
        elif entry.room_rule is NO_ROOM:
            message.room = None
        if entry.check is not None:
            message.data = entry.check(message.data)
        if entry.dedup is not None and self._was_said(session, entry, message):
            return
        if self._filters is not None:
            self._filter(connection, entry, message, size, self._filters)
            return
        if self._hooks.checks_messages:
            message = self._hooks.check_message(session, message)
            if connection.session is None:
                # The check has ended the session.
                return
            if room is not None:
                room = message.room
        self._hand_over(connection, session, entry, message, size, room)

    def _filter(
        self,
        connection: Connection,
        entry: TextEntry,
        message: Envelope,
        size: int,
        filters: MessageFilters,
    ) -> None:
        """Let async checks see a message behind those before it.

        Raises:
            ProtocolError: As many as may wait do so already.
        """
        session = connection.session
        assert session is not None

        def finish(result: Any, failure: BaseException | None) -> None:
            if connection.session is not session:
                return
            try:
                if failure is not None:
                    # Filters raise nothing else; a recording knows it by its name.
                    raise cast("ProtocolError", failure)
                # What a recording hands over is a list.
                (verdict,) = result if isinstance(result, list) else (result,)
                self._filtered(connection, session, entry, message, size, verdict)
            except ProtocolError as error:
                error.ref = message.seq
                connection.refuse(error, lane=entry.lane)

        ask = partial(filters.ask, session, message)
        # They wait in a queue of their own: no service has a name with a colon.
        connection.handlers().submit(f"filter:{entry.svc}", Job(ask, finish, size))

    def _filtered(
        self,
        connection: Connection,
        session: Session,
        entry: TextEntry,
        message: Envelope,
        size: int,
        verdict: Filtered,
    ) -> None:
        """Take a message that has passed its filters to its owner.

        Raises:
            ProtocolError: It is refused.
        """
        room = message.room
        if entry.room_rule is MEMBER:
            # It was a member before it waited.
            membership = None if room is None else session.memberships.get(room)
            if membership is None or membership.quiet:
                raise ProtocolError(ErrorCode.NOT_ALLOWED, "you are not in this room")
            # It may have been said while this one waited.
            if entry.dedup is not None and self._was_said(session, entry, message):
                return
        else:
            room = None
        if verdict.rewritten:
            message.room, message.data = verdict.room, verdict.data
            if room is not None:
                room = message.room
        self._hand_over(connection, session, entry, message, size, room)

    def _was_said(self, session: Session, entry: TextEntry, message: Envelope) -> bool:
        """Answer a message that its room knows already; else return False."""
        assert entry.dedup is not None
        assert message.room is not None
        id = field_of(message.data, entry.dedup)
        if not isinstance(id, str):
            return False
        origin = Origin(
            session, entry.lane, message.seq, message.ack_requested, message.room
        )
        room = session.memberships[message.room].room
        return self._egress.answers_retry(origin, room, entry.svc, id)

    def _hand_over(
        self,
        connection: Connection,
        session: Session,
        entry: TextEntry,
        message: Envelope,
        size: int,
        room: str | None,
    ) -> None:
        """Hand a message that is checked to its owner.

        Raises:
            ProtocolError: The owner refuses it, or as many as may wait do so already.
        """
        origin = Origin(
            session, entry.lane, message.seq, message.ack_requested, room, None
        )
        if entry.drop_stale and self._newest.drops_text(entry, origin):
            return
        try:
            if entry.is_bulk:
                self._put_off(connection, entry, message, origin, size)
            else:
                self._handle(connection, entry, message, origin, size)
        except ProtocolError:
            forget_number(origin)
            raise

    def _put_off(
        self,
        connection: Connection,
        entry: TextEntry,
        message: Envelope,
        origin: Origin,
        size: int,
    ) -> None:
        """Let a request of bulk wait for its turn.

        Raises:
            ProtocolError: As much as may wait does so already.
        """
        memberships, room = origin.session.memberships, origin.room
        membership = None if room is None else memberships.get(room)

        def handle() -> None:
            # Who has left meanwhile, or was made to, hears of the room no more.
            if room is not None and memberships.get(room) is not membership:
                raise ProtocolError(ErrorCode.NOT_ALLOWED, "you are not in this room")
            self._handle(connection, entry, message, origin, size)

        self._bulk.put(
            connection,
            size,
            handle,
            refuse=partial(self._refuse, connection, message, origin),
            drop=partial(forget_number, origin),
        )

    def _handle(
        self,
        connection: Connection,
        entry: TextEntry,
        message: Envelope,
        origin: Origin,
        size: int,
    ) -> None:
        """Call the owner of a message whose turn it is.

        Raises:
            ProtocolError: The owner refuses it, or as many as may wait do so already.
        """
        session, route = origin.session, entry.route
        handle = route.on_message
        assert handle is not None
        if route.is_async or connection.handlers_busy(entry.svc):
            start = partial(handle, session, message)
            self._queue(connection, entry, message, origin, size, start)
            return
        try:
            result: Any = handle(session, message)
        except STOPS_THE_PROCESS:
            raise
        except BaseException as error:
            self._finish(route, "on_message", origin, None, error)
            return
        # To ask whether something is awaitable costs more than to know an action.
        if (
            result is not None
            and type(result) not in ACTION_TYPES
            and isinstance(result, Awaitable)
        ):
            # A plain function that returns an awaitable, such as a partial.
            self._queue(connection, entry, message, origin, size, lambda: result)
            return
        done = self._finish(route, "on_message", origin, result, None)
        if done and self._routes.observe_message is not None:
            self._routes.observe_message(session, message)

    def _built_in(self, connection: Connection, message: Envelope) -> None:
        """Take a message to one of the core's own services, or say why it is none.

        Raises:
            ProtocolError: It is refused.
        """
        session, tenant = connection.session, connection.tenant
        assert session is not None
        svc, type = message.svc, message.type
        if svc == "sys":
            self._builtin.system(connection, message)
            return
        connection.spend_token()
        if not tenant.text.passes(svc, type):
            raise ProtocolError(ErrorCode.NOT_ALLOWED, "your tenant does not allow it")
        if svc == "room":
            shadow = tenant.shadow
            if shadow is not None and not shadow.passes_text(svc, type):
                shadow.count("ext_allowlist")
            connection.table.room_tally.count += 1
            self._builtin.room(session, message)
            return
        if svc not in self._routes.services:
            raise ProtocolError(ErrorCode.BAD_REQUEST, "no such service")
        raise ProtocolError(ErrorCode.BAD_REQUEST, "no such type of message")

    def frame(self, connection: Connection, frame: HotFrame) -> None:
        """Take a hot frame to its owner.

        Raises:
            ProtocolError: It is refused.
        """
        entry = connection.table.frames.get(frame.svc_id << 8 | frame.opcode)
        connection.spend_token()
        if entry is None:
            raise self._why_not(connection.tenant, frame)
        session = connection.session
        assert session is not None
        entry.tally.count += 1
        if entry.max_bytes is not None and len(frame.payload) > entry.max_bytes:
            raise ProtocolError(
                ErrorCode.PAYLOAD_TOO_LARGE, f"the limit is {entry.max_bytes} bytes"
            )
        if frame.alias is None:
            active = session.active
            room = None if active is None else active.room.name
        else:
            room = self._room_of(session, frame.alias)
        if entry.room_rule is MEMBER:
            if room is None and entry.needs_room:
                raise ProtocolError(ErrorCode.BAD_REQUEST, "it is for no room")
            frame.room = room
        if entry.layout is not None:
            frame.packet = entry.layout.unpack(frame.payload)
        origin = Origin(
            session,
            entry.lane,
            frame.seq,
            frame.ack_requested,
            frame.room,
            frame.svc_id,
        )
        if entry.drop_stale and self._newest.drops_frame(entry, origin):
            return
        route = entry.route
        assert route.on_binary is not None
        actions: Actions = None
        failure: BaseException | None = None
        try:
            actions = route.on_binary(session, frame)
        except STOPS_THE_PROCESS:
            raise
        except BaseException as error:
            failure = error
        done = self._finish(route, "on_binary", origin, actions, failure)
        if done and self._routes.observe_binary is not None:
            self._routes.observe_binary(session, frame)

    def _why_not(self, tenant: Tenant, frame: HotFrame) -> ProtocolError:
        """Return why a frame that has no entry is refused."""
        if not tenant.hot.passes(frame.svc_id, frame.opcode):
            return ProtocolError(ErrorCode.NOT_ALLOWED, "your tenant does not allow it")
        if self._routes.by_id[frame.svc_id] is None:
            return ProtocolError(ErrorCode.BAD_REQUEST, "no such service")
        return ProtocolError(ErrorCode.BAD_REQUEST, "no such opcode")

    def _queue(
        self,
        connection: Connection,
        entry: TextEntry,
        message: Envelope,
        origin: Origin,
        size: int,
        start: Start,
    ) -> None:
        """Let an async handler run behind those before it.

        Raises:
            ProtocolError: As many as may wait do so already.
        """

        def finish(actions: Actions, failure: BaseException | None) -> None:
            try:
                done = self._finish(entry.route, "on_message", origin, actions, failure)
            except ProtocolError as error:
                self._refuse(connection, message, origin, error)
                return
            if done and self._routes.observe_message is not None:
                self._routes.observe_message(origin.session, message)

        key = waiting_key(entry, message)
        job = Job(
            start,
            finish,
            size,
            key,
            lambda: self._newest.supersede(entry, origin),
            partial(forget_number, origin),
        )
        connection.handlers().submit(entry.svc, job)

    def _refuse(
        self,
        connection: Connection,
        message: Envelope,
        origin: Origin,
        error: ProtocolError,
    ) -> None:
        """Refuse a message that has waited."""
        forget_number(origin)
        error.ref = message.seq
        connection.refuse(error, lane=origin.lane)

    def _finish(
        self,
        route: ServiceRoute,
        hook: str,
        origin: Origin,
        actions: Actions,
        failure: BaseException | None,
    ) -> bool:
        """Do what a handler returned, and see to it that there is one answer.

        Returns:
            False where something failed after the message had its answer.

        Raises:
            ProtocolError: The handler refused the message, or failed.
        """
        if failure is None:
            try:
                egress = self._egress
                egress.perform(
                    actions, route.service.name, origin.session.tenant, origin
                )
                if origin.wants_ack:
                    egress.finish(origin)
                return True
            except STOPS_THE_PROCESS:
                raise
            except BaseException as error:
                failure = error
        forget_number(origin)
        if isinstance(failure, ProtocolError) and not origin.answered:
            raise failure
        if isinstance(failure, MessageTooLarge) and not origin.answered:
            # What a sender asked for came out too large; nobody got any of it. This
            # frame keeps the failure, whose traceback would keep the frame.
            failure.__traceback__ = None
            raise ProtocolError(
                ErrorCode.PAYLOAD_TOO_LARGE, "it comes out too large to be sent"
            ) from failure
        self._failures.note(route.plugin, hook, failure)
        if origin.answered:
            return False
        raise ProtocolError(ErrorCode.INTERNAL, "the service failed") from failure

    def _room_of(self, session: Session, alias: int) -> str:
        """Return the name of the room that an alias stands for.

        Raises:
            ProtocolError: The sender is not in that room.
        """
        room = self._rooms.by_alias(alias)
        if (
            room is None
            or room.tenant != session.tenant
            or not session.is_member(room.name)
        ):
            raise ProtocolError(ErrorCode.NOT_ALLOWED, "you are not in this room")
        return room.name
