"""What operators may do: publish, broadcast and kick.

Messages go out in the name of a service and are of a type that it declares, so that
lane, delivery and numbers are those of its own messages. What they carry is not looked
into, and never logged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from wsprism_core.actions import Broadcast, Kick, Push
from wsprism_core.gateway.boundary import Perform, Publish
from wsprism_core.policy.tenant import Tenant
from wsprism_core.protocol.errors import ProtocolError, WsPrismError
from wsprism_core.protocol.layout import ROOM_NAME, CloseCode, ErrorCode
from wsprism_core.realtime.channel import Receipt
from wsprism_core.realtime.rooms import RoomRegistry
from wsprism_core.realtime.session import SessionRegistry

__all__ = (
    "BroadcastRequest",
    "KickRequest",
    "Kicked",
    "Name",
    "Operator",
    "OperatorError",
    "OperatorRequest",
    "PublishRequest",
    "Published",
    "Sent",
)

#: The most users that one request names.
MAX_USERS: Final = 1000
#: The most characters of the reason for a kick; a close frame has 123 bytes for it.
MAX_REASON: Final = 120

#: What a user, a tenant, a service or a type is called.
Name = Annotated[str, Field(min_length=1, max_length=256)]
RoomName = Annotated[
    str, Field(pattern=f"^{ROOM_NAME.pattern.removesuffix(chr(92) + 'Z')}$")
]


class OperatorError(WsPrismError, ValueError):
    """What is wanted cannot be done as it is asked for."""


class OperatorRequest(BaseModel):
    """What is posted to the admin listener: whole, and nothing besides."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Message(OperatorRequest):
    """What every message needs."""

    tenant: Name | None = Field(
        None, description="May be left out where the gateway has exactly one."
    )
    svc: Name = Field(description="The service in whose name it is sent.")
    type: Name = Field(description="One of the types that the service pushes.")
    data: Any = Field(None, description="Any JSON value; null leaves it out.")
    key: Name | None = Field(
        None, description="What it replaces, for a type delivered as latest."
    )


class PublishRequest(_Message):
    """A message to the members of a room, to a user, or to several users."""

    room: RoomName | None = None
    user: Name | None = None
    users: Annotated[list[Name], Field(min_length=1, max_length=MAX_USERS)] | None = (
        None
    )
    id: Name | None = Field(
        None,
        description="The publisher's own id: a retry with the same is not sent again. "
        "For rooms only.",
    )

    @model_validator(mode="after")
    def _has_one_target(self) -> PublishRequest:
        if [self.room, self.user, self.users].count(None) != 2:
            raise ValueError("exactly one of room, user and users must be given")
        if self.id is not None and self.room is None:
            raise ValueError("id is for rooms: a user's messages are not remembered")
        return self


class BroadcastRequest(_Message):
    """A message to every session of a tenant."""


class KickRequest(OperatorRequest):
    """Which sessions are closed, and what they are told."""

    sid: Name | None = Field(None, description="A session; then no tenant is needed.")
    tenant: Name | None = Field(
        None, description="May be left out where the gateway has exactly one."
    )
    user: Name | None = Field(None, description="Every session of the user.")
    reason: Annotated[str, Field(min_length=1, max_length=MAX_REASON)] = (
        "kicked by an operator"
    )
    reconnect: bool = Field(
        False, description="Whether the client may come back at once: 4005, else 4502."
    )
    code: Literal[4005, 4501, 4502] | None = Field(
        None, description="4501 says that the user is banned."
    )

    @model_validator(mode="after")
    def _is_clear(self) -> KickRequest:
        if (self.sid is None) == (self.user is None):
            raise ValueError("exactly one of sid and user must be given")
        if self.sid is not None and self.tenant is not None:
            raise ValueError("a session is of one tenant: leave tenant out")
        if self.reconnect and self.code not in (None, CloseCode.KICKED_MAY_RETURN):
            raise ValueError(f"code {self.code} tells clients not to come back")
        return self

    @property
    def close_code(self) -> CloseCode:
        """The code of the close."""
        if self.code is not None:
            return CloseCode(self.code)
        return CloseCode.KICKED_MAY_RETURN if self.reconnect else CloseCode.KICKED


