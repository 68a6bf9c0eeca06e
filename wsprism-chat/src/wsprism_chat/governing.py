"""Who rules a room, and what he does there."""

from __future__ import annotations

from typing import Final, Literal

from wsprism_chat.log import RoomLogs
from wsprism_chat.messages import (
    Create,
    RoomRules,
    Sanction,
    Sanctioned,
    Slow,
    UserName,
)
from wsprism_chat.moderation import Moderation
from wsprism_chat.owned import OwnedRooms, Role
from wsprism_chat.refusals import not_found
from wsprism_chat.roles import Roles
from wsprism_chat.signals import Signals
from wsprism_chat.surroundings import Surroundings
from wsprism_core import Action, Actions, Broadcast, LeaveRoom, Push, Reply, Session

__all__ = ("Governing",)

_ROLE_NAMES: Final[dict[Role, Literal["owner", "moderator", "member"]]] = {
    Role.OWNER: "owner",
    Role.MODERATOR: "moderator",
    Role.MEMBER: "member",
}


class Governing:
    """What owners and moderators do in the rooms of one tenant.

    Args:
        around: The gateway.
        owned: The rooms that have rules.
        roles: Who has which role.
        moderation: Who may speak, and be there.
        signals: What is said beside words, which a mute ends.
        logs: What has become of the rooms' messages.
    """

    def __init__(
        self,
        around: Surroundings,
        *,
        owned: OwnedRooms,
        roles: Roles,
        moderation: Moderation,
        signals: Signals,
        logs: RoomLogs,
    ) -> None:
        self._around = around
        self._owned = owned
        self._roles = roles
        self._moderation = moderation
        self._signals = signals
        self._logs = logs

    # ------------------------------------------------------------- who rules the room

    def create(self, session: Session, room: str, data: Create | None) -> None:
        """Own a room that one is alone in."""
        user, now = session.user, self._around.now()
        alone = all(one.user == user for one in self._around.members(room))
        self._roles.create(user, room, data, alone=alone, now=now)

    def close(self, session: Session, room: str, data: None) -> None:
        """Own a room no longer; what was said among the invited nobody else reads."""
        user, owned = session.user, self._owned.get(room)
        self._roles.check_owner(user, room)
        if owned is not None and owned.invite_only:
            # Before the room is open, so that it is so whenever the gateway ends.
            self._around.forget_history(room)
            self._logs.forget(room)
        self._roles.close(user, room)

    def rules(self, session: Session, room: str, data: None) -> Reply:
        """Answer with who rules the room, and how."""
        user, owned = session.user, self._owned.get(room)
        told: RoomRules = {
            "owner": None if owned is None else owned.owner,
            "moderators": [] if owned is None else list(owned.moderators),
            "role": _ROLE_NAMES[self._roles.of(user, room)],
            "invite_only": owned is not None and owned.invite_only,
            "slow_ms": 0 if owned is None else owned.slow_ms,
            "muted": owned is not None and owned.is_muted(user, self._around.wall_ms()),
        }
        return Reply("rules", told, room=room)

    def invite(self, session: Session, room: str, data: UserName) -> Actions:
        """Let a user join, and tell him where he is connected."""
        guest = data["user"]
        if not self._roles.invite(session.user, room, guest):
            return None
        return Push("invited", {"room": room, "by": session.user}, user=guest)

    def uninvite(self, session: Session, room: str, data: UserName) -> None:
        """Take an invite back."""
        self._roles.uninvite(session.user, room, data["user"])

    def promote(self, session: Session, room: str, data: UserName) -> Broadcast:
        """Name a moderator."""
        self._roles.promote(session.user, room, data["user"])
        return self._role_of(data["user"], room)

    def demote(self, session: Session, room: str, data: UserName) -> Broadcast:
        """Make a moderator a member."""
        self._roles.demote(session.user, room, data["user"])
        return self._role_of(data["user"], room)

    def hand_over(self, session: Session, room: str, data: UserName) -> list[Action]:
        """Make another member the owner."""
        by, other = session.user, data["user"]
        present = any(one.user == other for one in self._around.members(room))
        self._roles.hand_over(by, room, other, present=present)
        return [self._role_of(user, room) for user in (other, by)]

    # ------------------------------------------------------------------- moderation

    def mute(self, session: Session, room: str, data: Sanction) -> list[Action]:
        """Let a user speak no more."""
        by, user, now_ms = session.user, data["user"], self._around.wall_ms()
        until = self._moderation.mute(by, room, user, data.get("for_s"), now_ms)
        told = _sanctioned(user, by, until)
        return [
            Broadcast("muted", told, room=room),
            *self._signals.stops_typing(user, room),
        ]

    def unmute(self, session: Session, room: str, data: UserName) -> Broadcast:
        """Let a user speak again."""
        by, user = session.user, data["user"]
        self._moderation.unmute(by, room, user, self._around.wall_ms())
        return Broadcast("unmuted", {"user": user, "by": by}, room=room)

    def ban(self, session: Session, room: str, data: Sanction) -> list[Action]:
        """Keep a user out of the room."""
        by, user, now_ms = session.user, data["user"], self._around.wall_ms()
        until = self._moderation.ban(by, room, user, data.get("for_s"), now_ms)
        told = Broadcast("banned", _sanctioned(user, by, until), room=room)
        return [*self._removed(user, room, by), told]

    def unban(self, session: Session, room: str, data: UserName) -> Broadcast:
        """Let a user join again."""
        by, user = session.user, data["user"]
        self._moderation.unban(by, room, user, self._around.wall_ms())
        return Broadcast("unbanned", {"user": user, "by": by}, room=room)

    def kick(self, session: Session, room: str, data: UserName) -> list[Action]:
        """End a user's membership; he may come again.

        Raises:
            ProtocolError: `NOT_FOUND`, he is not in the room.
        """
        by, user = session.user, data["user"]
        self._moderation.check_over(by, room, user)
        removed = self._removed(user, room, by)
        if not removed:
            raise not_found("the user is not in the room")
        return [*removed, Broadcast("kicked", {"user": user, "by": by}, room=room)]

    def slow(self, session: Session, room: str, data: Slow) -> Broadcast:
        """Set how slow the room is."""
        self._moderation.slow(session.user, room, data["ms"])
        return Broadcast("slowed", {"ms": data["ms"]}, room=room)

    # ---------------------------------------------------------------------- the parts

    def _role_of(self, user: str, room: str) -> Broadcast:
        role = _ROLE_NAMES[self._roles.of(user, room)]
        return Broadcast("role", {"user": user, "role": role}, room=room)

    def _removed(self, user: str, room: str, by: str) -> list[Action]:
        """Take a user's sessions out of a room, and tell them why.

        Those too that have no connection for now: else they would come back to it.
        """
        actions: list[Action] = []
        for one in self._around.members(room):
            if one.user == user:
                # He is told nothing of the room any more, so it is told apart from it.
                told = {"user": user, "by": by, "room": room}
                actions += [
                    LeaveRoom(one.session, room),
                    Push("kicked", told, session=one.session),
                ]
        return actions


def _sanctioned(user: str, by: str, until: int | None) -> Sanctioned:
    told: Sanctioned = {"user": user, "by": by}
    if until is not None:
        told["until_ms"] = until
    return told
