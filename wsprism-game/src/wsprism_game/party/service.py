"""The rules of parties: state in, actions out.

A user is in at most one party. A party has at least one member, one of them leads, and
its version grows by one with each change. An invite is good, and a member without a
connection keeps its place, until `expire` ends them: what members were shown holds.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from typing import Any

from wsprism_core import (
    Ack,
    Action,
    Envelope,
    ErrorCode,
    JoinRoom,
    LeaveRoom,
    ProtocolError,
    Push,
)
from wsprism_game.party.config import PartyConfig
from wsprism_game.party.state import ROOM_PREFIX, Invite, Party

__all__ = ("PartyService",)


class PartyService:
    """The parties of one tenant.

    Every method that takes `now` wants seconds on a clock that never goes back. What a
    user asks for either happens whole or raises `ProtocolError` and changes nothing.

    Args:
        config: Sizes and times.
        new_id: Returns an id that no party has had.
    """

    def __init__(self, config: PartyConfig, new_id: Callable[[], str]) -> None:
        self._config = config
        self._new_id = new_id
        self._parties: dict[str, Party] = {}
        #: The party of each user who is in one.
        self._party_of: dict[str, Party] = {}
        #: Open invites by invited user, then by party.
        self._invited: dict[str, dict[str, Invite]] = {}
        #: Each user's sessions, and whether the connection is up.
        self._sessions: dict[str, dict[str, bool]] = {}
        # One time to live for all and a clock that never goes back: the order in which
        # they were put in is the order in which they end.
        self._invites: OrderedDict[tuple[str, str], Invite] = OrderedDict()
        #: Members without a connection, and when their grace ends.
        self._away: OrderedDict[str, float] = OrderedDict()

    # ------------------------------------------------------------------ questions

    def of(self, user: str, now: float) -> dict[str, Any] | None:
        """Return the state of a user's party, or None without one."""
        party = self._party_of.get(user)
        return None if party is None else self._state(party, now)

    def may_join(self, user: str, room: str) -> bool | None:
        """Say whether a user may join a room.

        Returns:
            False for a room of a party that the user is not in; else None, for the room
            is none of ours or another plugin may still refuse.
        """
        if not room.startswith(ROOM_PREFIX):
            return None
        party = self._party_of.get(user)
        return None if party is not None and party.room == room else False

    # ---------------------------------------------------------------- connections

    def connected(
        self, user: str, session: str, rooms: Collection[str], now: float
    ) -> list[Action]:
        """Note a session whose connection is up, for the first time or again.

        Args:
            user: Whose it is.
            session: The session's id.
            rooms: The rooms that it is in already.
            now: The time.
        """
        self._sessions.setdefault(user, {})[session] = True
        actions: list[Action] = [
            _invited(invite, now, session=session)
            for invite in self._invited.get(user, {}).values()
        ]
        party = self._party_of.get(user)
        if party is None:
            return actions
        if party.room not in rooms:
            actions.append(JoinRoom(session, party.room, active=False))
        if self._away.pop(user, None) is not None:
            actions += self._changed(party, now)
        else:
            state, key = self._state(party, now), _key(party, user)
            actions.append(Push("state", state, session=session, key=key))
        return actions

    def detached(self, user: str, session: str, now: float) -> list[Action]:
        """Note a session whose connection dropped and that may come back."""
        self._sessions[user][session] = False
        return self._perhaps_away(user, now)

    def closed(self, user: str, session: str, now: float) -> list[Action]:
        """Note a session that is over."""
        sessions = self._sessions[user]
        del sessions[session]
        if not sessions:
            del self._sessions[user]
        return self._perhaps_away(user, now)

    def expire(self, now: float) -> list[Action]:
        """End the invites and the graces whose time is over, the oldest first."""
        actions: list[Action] = []
        while self._invites:
            invite = next(iter(self._invites.values()))
            if invite.ends > now:
                break
            party = self._parties[invite.party]
            actions += self._withdraw(party, invite.user, "expired")
            actions += self._changed(party, now)
        while self._away:
            user, ends = next(iter(self._away.items()))
            if ends > now:
                break
            actions += self._remove(self._party_of[user], user, "away", now)
        return actions

    # ------------------------------------------------------------------- messages

    def handle(self, user: str, message: Envelope, now: float) -> list[Action]:
        """Do what a message asks for.

        Args:
            user: The sender.
            message: One of the inbound types, its `data` as the manifest says.
            now: The time.

        Raises:
            ProtocolError: It is refused, and nothing changed.
        """
        data = message.data
        match message.type:
            case "create":
                return self.create(user, (data or {}).get("max_size"), now)
            case "invite":
                return self.invite(user, data["user"], now)
            case "accept":
                return self.accept(user, data["party"], now)
            case "decline":
                return self.decline(user, data["party"], now)
            case "leave":
                return self.leave(user, now)
            case "kick":
                return self.kick(user, data["user"], now)
            case "promote":
                return self.promote(user, data["user"], now)
            case other:
                raise ProtocolError(ErrorCode.BAD_REQUEST, f"no type {other!r}")

    def create(self, user: str, max_size: int | None, now: float) -> list[Action]:
        """Make a party of one.

        Args:
            user: Who will lead it.
            max_size: The most members; None is the configured size.
            now: The time.

        Raises:
            ProtocolError: `CONFLICT` in a party already, `BAD_REQUEST` too large.
        """
        self._refuse_member(user)
        largest = self._config.max_size
        if max_size is None:
            max_size = min(self._config.default_size, largest)
        elif max_size > largest:
            raise ProtocolError(
                ErrorCode.BAD_REQUEST, f"a party has at most {largest} members"
            )
        party = Party(self._new_id(), leader=user, max_size=max_size)
        self._parties[party.id] = party
        actions = self._add(party, user)
        return [*actions, *self._changed(party, now), _ack(party)]

    def invite(self, user: str, invitee: str, now: float) -> list[Action]:
        """Invite somebody; any member may, and nobody need be connected.

        Raises:
            ProtocolError: `NOT_FOUND` in no party, `CONFLICT` a member or invited
                already, `RESOURCE_EXHAUSTED` full or too many invites.
        """
        party = self._own(user)
        if invitee in party.members:
            raise ProtocolError(ErrorCode.CONFLICT, "a member of the party already")
        if invitee in party.invites:
            raise ProtocolError(ErrorCode.CONFLICT, "invited already")
        _refuse_full(party)
        waiting = self._invited.get(invitee, {})
        if max(len(party.invites), len(waiting)) >= self._config.max_invites:
            raise ProtocolError(ErrorCode.RESOURCE_EXHAUSTED, "too many open invites")
        ends = now + self._config.invite_ttl_ms / 1000
        invite = Invite(party.id, invitee, sender=user, ends=ends)
        party.invites[invitee] = invite
        self._invited.setdefault(invitee, {})[party.id] = invite
        self._invites[party.id, invitee] = invite
        return [
            _invited(invite, now, user=invitee),
            *self._changed(party, now),
            _ack(party),
        ]

    def accept(self, user: str, party_id: str, now: float) -> list[Action]:
        """Follow an invite.

        Raises:
            ProtocolError: `NOT_FOUND` no such invite, `CONFLICT` in a party already,
                `RESOURCE_EXHAUSTED` full; the invite stays open.
        """
        party = self._inviting(user, party_id)
        self._refuse_member(user)
        _refuse_full(party)
        return [
            *self._withdraw(party, user, "accepted"),
            *self._add(party, user),
            *self._changed(party, now),
            _ack(party),
        ]

    def decline(self, user: str, party_id: str, now: float) -> list[Action]:
        """Turn an invite down.

        Raises:
            ProtocolError: `NOT_FOUND` no such invite.
        """
        party = self._inviting(user, party_id)
        # The version is the party's own business: this user is not in it.
        return [
            *self._withdraw(party, user, "declined"),
            *self._changed(party, now),
            Ack({"party": party.id}),
        ]

    def leave(self, user: str, now: float) -> list[Action]:
        """Leave the party; the last to leave ends it.

        Raises:
            ProtocolError: `NOT_FOUND` in no party.
        """
        party = self._own(user)
        actions = self._remove(party, user, "left", now)
        return [*actions, Ack({"party": party.id})]

    def kick(self, user: str, member: str, now: float) -> list[Action]:
        """Remove another member; for the leader.

        Raises:
            ProtocolError: `NOT_FOUND` in no party or no such member, `NOT_ALLOWED` not
                the leader, `BAD_REQUEST` the leader itself.
        """
        party = self._led(user, member)
        if member == user:
            raise ProtocolError(ErrorCode.BAD_REQUEST, "the way out is party.leave")
        return [*self._remove(party, member, "kicked", now), _ack(party)]

    def promote(self, user: str, member: str, now: float) -> list[Action]:
        """Make another member the leader; for the leader.

        Raises:
            ProtocolError: `NOT_FOUND` in no party or no such member, `NOT_ALLOWED` not
                the leader, `CONFLICT` the leader itself.
        """
        party = self._led(user, member)
        if member == user:
            raise ProtocolError(ErrorCode.CONFLICT, "the leader already")
        party.leader = member
        return [*self._changed(party, now), _ack(party)]

    # --------------------------------------------------------------------- checks

    def _own(self, user: str) -> Party:
        party = self._party_of.get(user)
        if party is None:
            raise ProtocolError(ErrorCode.NOT_FOUND, "you are in no party")
        return party

    def _led(self, user: str, member: str) -> Party:
        party = self._own(user)
        if party.leader != user:
            raise ProtocolError(ErrorCode.NOT_ALLOWED, "only the leader may")
        if member not in party.members:
            raise ProtocolError(ErrorCode.NOT_FOUND, "no such member")
        return party

    def _inviting(self, user: str, party_id: str) -> Party:
        # A party that does not exist and one that did not invite look the same.
        if party_id not in self._invited.get(user, {}):
            raise ProtocolError(ErrorCode.NOT_FOUND, "no such invite")
        return self._parties[party_id]

    def _refuse_member(self, user: str) -> None:
        if user in self._party_of:
            raise ProtocolError(ErrorCode.CONFLICT, "you are in a party already")

    # -------------------------------------------------------------------- changes

    def _add(self, party: Party, user: str) -> list[Action]:
        party.enter(user)
        self._party_of[user] = party
        return [
            JoinRoom(session, party.room, active=False)
            for session in self._sessions.get(user, {})
        ]

    def _remove(self, party: Party, user: str, reason: str, now: float) -> list[Action]:
        party.exit(user)
        del self._party_of[user]
        self._away.pop(user, None)
        actions: list[Action] = [
            LeaveRoom(session, party.room) for session in self._sessions.get(user, {})
        ]
        told = {"party": party.id, "reason": reason}
        actions.append(Push("left", told, user=user))
        if party.members:
            return actions + self._changed(party, now)
        for invitee in list(party.invites):
            actions += self._withdraw(party, invitee, "ended")
        del self._parties[party.id]
        return actions

    def _withdraw(self, party: Party, user: str, reason: str) -> list[Action]:
        del party.invites[user]
        del self._invites[party.id, user]
        waiting = self._invited[user]
        del waiting[party.id]
        if not waiting:
            del self._invited[user]
        return [Push("invite_gone", {"party": party.id, "reason": reason}, user=user)]

    def _perhaps_away(self, user: str, now: float) -> list[Action]:
        party = self._party_of.get(user)
        up = any(self._sessions.get(user, {}).values())
        if party is None or up or user in self._away:
            return []
        self._away[user] = now + self._config.away_grace_ms / 1000
        return self._changed(party, now)

    def _changed(self, party: Party, now: float) -> list[Action]:
        party.version += 1
        return list(self._tell(party, self._state(party, now)))

    def _tell(self, party: Party, state: dict[str, Any]) -> Iterator[Action]:
        for user in party.members:
            if user not in self._away:
                yield Push("state", state, user=user, key=_key(party, user))

    def _state(self, party: Party, now: float) -> dict[str, Any]:
        return {
            "id": party.id,
            "version": party.version,
            "leader": party.leader,
            "members": [
                {"user": user, "status": "away" if user in self._away else "online"}
                for user in party.members
            ],
            "invites": [
                {
                    "user": invite.user,
                    "from": invite.sender,
                    "expires_ms": invite.left_ms(now),
                }
                for invite in party.invites.values()
            ],
            "max_size": party.max_size,
        }


def _key(party: Party, user: str) -> str:
    # The newest state of one membership is enough. Whoever leaves and comes back has a
    # new key, so that his new state does not overtake the `left` that still waits.
    return f"{party.id}:{party.members[user]}"


def _ack(party: Party) -> Ack:
    return Ack({"party": party.id, "version": party.version})


def _invited(
    invite: Invite, now: float, *, user: str | None = None, session: str | None = None
) -> Push:
    told = {
        "party": invite.party,
        "from": invite.sender,
        "expires_ms": invite.left_ms(now),
    }
    return Push("invited", told, user=user, session=session)


def _refuse_full(party: Party) -> None:
    if party.full:
        raise ProtocolError(ErrorCode.RESOURCE_EXHAUSTED, "the party is full")