@dataclass(frozen=True, slots=True)
class Published:
    """What became of a message to a room or to users.

    Args:
        delivered: To how many sessions of this gateway it was posted.
        seq: The number that it got in its room; null where its type gets none.
        ts: Server time in milliseconds since 1970, with `seq`.
    """

    delivered: int
    seq: int | None = None
    ts: int | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a message to everybody.

    Args:
        delivered: To how many sessions of this gateway it was posted.
    """

    delivered: int


@dataclass(frozen=True, slots=True)
class Kicked:
    """How many sessions were closed.

    Args:
        kicked: The sessions; 0 where there was none such.
    """

    kicked: int


class Operator:
    """Does what operators want.

    Args:
        tenants: The tenants, by id.
        services: The names of the services.
        sessions: Who is there.
        rooms: Where they are.
        perform: Does what is wanted.
        publish: Publishes to a room.
    """

    def __init__(
        self,
        *,
        tenants: Mapping[str, Tenant],
        services: Sequence[str],
        sessions: SessionRegistry,
        rooms: RoomRegistry,
        perform: Perform,
        publish: Publish,
    ) -> None:
        self._tenants = tenants
        self._services = services
        self._sessions = sessions
        self._rooms = rooms
        self._perform = perform
        self._publish = publish

    def publish(
        self,
        wanted: PublishRequest,
        done: Callable[[Published | ProtocolError], None],
    ) -> None:
        """Send a message to a room or to users.

        Args:
            wanted: Which, and to whom.
            done: Called once a room has numbered it, or could not store it so that
                nobody got it; now or in a later turn.

        Raises:
            OperatorError: There is no such tenant or service.
            ProtocolError: Too much waits to be stored; nobody got it.
            ValueError: The service sends no such type, or the message is too large.
        """
        tenant = self._tenant(wanted.tenant)
        self._check_service(wanted.svc)
        if wanted.room is not None:
            self._publish_to_room(wanted, wanted.room, tenant, done)
            return
        # Each once, however often he is named.
        users = dict.fromkeys(wanted.users or [wanted.user or ""])
        pushes = [
            Push(wanted.type, wanted.data, user=user, key=wanted.key) for user in users
        ]
        delivered = sum(len(self._sessions.of_user(tenant, user)) for user in users)
        self._perform(pushes, wanted.svc, tenant)
        done(Published(delivered))

    def broadcast(self, wanted: BroadcastRequest) -> Sent:
        """Send a message to every session of a tenant.

        Raises:
            OperatorError: There is no such tenant or service.
            ValueError: The service sends no such type, or the message is too large.
        """
        tenant = self._tenant(wanted.tenant)
        self._check_service(wanted.svc)
        delivered = self._sessions.in_tenant(tenant)
        push = Push(wanted.type, wanted.data, key=wanted.key, everyone=True)
        self._perform(push, wanted.svc, tenant)
        return Sent(delivered)

    def kick(self, wanted: KickRequest) -> Kicked:
        """Close a session, or all of a user's.

        Raises:
            OperatorError: There is no such tenant.
        """
        if wanted.sid is not None:
            session = self._sessions.get(wanted.sid)
            if session is None:
                return Kicked(0)
            tenant, count = session.tenant, 1
        else:
            tenant = self._tenant(wanted.tenant)
            count = len(self._sessions.of_user(tenant, wanted.user or ""))
        action = Kick(wanted.reason, wanted.sid, wanted.user, wanted.close_code)
        self._perform(action, "sys", tenant)
        return Kicked(count)

    def _publish_to_room(
        self,
        wanted: PublishRequest,
        name: str,
        tenant: str,
        done: Callable[[Published | ProtocolError], None],
    ) -> None:
        room = self._rooms.get(tenant, name)
        before = 0 if room is None else room.published
        audience = 0 if room is None else sum(map(len, room.audience.values()))

        def numbered(receipt: Receipt) -> None:
            if not receipt.stored:
                text = "the message could not be stored, and nobody got it"
                done(ProtocolError(ErrorCode.RESOURCE_EXHAUSTED, text))
                return
            # A retry that the room remembers is sent to nobody.
            is_sent = room is not None and room.published > before
            done(Published(audience if is_sent else 0, receipt.seq, receipt.ts))

        action = Broadcast(
            wanted.type, wanted.data, name, key=wanted.key, dedup=wanted.id
        )
        self._publish(action, wanted.svc, tenant, numbered)

    def _tenant(self, id: str | None) -> str:
        """Return the tenant that is meant.

        Raises:
            OperatorError: There is none such, or nobody can tell which is meant.
        """
        known = ", ".join(self._tenants)
        if id is None:
            if len(self._tenants) > 1:
                raise OperatorError(f"say which tenant: {known}")
            return next(iter(self._tenants))
        if id not in self._tenants:
            raise OperatorError(f"there is no tenant {id!r}; there are: {known}")
        return id

    def _check_service(self, name: str) -> None:
        """See that a service is there.

        Raises:
            OperatorError: It is not.
        """
        if name not in self._services:
            known = ", ".join(self._services) or "none"
            raise OperatorError(f"there is no service {name!r}; there are: {known}")
