"""What the party service says on the wire."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field

# pydantic reads no TypedDict of `typing` before Python 3.12.
from typing_extensions import TypedDict

from wsprism_core import Delivery, Inbound, Outbound, RoomRule, Service
from wsprism_game.party.config import LARGEST_PARTY, PartyConfig

__all__ = (
    "Create",
    "Gone",
    "InviteState",
    "Invited",
    "MemberState",
    "PartyName",
    "PartyState",
    "UserName",
    "manifest",
)


class Create(TypedDict):
    """`data` of `create`."""

    max_size: NotRequired[Annotated[int, Field(ge=2, le=LARGEST_PARTY)]]


class UserName(TypedDict):
    """`data` of `invite`, `kick` and `promote`."""

    user: Annotated[str, Field(min_length=1, max_length=256)]


class PartyName(TypedDict):
    """`data` of `accept` and `decline`."""

    party: Annotated[str, Field(min_length=1, max_length=64)]


class MemberState(TypedDict):
    """A member; `away` is one without a connection."""

    user: str
    status: Literal["online", "away"]


#: An open invite; `expires_ms` is how long it was good when this was sent.
InviteState = TypedDict("InviteState", {"user": str, "from": str, "expires_ms": int})


class PartyState(TypedDict):
    """`data` of `state`: all there is to know of a party."""

    id: str
    version: int
    leader: str
    members: list[MemberState]
    invites: list[InviteState]
    max_size: int


#: `data` of `invited`; `expires_ms` is how long it was good when this was sent.
Invited = TypedDict("Invited", {"party": str, "from": str, "expires_ms": int})


class Gone(TypedDict):
    """`data` of `invite_gone` and `left`."""

    party: str
    reason: str


def manifest(of: Callable[[str, str], dict[str, Any] | None]) -> Service:
    """Return what the service declares.

    Args:
        of: Returns the state of a user's party, by tenant and user; offered to other
            services.
    """
    return Service(
        name="party",
        svc_id=3,
        summary="Groups of users that stay together across rooms",
        inbound=(
            _verb("create", Create | None, "Make a party and lead it"),
            _verb("invite", UserName, "Invite a user to one's party"),
            _verb("accept", PartyName, "Follow an invite"),
            _verb("decline", PartyName, "Turn an invite down"),
            _verb("leave", None, "Leave one's party"),
            _verb("kick", UserName, "Remove a member; for the leader"),
            _verb("promote", UserName, "Hand the lead over; for the leader"),
        ),
        outbound=(
            Outbound(
                name="state",
                summary="The whole party, to its members after each change",
                schema=PartyState,
                delivery=Delivery.LATEST,
            ),
            Outbound(name="left", summary="No member any more", schema=Gone),
            Outbound(name="invited", summary="An invite to a party", schema=Invited),
            Outbound(name="invite_gone", summary="An invite is over", schema=Gone),
        ),
        config=PartyConfig,
        offers={"of": of},
    )


def _verb(name: str, schema: Any, summary: str) -> Inbound:
    return Inbound(name=name, summary=summary, schema=schema, room=RoomRule.NONE)
