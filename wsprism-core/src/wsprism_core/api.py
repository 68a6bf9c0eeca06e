"""What a plugin may ask of the gateway that runs it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from wsprism_core.actions import Actions
from wsprism_core.logs import EventLog
from wsprism_core.protocol.errors import WsPrismError
from wsprism_core.realtime.clock import Timer
from wsprism_core.state.port import State

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
        expires: When the ticket ceases to be good, in unix seconds; the session is
            closed then, unless it was refreshed. None is never.
        rooms: The rooms that clients may ask to join, by name, or by the beginning of
            it followed by a `*`. None is every room.
        issued: When the ticket was issued, in unix seconds; None where it does not say.
        ticket_id: By what the ticket can be revoked, such as the `jti` of a JWT; it is
            no secret.
    """

    user: str
    tenant: str
    expires: float | None = None
    rooms: tuple[str, ...] | None = None
    issued: float | None = None
    ticket_id: str | None = None


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

    def may_enter(self, room: str) -> bool:
        """Whether its client may ask to join a room, as far as its ticket says."""

    def number_in(self, room: str) -> int:
        """Return its member number.

        Raises:
            KeyError: It is not in the room.
        """


class Gateway(Protocol):
    """The gateway, as one plugin sees it; handed to `on_start` and `on_stop`.

    Each plugin is handed one of its own. Of sessions and rooms it knows those of this
    gateway, not what another gateway on the same backplane holds.
    """

    @property
    def config(self) -> Any:
        """The plugin's validated section; None where it declares no model."""

    @property
    def log(self) -> EventLog:
        """The plugin's own log, part of the gateway's, as `wsprism.plugins.NAME`."""

    @property
    def random(self) -> Random:
        """Where the plugin's chance comes from.

        In a test and in a replay it gives the same numbers again. Use `secrets` for
        what must not be guessed.
        """

    @property
    def state(self) -> State:
        """What the plugin keeps, apart from all others.

        It outlives the process where `gateway.history.file` is set. Every tenant's is
        in it: put the tenant into the key.
        """

    def now(self) -> float:
        """Return seconds on a clock that never goes back."""

    def wall_ms(self) -> int:
        """Return milliseconds since 1970."""

    def perform(self, actions: Actions, *, tenant: str, svc: str | None = None) -> None:
        """Do what a service wants done outside of any message.

        `Reply`, `Ack` and a room left out have no meaning here.

        Args:
            actions: One, several or none.
            tenant: The tenant in which it is done.
            svc: The plugin's service in whose name it is done; may be left out where it
                owns just one.

        Raises:
            ValueError: An action is incomplete or names an unknown type, the service is
                another plugin's, or it is left out where the plugin owns none or
                several.
        """

    def after(self, seconds: float, work: Callable[[], None]) -> Timer:
        """Run `work` once, `seconds` from now or a little later.

        What it raises is counted under the plugin's name and goes no further.
        """

    def every(self, seconds: float, work: Callable[[], None]) -> Timer:
        """Run `work` again and again; a late run is not made up for."""

    def spawn(self, work: Awaitable[None]) -> None:
        """Run a coroutine beside the gateway until it ends or the gateway stops.

        What it raises is counted under the plugin's name and goes no further.
        """

    def tenants(self) -> Iterable[str]:
        """Return the ids of the tenants that are configured."""

    def session(self, session: str) -> Session | None:
        """Return a session that is open on this gateway by its id."""

    def sessions_of(self, tenant: str, user: str) -> Iterable[Session]:
        """Return the open sessions of a user on this gateway, oldest first."""

    def members(self, tenant: str, room: str) -> Iterable[Member]:
        """Return the members of a room on this gateway, in the order of joining."""

    def member_count(self, tenant: str, room: str) -> int:
        """Return how many members a room has on this gateway; it takes no time."""

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

        Only of a room with a member on this gateway: of any other nothing is returned,
        even where the backplane still holds messages of it.

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

    def forget_history(self, tenant: str, room: str) -> None:
        """Forget the messages of recoverable types that a room has had until now.

        Nobody gets them any more, by `history` or by catching up, and they are deleted
        where they are kept. The room's numbers go on. Only of a room with a member on
        this gateway.
        """

    def call(self, service: str, function: str, *args: Any, **kwargs: Any) -> Any:
        """Call a function that another service offers in its manifest.

        Raises:
            ServiceMissing: No such service is installed, or it offers no such function.
        """

    def count(self, counter: str, amount: int = 1) -> None:
        """Add to a counter.

        Raises:
            ValueError: No manifest of the plugin declares it.
        """
