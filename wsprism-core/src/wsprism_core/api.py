"""What a plugin may ask of the gateway that runs it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from wsprism_core.actions import Actions
from wsprism_core.protocol.errors import WsPrismError
from wsprism_core.realtime.clock import Timer

__all__ = ("Gateway", "Identity", "Member", "ServiceMissing", "Session")


class ServiceMissing(WsPrismError):
    """No installed service offers the function that was called."""

    def __init__(self, service: str, function: str) -> None:
        super().__init__(service, function)
        self.service = service
        self.function = function

    def __str__(self) -> str:
        return f"no service {self.service!r} offers {self.function!r}"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a ticket says its bearer is; what the hook `authenticate` returns.

    Args:
        user: The user's id, unique in its tenant, such as `user:ann`.
        tenant: The tenant that the ticket is good for.
    """

    user: str
    tenant: str


@dataclass(frozen=True, slots=True)
class Member:
    """One connection's membership of a room.

    Args:
        n: The member number.
        user: The user's id.
        session: The session's id.
    """

    n: int
    user: str
    session: str


class Session(Protocol):
    """One authenticated connection, as a plugin sees it; read only."""

    @property
    def id(self) -> str:
        """The session's id, unique on this gateway."""

    @property
    def user(self) -> str:
        """The user's id."""

    @property
    def tenant(self) -> str:
        """The tenant's id."""

    @property
    def active_room(self) -> str | None:
        """The room joined last, if it is still in it."""

    @property
    def rooms(self) -> Iterable[str]:
        """Names of the rooms that it is in, in the order of joining."""

    def is_member(self, room: str) -> bool:
        """Whether it is in the room."""

    def number_in(self, room: str) -> int:
        """Return its member number.

        Raises:
            KeyError: It is not in the room.
        """


class Gateway(Protocol):
    """The gateway, as a plugin sees it; handed to `on_start` and `on_stop`."""

    def now(self) -> float:
        """Return seconds on a clock that never goes back."""

    def wall_ms(self) -> int:
        """Return milliseconds since 1970."""

    def config(self, plugin: str) -> Any:
        """Return the validated section of a plugin; None where it declares no model.

        Args:
            plugin: The entry point's name, which is also the section's.
        """

    def perform(self, actions: Actions, *, svc: str, tenant: str) -> None:
        """Do what a service wants done outside of any message.

        `Reply`, `Ack` and a room left out have no meaning here.

        Args:
            actions: One, several or none.
            svc: The service in whose name it is done.
            tenant: The tenant in which it is done.

        Raises:
            ValueError: An action is incomplete or names an unknown type.
        """

    def after(self, seconds: float, work: Callable[[], None]) -> Timer:
        """Run `work` once, `seconds` from now or a little later.

        What it raises is counted and logged, and goes no further.
        """

    def every(self, seconds: float, work: Callable[[], None]) -> Timer:
        """Run `work` again and again; a late run is not made up for."""

    def spawn(self, work: Awaitable[None]) -> None:
        """Run a coroutine beside the gateway until it ends or the gateway stops."""

    def tenants(self) -> Iterable[str]:
        """Return the ids of the tenants that are configured."""

    def session(self, session: str) -> Session | None:
        """Return an open session by its id."""

    def sessions_of(self, tenant: str, user: str) -> Iterable[Session]:
        """Return the open sessions of a user, oldest first."""

    def members(self, tenant: str, room: str) -> Iterable[Member]:
        """Return the members of a room, in the order of joining."""

    def history(
        self,
        tenant: str,
        room: str,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int = 50,
    ) -> Sequence[Mapping[str, Any]]:
        """Return messages of recoverable types that a room has had, oldest first.

        Args:
            tenant: The tenant of the room.
            room: The room's name.
            before: Only those with a smaller `seq`; the newest of them are returned.
            after: Only those with a larger `seq`; the oldest of them are returned.
            limit: How many at the most.

        Returns:
            Envelopes with `svc`, `type`, `room`, `seq`, `ts` and `data`; those that the
            room no longer holds are left out.
        """

    def call(self, service: str, function: str, *args: Any, **kwargs: Any) -> Any:
        """Call a function that another service offers in its manifest.

        Raises:
            ServiceMissing: No such service is installed, or it offers no such function.
        """

    def count(self, counter: str, amount: int = 1) -> None:
        """Add to a counter that a manifest declared."""
