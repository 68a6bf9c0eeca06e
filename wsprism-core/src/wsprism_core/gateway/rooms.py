"""Joining and leaving: limits, hooks, presence and what members are told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from wsprism_core.actions import JoinRoom
from wsprism_core.backplane.port import Backplane
from wsprism_core.config import ShadowPolicy, TenantLimits
from wsprism_core.gateway.catalog import Catalog
from wsprism_core.gateway.egress import Egress
from wsprism_core.gateway.hooks import EventHooks
from wsprism_core.gateway.presence import PresenceDesk
from wsprism_core.gateway.recovery import (
    Missed,
    RecoveryBounds,
    Refused,
    judge,
    pulls,
)
from wsprism_core.policy.tenant import Tenant
from wsprism_core.protocol.errors import ProtocolError
from wsprism_core.protocol.layout import ErrorCode
from wsprism_core.realtime.backlog import Pull
from wsprism_core.realtime.channel import Publication, Receipt
from wsprism_core.realtime.clock import Clock
from wsprism_core.realtime.delivery import DeliveryEngine
from wsprism_core.realtime.rooms import Membership, Room, RoomRegistry
from wsprism_core.realtime.session import Session, SessionRegistry

__all__ = ("RoomDesk",)

_LONGEST_REASON: Final = max(Refused, key=len)

#: What a client is told that would go over a limit.
_OVER: Final = {
    "max_rooms_per_user": "you are in as many rooms as you may be",
    "max_rooms_total": "there are as many rooms as there may be",
    "max_users_per_room": "the room is full",
}


class RoomDesk:
    """Where sessions join and leave rooms.

    Args:
        tenants: The tenants, by id.
        sessions: Who is there.
        rooms: Where they are.
        backplane: What carries rooms between gateways.
        delivery: Where messages are posted.
        egress: What performs the actions of hooks.
        hooks: The plugins' event hooks.
        clock: Time.
        presence: Where members are told of each other.
        catalog: How what is recovered travels.
        recovery: How much of it one client may fetch at once.
        max_per_session: Rooms that one session may be in; 0 is no bound.

    Attributes:
        recovery: How much one client may fetch at once.
        max_per_session: Rooms that one session may be in; 0 is no bound.
    """

    def __init__(
        self,
        *,
        tenants: dict[str, Tenant],
        sessions: SessionRegistry,
        rooms: RoomRegistry,
        backplane: Backplane,
        delivery: DeliveryEngine,
        egress: Egress,
        hooks: EventHooks,
        clock: Clock,
        presence: PresenceDesk,
        catalog: Catalog,
        recovery: RecoveryBounds,
        max_per_session: int,
    ) -> None:
        self._tenants = tenants
        self._sessions = sessions
        self._rooms = rooms
        self._backplane = backplane
        self._delivery = delivery
        self._egress = egress
        self._hooks = hooks
        self._clock = clock
        self._presence = presence
        self._catalog = catalog
        self.recovery = recovery
        self.max_per_session = max_per_session
        #: Rooms that a session was taken out of while it had no connection.
        self._untold: dict[Session, list[str]] = {}

    def ask_to_join(
        self,
        session: Session,
        name: str,
        ref: int | None,
        missed: Missed | None = None,
    ) -> None:
        """Join a room as a client that asked for it.

        Args:
            session: The client's.
            name: The room's name.
            ref: The `seq` of what it asked with.
            missed: From where it wants to go on; for a member, what it wants again.

        Raises:
            ProtocolError: Its ticket, a plugin or a limit refuses it.
        """
        membership = session.memberships.get(name)
        if membership is None or membership.quiet:
            if not session.may_enter(name):
                raise ProtocolError(
                    ErrorCode.NOT_ALLOWED, "your ticket is not for this room"
                )
            self._hooks.check_join(session, name)
            if self._sessions.get(session.id) is not session:
                # The check has ended the session; a member that is gone never leaves.
                raise ProtocolError(ErrorCode.NOT_ALLOWED, "the session is over")
            self._check_limits(session, name)
            membership = self._enter(session, name, quiet=False)
            if session.memberships.get(name) is not membership:
                # What a plugin wanted done about the join has ended it.
                raise ProtocolError(ErrorCode.NOT_ALLOWED, "you may not join this room")
            membership.asked = True
            if missed is not None:
                # Where it is refused what it wants, nobody knows that it has heard so.
                channel = membership.room.channel
                is_known = missed.epoch == channel.epoch and missed.seq <= channel.seq
                membership.starts_behind(missed.seq if is_known else 0)
        session.active = membership
        self._tell_joined(membership, ref, missed)

    def join(self, session: Session, wanted: JoinRoom) -> None:
        """Join a room because a service wants it; nothing is asked."""
        membership = session.memberships.get(wanted.room)
        if membership is not None and (wanted.quiet or not membership.quiet):
            return
        before = session.active
        membership = self._enter(session, wanted.room, quiet=wanted.quiet)
        if not wanted.active:
            session.active = before
        if not wanted.quiet:
            self._tell_joined(membership, None)

    def leave(self, session: Session, name: str, ref: int | None = None) -> None:
        """Leave a room; the session is in it.

        One without a connection is told when it comes back.
        """
        membership = session.memberships[name]
        is_away = self._sessions.get(session.id) is not session
        if is_away and not membership.quiet:
            # Noted before: a hook may end the session, and with it what is noted.
            self._untold.setdefault(session, []).append(name)
        self._delivery.let_go(session, membership.room)
        self._exit(membership)
        if not is_away and not membership.quiet:
            self._egress.system(session, "left", room=name, ref=ref)

    def leave_forbidden(self, session: Session) -> None:
        """Leave what the client asked to join and its new ticket is not for."""
        for name, membership in list(session.memberships.items()):
            if _is_forbidden(membership):
                # A hook of the one before may have ended this one.
                if session.memberships.get(name) is membership:
                    self.leave(session, name)

    def leave_all(self, session: Session) -> None:
        """Leave every room because the session ends; nothing is told to it."""
        self._untold.pop(session, None)
        for membership in list(session.memberships.values()):
            self._exit(membership)

    def detach(self, session: Session) -> None:
        """Send a session nothing more; it keeps its rooms."""
        for membership in session.memberships.values():
            membership.room.detach(session)

    def attach(
        self, session: Session
    ) -> tuple[list[dict[str, Any]], list[tuple[Room, Sequence[Pull]]]]:
        """Send a session again what its rooms have, but for those it has to leave.

        Returns:
            What it is told of each room, and what it missed of those where that can be
            had.
        """
        told, replays = [], []
        for membership in session.memberships.values():
            if _is_forbidden(membership):
                continue
            room = membership.room
            room.attach(session)
            if membership.quiet:
                continue
            missed = Missed(room.channel.epoch, membership.proven)
            refused = self._recovery_refused(session, room, missed)
            if refused is None and missed.seq < room.channel.seq:
                replays.append((room, pulls(room, missed, self._catalog)))
            membership.came_back(missed.seq if refused is None else room.channel.seq)
            told.append(_row(membership, refused))
        return told, replays

    def longest_rows(self, session: Session) -> list[dict[str, Any]]:
        """Return the most that `attach` may have to tell a session."""
        return [
            _row(membership, _LONGEST_REASON)
            for membership in session.memberships.values()
            if not membership.quiet
        ]

    def tell_left(self, session: Session) -> None:
        """Tell a session that is back which rooms it was taken out of meanwhile."""
        for name in self._untold.pop(session, ()):
            self._egress.system(session, "left", room=name)

    def tell_members_again(self, session: Session) -> None:
        """Tell a session that is back who is in its rooms, where it may not know."""
        self._presence.tell_again(session)

    def _enter(self, session: Session, name: str, *, quiet: bool) -> Membership:
        existing = session.memberships.get(name)
        if existing is not None:
            existing.room.remove(existing)
        room = self._rooms.get(session.tenant, name)
        if room is None:
            room = self._rooms.create(session.tenant, name)
            subscriber = _RoomSubscriber(room, self._egress, self._presence.changed)
            room.channel = self._backplane.open(session.tenant, name, subscriber)
        membership = room.add(session, quiet=quiet)
        if not quiet:
            self._hooks.on_join(session, name)
        return membership

    def _exit(self, membership: Membership) -> None:
        room = membership.room
        room.remove(membership)
        if not membership.quiet:
            self._hooks.on_leave(membership.session, room.name)
        # A hook may have made somebody a member again.
        if room.is_empty and self._rooms.get(room.tenant, room.name) is room:
            self._rooms.remove(room)
            room.channel.close()
            # The channel knows the room; apart, both are freed without the collector.
            del room.channel

    def _check_limits(self, session: Session, name: str) -> None:
        tenant = self._tenants.get(session.tenant)
        if tenant is None:
            # The session ends in a moment.
            raise ProtocolError(ErrorCode.NOT_ALLOWED, "the tenant was removed")
        mine, most = session.memberships, self.max_per_session
        if most and len(mine) >= most and name not in mine:
            text = _OVER["max_rooms_per_user"]
            raise ProtocolError(ErrorCode.RESOURCE_EXHAUSTED, text)
        rule = self._over(session, name, tenant.limits)
        if rule is not None:
            raise ProtocolError(ErrorCode.RESOURCE_EXHAUSTED, _OVER[rule])
        if tenant.shadow is not None:
            rule = self._over(session, name, tenant.shadow.limits)
            if rule is not None:
                tenant.shadow.count(rule)

    def _over(
        self, session: Session, name: str, limits: TenantLimits | ShadowPolicy
    ) -> str | None:
        """Return the limit that a join would go over, None where there is none."""
        room = self._rooms.get(session.tenant, name)
        if limits.max_rooms_per_user:
            joined = {
                other
                for one in self._sessions.of_user(session.tenant, session.user)
                for other in one.rooms
            }
            if name not in joined and len(joined) >= limits.max_rooms_per_user:
                return "max_rooms_per_user"
        if room is None:
            total = self._rooms.in_tenant(session.tenant)
            if limits.max_rooms_total and total >= limits.max_rooms_total:
                return "max_rooms_total"
        elif limits.max_users_per_room and not room.has_user(session.user):
            if room.users >= limits.max_users_per_room:
                return "max_users_per_room"
        return None

    def _tell_joined(
        self, membership: Membership, ref: int | None, missed: Missed | None = None
    ) -> None:
        room, session = membership.room, membership.session
        data: dict[str, Any] = {
            "alias": room.alias,
            "epoch": room.channel.epoch,
            "seq": room.channel.seq,
            "n": membership.n,
            "members": room.first_members(),
            "count": len(room.channel.members()),
            "version": room.version,
        }
        replay: Sequence[Pull] = ()
        if missed is not None:
            refused = self._recovery_refused(session, room, missed)
            data["recovered"] = refused is None
            if refused is None:
                replay = pulls(room, missed, self._catalog)
                membership.starts_behind(missed.seq)
                # What was live until now is no part of what follows the answer.
                self._delivery.send_now(session)
            else:
                data["reason"] = str(refused)
        self._egress.system(session, "joined", data, room=room.name, ref=ref)
        if replay:
            self._delivery.fetch_again(session, room, replay)

    def _recovery_refused(
        self, session: Session, room: Room, missed: Missed
    ) -> Refused | None:
        if not self._catalog.recoverable_lanes:
            return Refused.NOT_RECOVERABLE
        return judge(
            room.channel, missed, self.recovery, partial(self._spend_fetch, session)
        )

    def _spend_fetch(self, session: Session, messages: int) -> bool:
        """Take from what a user may fetch, and say whether there was as much.

        Whoever asks for the same again and again costs much for a few bytes.
        """
        tenant = self._tenants.get(session.tenant)
        if tenant is None:
            # The session ends in a moment.
            return False
        most, now = max(1, self.recovery.messages), self._clock.now()
        return tenant.spend_fetch(session.user, messages, most, now)


def _is_forbidden(membership: Membership) -> bool:
    """Whether its client asked for it, and the ticket is not for the room any more."""
    return membership.asked and not membership.session.may_enter(membership.room.name)


def _row(membership: Membership, refused: Refused | None) -> dict[str, Any]:
    """Return what a session that is back is told of one of its rooms."""
    room = membership.room
    row: dict[str, Any] = {
        "room": room.name,
        "alias": room.alias,
        "epoch": room.channel.epoch,
        "seq": room.channel.seq,
        "n": membership.n,
        "recovered": refused is None,
    }
    if refused is not None:
        row["reason"] = str(refused)
    return row


class _RoomSubscriber:
    """The gateway's side of a room's channel."""

    __slots__ = ("_changed", "_room", "check", "published")

    def __init__(
        self, room: Room, egress: Egress, changed: Callable[[Room], None]
    ) -> None:
        self._room = room
        self._changed = changed
        self.check: Callable[[Publication], None] = partial(egress.check, room)
        self.published: Callable[[Publication, Receipt], None] = partial(
            egress.deliver, room
        )

    def entered(self, n: int, user: str) -> None:
        self._room.entered(n, user)
        self._changed(self._room)

    def exited(self, n: int) -> None:
        self._room.exited(n)
        self._changed(self._room)
