"""The way out: what services want done becomes messages in lanes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from functools import partial
from typing import Any, Final, cast

from wsprism_core.actions import (
    Ack,
    Action,
    Actions,
    Broadcast,
    BroadcastFrame,
    JoinRoom,
    Kick,
    LeaveRoom,
    Pull,
    Push,
    PushFrame,
    Reply,
)
from wsprism_core.gateway.catalog import Catalog, OutboundRoute
from wsprism_core.gateway.pulling import ServiceSource
from wsprism_core.history.port import StoreFull
from wsprism_core.protocol.codecs import JSON
from wsprism_core.protocol.envelope import numbered, outbound
from wsprism_core.protocol.errors import ProtocolError
from wsprism_core.protocol.hotframe import encode_hot_frame
from wsprism_core.protocol.layout import OPCODE_ACK, ErrorCode
from wsprism_core.realtime.backlog import Pull as Marker
from wsprism_core.realtime.channel import (
    LARGEST_RECEIPT,
    FramePublication,
    Publication,
    Receipt,
    TextPublication,
)
from wsprism_core.realtime.delivery import DeliveryEngine
from wsprism_core.realtime.rooms import Room, RoomRegistry
from wsprism_core.realtime.session import Session, SessionRegistry
from wsprism_core.realtime.wire import Outgoing, Wire

__all__ = ("Egress", "Origin")

#: After which time a sender may try again what could not be stored.
STORE_RETRY_MS: Final = 1_000
#: What a character of a name takes at the most: a control character in JSON.
TIMES_NAME: Final = 6
#: More than an envelope takes beside its data and names, with a header, in bytes.
BESIDE_DATA: Final = 2_048
#: No codec takes more than so many times what JSON takes: the shortest float is `0.0`
#: and a comma there, and nine bytes in MessagePack.
TIMES_JSON: Final = 3


class Origin:
    """The message at hand: whom a reply goes to, and what it answers.

    Args:
        session: Its sender.
        lane: The lane that answers ride.
        ref: Its `seq`.
        wants_ack: Whether the sender waits for an answer.
        room: The room that it concerns.
        hot_svc_id: For a hot frame, its service's id.

    Attributes:
        answered: Whether it has its answer.
        ack: What an acknowledgement will say.
        counted: What its number counts, where it does; a refusal takes it back.
    """

    __slots__ = (
        "ack",
        "answered",
        "counted",
        "hot_svc_id",
        "lane",
        "ref",
        "room",
        "session",
        "wants_ack",
    )

    def __init__(
        self,
        session: Session,
        lane: int,
        ref: int | None = None,
        wants_ack: bool = False,
        room: str | None = None,
        hot_svc_id: int | None = None,
    ) -> None:
        self.session = session
        self.lane = lane
        self.ref = ref
        self.wants_ack = wants_ack
        self.room = room
        self.hot_svc_id = hot_svc_id
        self.answered = False
        self.ack: Any = None
        self.counted: Hashable | None = None


class Egress:
    """Performs actions and sends what the core itself has to say.

    Args:
        catalog: How each type travels.
        delivery: Where messages are posted.
        sessions: Who is there.
        rooms: Where they are.
    """

    #: Set by the gateway: joining, leaving and kicking are not egress's business.
    join: Callable[[Session, JoinRoom], object]
    leave: Callable[[Session, str], object]
    kick: Callable[[Session, int, str], object]
    #: Ends sessions that may come back, by id or user.
    end_detached: Callable[..., object]
    #: Returns a session that may come back by its id.
    detached: Callable[[str], Session | None]
    #: Told of a service whose source failed, and with what.
    pull_failed: Callable[[str, BaseException], None]
    #: Tells a sender of what became known only after its message was taken.
    turn_down: Callable[[Session, ProtocolError, int], None]
    #: Publishes to a room that nobody here is in.
    unattended: Callable[[str, str, TextPublication, Callable[[Receipt], None]], None]

    def __init__(
        self,
        catalog: Catalog,
        delivery: DeliveryEngine,
        sessions: SessionRegistry,
        rooms: RoomRegistry,
    ) -> None:
        self._catalog = catalog
        self._delivery = delivery
        self._sessions = sessions
        self._rooms = rooms
        self._control = delivery.lane("control")
        self._busy = False
        self._later: deque[Callable[[], None]] = deque()
        self._perform: dict[type, Callable[[Any, str, str, Origin | None], None]] = {
            Reply: self._reply,
            Ack: self._ack,
            Push: self._push,
            Broadcast: self._broadcast,
            BroadcastFrame: self._broadcast_frame,
            PushFrame: self._push_frame,
            Pull: self._pull,
            JoinRoom: self._join,
            LeaveRoom: self._leave,
            Kick: self._kick,
        }

    def perform(
        self, actions: Actions, svc: str, tenant: str, origin: Origin | None = None
    ) -> None:
        """Do what a service wants done, in order.

        Args:
            actions: One, several or none.
            svc: The service in whose name it is done.
            tenant: The tenant in which it is done.
            origin: The message at hand, if there is one.

        Raises:
            ValueError: An action is incomplete, names an unknown type, or its data
                cannot be encoded; those before it are done.
            TypeError: Something is no action.
        """
        if actions is None:
            return
        busy, self._busy = self._busy, True
        try:
            do = self._perform.get(type(actions))
            if do is not None:
                do(actions, svc, tenant, origin)
                return
            for action in cast("Iterable[Action]", actions):
                do = self._perform.get(type(action))
                if do is None:
                    raise TypeError(f"{type(action).__name__} is no action")
                do(action, svc, tenant, origin)
        finally:
            self._busy = busy
            while self._later and not self._busy:
                self._later.popleft()()

    def publish(
        self,
        action: Broadcast,
        svc: str,
        tenant: str,
        done: Callable[[Receipt], None],
    ) -> None:
        """Broadcast outside of any message, for somebody who waits for its number.

        Args:
            action: What is sent; it names its room.
            svc: The service in whose name it is done.
            tenant: The tenant in which it is done.
            done: Called once it has its place in the room, now or in a later turn.

        Raises:
            ValueError: As for `perform`; `done` is not called.
        """
        busy, self._busy = self._busy, True
        try:
            self._broadcast(action, svc, tenant, None, done)
        finally:
            self._busy = busy
            while self._later and not self._busy:
                self._later.popleft()()

    def answers_retry(self, origin: Origin, room: Room, svc: str, id: str) -> bool:
        """Acknowledge a message that was said before, as it was then.

        Args:
            origin: The message at hand.
            room: The room that it is for.
            svc: Its service.
            id: The sender's own id for it.

        Returns:
            False where the room knows no message with this id of the sender.
        """
        told = _Outcome(self, origin, acknowledges=origin.wants_ack)
        return room.channel.repeats(_dedup_key(origin.session.user, svc, id), told)

    def when_idle(self, work: Callable[[], None]) -> None:
        """Run `work` now, or right after the actions that are being performed.

        What a service returned is thus done whole, in order, before what other plugins
        want done because of it.
        """
        if self._busy:
            self._later.append(work)
        else:
            work()

    def finish(self, origin: Origin) -> None:
        """Acknowledge the message at hand where nothing answered it yet."""
        if origin.wants_ack and not origin.answered:
            self.acknowledge(origin, origin.ack)

    def acknowledge(self, origin: Origin, data: Any = None) -> None:
        """Send the acknowledgement that the sender asked for.

        Raises:
            ValueError: Its data cannot be encoded.
        """
        if origin.hot_svc_id is None:
            self.system(origin.session, "ack", data, ref=origin.ref, lane=origin.lane)
            return
        room = self._room_of(origin.session, origin.room)
        frame = encode_hot_frame(
            origin.hot_svc_id,
            OPCODE_ACK,
            b"",
            seq=origin.ref,
            alias=None if room is None else room.alias,
        )
        self._delivery.post(origin.session, Outgoing(origin.lane, hot=frame))

    def system(
        self,
        session: Session,
        type: str,
        data: Any = None,
        *,
        room: str | None = None,
        ref: int | None = None,
        trace_id: str | None = None,
        lane: int | None = None,
    ) -> None:
        """Send one of the core's own messages, `sys.*`, on the control lane."""
        self._delivery.post(
            session,
            Outgoing(
                self._control if lane is None else lane,
                envelope=outbound(
                    "sys", type, room=room, ref=ref, data=data, trace_id=trace_id
                ),
            ),
        )

    def fits(
        self, wire: Wire, type: str, data: Any, *, ref: int | None, trace_id: str
    ) -> bool:
        """Whether the control lane takes such a message on a wire."""
        envelope = outbound("sys", type, ref=ref, data=data, trace_id=trace_id)
        return self._delivery.fits(wire, Outgoing(self._control, envelope=envelope))

    def refuse(
        self,
        session: Session,
        data: dict[str, Any],
        *,
        ref: int | None,
        lane: int,
        trace_id: str,
    ) -> None:
        """Tell a sender that its message was refused.

        Args:
            session: The sender.
            data: What `error_data` says of the refusal.
            ref: The message's `seq`.
            lane: The lane that the answer rides.
            trace_id: By which the log knows it.
        """
        self.system(session, "error", data, ref=ref, trace_id=trace_id, lane=lane)

    def check(self, room: Room, publication: Publication) -> None:
        """See that a publication can be sent to the members that are here.

        Raises:
            ValueError: Its data cannot be encoded, or it is too large.
        """
        if isinstance(publication, TextPublication):
            # To encode the data alone says it of nearly all: a gateway with history in
            # a file takes a seventh more messages so.
            lane = self._catalog.type(publication.svc, publication.type).lane
            data = JSON.encode({"data": publication.data})
            size = BESIDE_DATA + TIMES_JSON * len(data)
            # Rooms that services make, and their types, may have any name.
            size += TIMES_NAME * (len(room.name) + len(publication.type))
            if self._delivery.takes(lane, size):
                return
        message = self._published(room, publication, LARGEST_RECEIPT)
        self._delivery.check(room.audience, message)

    def deliver(self, room: Room, publication: Publication, receipt: Receipt) -> None:
        """Send a publication to the members that are here.

        Raises:
            ValueError: Its data cannot be encoded; nobody here gets it.
        """
        message = self._published(room, publication, receipt)
        room.published += 1
        exclude = publication.exclude
        self._delivery.broadcast(
            room.audience,
            message,
            None if exclude is None else self._sessions.get(exclude),
        )

    def _published(
        self, room: Room, publication: Publication, receipt: Receipt
    ) -> Outgoing:
        """Return the message that a publication comes to."""
        envelope = hot = None
        if isinstance(publication, TextPublication):
            svc, type, data = publication.svc, publication.type, publication.data
            route = self._catalog.type(svc, type)
            seq, ts = receipt.seq, receipt.ts
            if seq is None or ts is None or data is None:
                envelope = outbound(
                    svc, type, room=room.name, seq=seq, ts=ts, data=data
                )
            else:
                envelope = numbered(svc, type, room.name, seq, ts, data)
        else:
            seq = None
            route = self._catalog.opcode(publication.svc_id, publication.opcode)
            hot = encode_hot_frame(
                publication.svc_id,
                publication.opcode,
                publication.payload,
                seq=publication.seq,
                alias=room.alias,
                sender=publication.sender,
            )
        return Outgoing(
            route.lane,
            route.delivery,
            publication.key,
            room,
            route.svc,
            seq,
            envelope,
            hot,
        )

    # -------------------------------------------------------------- the actions

    def _reply(
        self, action: Reply, svc: str, tenant: str, origin: Origin | None
    ) -> None:
        origin = _needed(origin, "Reply")
        if origin.answered:
            raise ValueError("a message has one answer, and this one has it already")
        route = self._catalog.type(svc, action.type)
        self._delivery.post(
            origin.session,
            Outgoing(
                origin.lane,
                svc=route.svc,
                envelope=outbound(
                    svc,
                    action.type,
                    room=action.room,
                    ref=origin.ref,
                    data=action.data,
                ),
            ),
        )
        origin.answered = True

    def _ack(self, action: Ack, svc: str, tenant: str, origin: Origin | None) -> None:
        _needed(origin, "Ack").ack = action.data

    def _push(self, action: Push, svc: str, tenant: str, origin: Origin | None) -> None:
        route = self._catalog.type(svc, action.type)
        room = None if action.room is None else self._rooms.get(tenant, action.room)
        message = Outgoing(
            route.lane,
            delivery=route.delivery,
            key=(action.type, action.key),
            room=room,
            svc=svc,
            envelope=outbound(svc, action.type, room=action.room, data=action.data),
        )
        if action.everyone:
            if action.session is not None or action.user is not None:
                raise ValueError("everyone is no session and no user")
            everyone = [one for one in self._sessions if one.tenant == tenant]
            self._delivery.post_each(everyone, message)
            return
        self._delivery.post_each(
            self._targets(action.session, action.user, tenant), message
        )

    def _broadcast(
        self,
        action: Broadcast,
        svc: str,
        tenant: str,
        origin: Origin | None,
        done: Callable[[Receipt], None] | None = None,
    ) -> None:
        type = action.type
        recoverable = self._catalog.type(svc, type).recoverable
        name = action.room
        if name is None:
            name = _room_at_hand(origin)
        room = self._rooms.get(tenant, name)
        dedup = None
        if action.dedup is not None:
            # Whoever publishes outside of any message is no user.
            publisher = "" if origin is None else origin.session.user
            dedup = _dedup_key(publisher, svc, action.dedup)
        if room is None and not recoverable:
            if done is not None:
                done(Receipt())
            return
        outcome = None
        if origin is not None:
            acknowledges = (
                origin.wants_ack and action.ack is not None and not origin.answered
            )
            is_durable = recoverable and room is not None and room.channel.durable
            # The acknowledgement waits until the room has numbered the message, and
            # whoever wants none is to hear where it could not be kept.
            if acknowledges or is_durable:
                done = outcome = _Outcome(self, origin, acknowledges=acknowledges)
        publication = TextPublication(
            svc,
            type,
            action.data,
            recoverable,
            (type, action.key),
            action.exclude,
            dedup,
            action.ack,
        )
        try:
            if room is None:
                # Whoever comes back to it fetches what is sent meanwhile.
                self.unattended(tenant, name, publication, done or _nothing)
            else:
                room.channel.publish(publication, done)
        except StoreFull as full:
            raise _not_stored(str(full), passes=full.passes) from None
        if outcome is not None and outcome.acknowledges:
            outcome.origin.answered = True

    def _broadcast_frame(
        self, action: BroadcastFrame, svc: str, tenant: str, origin: Origin | None
    ) -> None:
        svc_id = self._catalog.svc_id(svc)
        self._catalog.opcode(svc_id, action.opcode)
        room = self._room_for(action.room, tenant, origin)
        if room is not None:
            room.channel.publish(
                FramePublication(
                    svc_id,
                    action.opcode,
                    action.payload,
                    action.seq,
                    action.sender,
                    (action.opcode, action.key),
                    action.exclude,
                )
            )

    def _push_frame(
        self, action: PushFrame, svc: str, tenant: str, origin: Origin | None
    ) -> None:
        svc_id = self._catalog.svc_id(svc)
        route = self._catalog.opcode(svc_id, action.opcode)
        room = None if action.room is None else self._rooms.get(tenant, action.room)
        message = Outgoing(
            route.lane,
            delivery=route.delivery,
            key=(action.opcode, action.key),
            room=room,
            svc=svc,
            hot=encode_hot_frame(
                svc_id,
                action.opcode,
                action.payload,
                seq=action.seq,
                alias=None if room is None else room.alias,
            ),
        )
        self._delivery.post_each(
            self._targets(action.session, action.user, tenant), message
        )

    def _pull(self, action: Pull, svc: str, tenant: str, origin: Origin | None) -> None:
        room = None
        if action.room is not None:
            if action.session is not None or action.user is not None:
                raise ValueError("exactly one of session, user and room must be given")
            room = self._rooms.get(tenant, action.room)
            sessions: Iterable[Session] = () if room is None else room.sessions()
        else:
            sessions = self._targets(action.session, action.user, tenant)
        lane = self._pulled_route(svc, action.type).lane
        source = ServiceSource(
            svc, action.source, partial(self._pulled, svc, lane, room), self.pull_failed
        )
        pull = Marker(lane, source, key=action.key, room=room)
        for session in sessions:
            self._delivery.pull(session, pull)

    def _pulled_route(self, svc: str, type: str | int) -> OutboundRoute:
        """Return how a type or opcode that is pulled travels.

        Raises:
            ValueError: The manifest does not declare it, or not so.
        """
        if isinstance(type, str):
            return self._catalog.type(svc, type, pulled=True)
        return self._catalog.opcode(self._catalog.svc_id(svc), type, pulled=True)

    def _pulled(
        self, svc: str, lane: int, room: Room | None, push: Push | PushFrame
    ) -> Outgoing:
        """Return the message that a source gave for one session.

        Raises:
            ValueError: It cannot be sent on the lane of its marker.
        """
        if push.session is not None or push.user is not None or push.room is not None:
            raise ValueError(
                "what is pulled goes to who pulls it, in the marker's room"
            )
        envelope = hot = None
        if isinstance(push, Push):
            route = self._pulled_route(svc, push.type)
            name = None if room is None else room.name
            envelope = outbound(svc, push.type, room=name, data=push.data)
        else:
            route = self._pulled_route(svc, push.opcode)
            hot = encode_hot_frame(
                self._catalog.svc_id(svc),
                push.opcode,
                push.payload,
                seq=push.seq,
                alias=None if room is None else room.alias,
            )
        if route.lane != lane:
            raise ValueError("what is pulled rides the lane of its marker")
        return Outgoing(lane, room=room, svc=svc, envelope=envelope, hot=hot)

    def _join(
        self, action: JoinRoom, svc: str, tenant: str, origin: Origin | None
    ) -> None:
        session = self._session(action.session, tenant)
        if session is not None:
            self.join(session, action)

    def _leave(
        self, action: LeaveRoom, svc: str, tenant: str, origin: Origin | None
    ) -> None:
        session = self._session(action.session, tenant)
        if session is None:
            # One whose connection dropped is a member all the same.
            session = self.detached(action.session)
            if session is None or session.tenant != tenant:
                return
        if action.room in session.memberships:
            self.leave(session, action.room)

    def _kick(self, action: Kick, svc: str, tenant: str, origin: Origin | None) -> None:
        for session in self._targets(action.session, action.user, tenant):
            self.kick(session, action.code, action.reason)
        self.end_detached(tenant, id=action.session, user=action.user)

    # --------------------------------------------------------------- who, where

    def _session(self, id: str, tenant: str) -> Session | None:
        session = self._sessions.get(id)
        return session if session is not None and session.tenant == tenant else None

    def _targets(
        self, session: str | None, user: str | None, tenant: str
    ) -> tuple[Session, ...]:
        if (session is None) == (user is None):
            raise ValueError("exactly one of session and user must be given")
        if user is not None:
            return self._sessions.of_user(tenant, user)
        assert session is not None
        found = self._session(session, tenant)
        return () if found is None else (found,)

    def _room_for(
        self, name: str | None, tenant: str, origin: Origin | None
    ) -> Room | None:
        """Return the room that an action names, or that of the message at hand."""
        return self._rooms.get(tenant, _room_at_hand(origin) if name is None else name)

    def _room_of(self, session: Session, name: str | None) -> Room | None:
        return None if name is None else self._rooms.get(session.tenant, name)


