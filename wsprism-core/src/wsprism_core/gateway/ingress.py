"""The way in: from a decoded message to its service, one check after another.

The order of the checks, of which the first that fails answers: size (the transport's),
decoding (the connection's), rate, allowlist, the type's own size, membership, schema,
`check_message`, the service. A refusal thus never tells more than its sender may know.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any

from wsprism_core.actions import Actions
from wsprism_core.gateway.builtin import Builtin
from wsprism_core.gateway.catalog import Catalog
from wsprism_core.gateway.checks import Check
from wsprism_core.gateway.egress import Egress, Origin
from wsprism_core.gateway.failures import STOPS_THE_PROCESS, Failures
from wsprism_core.gateway.handlers import Job
from wsprism_core.gateway.hooks import EventHooks
from wsprism_core.gateway.newest import Newest, forget_number, waiting_key
from wsprism_core.manifest import Inbound, RoomRule
from wsprism_core.metrics import Metrics
from wsprism_core.protocol.envelope import Envelope
from wsprism_core.protocol.errors import ProtocolError
from wsprism_core.protocol.hotframe import HotFrame
from wsprism_core.protocol.layout import ErrorCode
from wsprism_core.realtime.rooms import RoomRegistry
from wsprism_core.realtime.session import Session
from wsprism_core.routing import Routes, ServiceRoute

if TYPE_CHECKING:
    from wsprism_core.gateway.connection import Connection

__all__ = ("Ingress",)


class Ingress:
    """Takes decoded messages to their services.

    Args:
        routes: Where each goes.
        checks: Schemas by service and type.
        builtin: The core's own services, `sys` and `room`.
        catalog: Which lane answers ride.
        egress: What performs what handlers return.
        hooks: For `check_message`.
        rooms: What aliases stand for.
        metrics: Where messages are counted.
        failures: Where failures of handlers are noted.
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
        rooms: RoomRegistry,
        metrics: Metrics,
        failures: Failures,
    ) -> None:
        self._routes = routes
        self._checks = checks
        self._builtin = builtin
        self._catalog = catalog
        self._egress = egress
        self._newest = Newest(egress, metrics)
        self._hooks = hooks
        self._rooms = rooms
        self._metrics = metrics
        self._failures = failures

    def text(self, connection: Connection, message: Envelope, size: int) -> None:
        """Take a text message to its owner.

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
            self._metrics.messages[tenant.id, svc, "text"] += 1
            self._builtin.room(session, message)
            return
        route = self._routes.services.get(svc)
        if route is None:
            raise ProtocolError(ErrorCode.BAD_REQUEST, "no such service")
        kind = route.inbound.get(type)
        if kind is None:
            raise ProtocolError(ErrorCode.BAD_REQUEST, "no such type of message")
        self._metrics.messages[tenant.id, svc, "text"] += 1
        if kind.max_bytes is not None and size > kind.max_bytes:
            raise ProtocolError(
                ErrorCode.PAYLOAD_TOO_LARGE, f"the limit is {kind.max_bytes} bytes"
            )
        if kind.room is RoomRule.MEMBER:
            if message.room is None:
                message.room = session.active_room
                if message.room is None:
                    raise ProtocolError(ErrorCode.BAD_REQUEST, "it names no room")
            if not session.is_member(message.room):
                raise ProtocolError(ErrorCode.NOT_ALLOWED, "you are not in this room")
        elif kind.room is RoomRule.NONE:
            message.room = None
        check = self._checks.get((svc, type))
        if check is not None:
            message.data = self._checked(route, check, message.data)
        if self._hooks.checks_messages:
            message = self._hooks.check_message(session, message)
            if connection.session is None:
                # The check has ended the session.
                return
        origin = Origin(
            session,
            lane=self._catalog.answer_lane(svc, type),
            ref=message.seq,
            wants_ack=message.ack_requested,
            # What a service broadcasts without naming a room goes to no stranger's.
            room=message.room if kind.room is RoomRule.MEMBER else None,
        )
        if kind.drop_stale and self._newest.drops_text(route, origin, message):
            return
        self._hand_over(connection, route, kind, message, origin, size)

    def _checked(self, route: ServiceRoute, check: Check, data: Any) -> Any:
        """Return data that fits its schema; a schema's own failure is its plugin's.

        Raises:
            ProtocolError: It does not fit, or the schema failed.
        """
        try:
            return check(data)
        except (ProtocolError, *STOPS_THE_PROCESS):
            raise
        except BaseException as error:
            self._failures.note(route.plugin, "schema", error)
            raise ProtocolError(ErrorCode.INTERNAL, "the service failed") from error

    def frame(self, connection: Connection, frame: HotFrame) -> None:
        """Take a hot frame to its owner.

        Raises:
            ProtocolError: It is refused.
        """
        session, tenant = connection.session, connection.tenant
        assert session is not None
        svc_id, opcode = frame.svc_id, frame.opcode
        connection.spend_token()
        if not tenant.hot.passes(svc_id, opcode):
            raise ProtocolError(ErrorCode.NOT_ALLOWED, "your tenant does not allow it")
        route = self._routes.by_id[svc_id]
        if route is None:
            raise ProtocolError(ErrorCode.BAD_REQUEST, "no such service")
        kind = route.opcodes.get(opcode)
        if kind is None:
            raise ProtocolError(ErrorCode.BAD_REQUEST, "no such opcode")
        self._metrics.messages[tenant.id, route.service.name, "hot"] += 1
        if kind.max_bytes is not None and len(frame.payload) > kind.max_bytes:
            raise ProtocolError(
                ErrorCode.PAYLOAD_TOO_LARGE, f"the limit is {kind.max_bytes} bytes"
            )
        room = self._room_of(session, frame)
        if kind.room is RoomRule.MEMBER:
            if room is None and tenant.hot_requires_active_room:
                raise ProtocolError(ErrorCode.BAD_REQUEST, "it is for no room")
            frame.room = room
        if kind.layout is not None:
            frame.packet = kind.layout.unpack(frame.payload)
        origin = Origin(
            session,
            lane=self._catalog.opcode_lane(svc_id, opcode),
            ref=frame.seq,
            wants_ack=frame.ack_requested,
            room=frame.room,
            hot_svc_id=svc_id,
        )
        if kind.drop_stale and self._newest.drops_frame(route, origin, frame):
            return
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

    def _hand_over(
        self,
        connection: Connection,
        route: ServiceRoute,
        kind: Inbound,
        message: Envelope,
        origin: Origin,
        size: int,
    ) -> None:
        """Call the owner of a text message, now or behind those before it."""
        session, svc = origin.session, route.service.name
        handle = route.on_message
        assert handle is not None

        def finish(actions: Actions, failure: BaseException | None) -> None:
            try:
                self._finish_text(route, message, origin, actions, failure)
            except ProtocolError as error:
                error.ref = message.seq
                connection.refuse(error, lane=origin.lane)

        if route.is_async or connection.handlers_busy(svc):
            key = waiting_key(kind, message)
            job = Job(
                lambda: handle(session, message),
                finish,
                size,
                key=key,
                supersede=lambda: self._newest.supersede(route, origin),
            )
            try:
                connection.handlers().submit(svc, job)
            except ProtocolError:
                forget_number(origin)
                raise
            return
        actions: Actions = None
        failure: BaseException | None = None
        try:
            result = handle(session, message)
            if isinstance(result, Awaitable):
                # A plain function that returns an awaitable, such as a partial.
                awaitable = result
                connection.handlers().submit(svc, Job(lambda: awaitable, finish, size))
                return
            actions = result
        except STOPS_THE_PROCESS:
            raise
        except BaseException as error:
            failure = error
        self._finish_text(route, message, origin, actions, failure)

    def _finish_text(
        self,
        route: ServiceRoute,
        message: Envelope,
        origin: Origin,
        actions: Actions,
        failure: BaseException | None,
    ) -> None:
        """Do what the handler of a text message returned, and show it to observers.

        Raises:
            ProtocolError: The handler refused the message, or failed.
        """
        done = self._finish(route, "on_message", origin, actions, failure)
        if done and self._routes.observe_message is not None:
            self._routes.observe_message(origin.session, message)

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
                self._egress.perform(
                    actions, route.service.name, origin.session.tenant, origin
                )
                self._egress.finish(origin)
                return True
            except STOPS_THE_PROCESS:
                raise
            except BaseException as error:
                failure = error
        forget_number(origin)
        if isinstance(failure, ProtocolError) and not origin.answered:
            raise failure
        self._failures.note(route.plugin, hook, failure)
        if origin.answered:
            return False
        raise ProtocolError(ErrorCode.INTERNAL, "the service failed") from failure

    def _room_of(self, session: Session, frame: HotFrame) -> str | None:
        """Return the name of the room that a frame is for.

        Raises:
            ProtocolError: Its sender is not in that room.
        """
        if frame.alias is None:
            return session.active_room
        room = self._rooms.by_alias(frame.alias)
        if (
            room is None
            or room.tenant != session.tenant
            or not session.is_member(room.name)
        ):
            raise ProtocolError(ErrorCode.NOT_ALLOWED, "you are not in this room")
        return room.name