class _Outcome:
    """Tells the sender of a message which number it got, or that it got none."""

    __slots__ = ("_egress", "acknowledges", "origin")

    def __init__(self, egress: Egress, origin: Origin, *, acknowledges: bool) -> None:
        self._egress = egress
        self.origin = origin
        self.acknowledges = acknowledges

    def __call__(self, receipt: Receipt) -> None:
        if not receipt.stored:
            error = _not_stored("the message could not be stored")
            error.ref = self.origin.ref
            self._egress.turn_down(self.origin.session, error, self.origin.lane)
            return
        if not self.acknowledges:
            return
        data = dict(receipt.ack or {})
        if receipt.seq is not None:
            data |= {"seq": receipt.seq, "ts": receipt.ts}
        self._egress.acknowledge(self.origin, data)


def _dedup_key(publisher: str, svc: str, id: str) -> tuple[str, str]:
    """Return as what a room remembers a publisher's id; each service has its own."""
    return publisher, f"{svc}:{id}"


def _not_stored(msg: str, *, passes: bool = True) -> ProtocolError:
    return ProtocolError(
        ErrorCode.RESOURCE_EXHAUSTED,
        msg,
        retry_after_ms=STORE_RETRY_MS if passes else None,
    )


def _nothing(receipt: Receipt) -> None:
    """Tell nobody."""


def _room_at_hand(origin: Origin | None) -> str:
    """Return the name of the room that the message at hand concerns."""
    if origin is None or origin.room is None:
        raise ValueError("no room is named and the message concerns none")
    return origin.room


def _needed(origin: Origin | None, what: str) -> Origin:
    if origin is None:
        raise ValueError(f"{what} means nothing without a message at hand")
    return origin
