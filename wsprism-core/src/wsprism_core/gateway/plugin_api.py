"""The gateway as plugins see it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from wsprism_core.actions import Actions
from wsprism_core.api import Member, ServiceMissing, Session
from wsprism_core.gateway.egress import Egress
from wsprism_core.gateway.failures import STOPS_THE_PROCESS, Failures
from wsprism_core.metrics import Metrics
from wsprism_core.policy.tenant import Tenant
from wsprism_core.realtime.clock import Clock, Timer
from wsprism_core.realtime.rooms import RoomRegistry
from wsprism_core.realtime.session import SessionRegistry
from wsprism_core.routing import Routes

__all__ = ("PluginGateway",)


class PluginGateway:
    """What plugins may ask of the gateway; see `wsprism_core.api.Gateway`."""

    def __init__(
        self,
        *,
        clock: Clock,
        configs: Mapping[str, Any],
        egress: Egress,
        routes: Routes,
        tenants: Mapping[str, Tenant],
        sessions: SessionRegistry,
        rooms: RoomRegistry,
        metrics: Metrics,
        failures: Failures,
        spawn: Callable[[Awaitable[None]], None],
    ) -> None:
        self._clock = clock
        self._configs = configs
        self._egress = egress
        self._routes = routes
        self._tenants = tenants
        self._sessions = sessions
        self._rooms = rooms
        self._metrics = metrics
        self._failures = failures
        self._spawn = spawn
        self._counters = {
            name
            for route in routes.services.values()
            for name in route.service.counters
        }

    def now(self) -> float:
        """Return seconds on a clock that never goes back."""
        return self._clock.now()

    def wall_ms(self) -> int:
        """Return milliseconds since 1970."""
        return self._clock.wall_ms()

    def config(self, plugin: str) -> Any:
        """Return the validated section of a plugin."""
        return self._configs.get(plugin)

    def perform(self, actions: Actions, *, svc: str, tenant: str) -> None:
        """Do what a service wants done outside of any message."""
        self._egress.perform(actions, svc, tenant)

    def after(self, seconds: float, work: Callable[[], None]) -> Timer:
        """Run `work` once."""
        return self._clock.after(seconds, lambda: self._run(work))

    def every(self, seconds: float, work: Callable[[], None]) -> Timer:
        """Run `work` again and again."""
        if seconds <= 0:
            raise ValueError("seconds must be more than 0")
        return _Repeating(self._clock, seconds, lambda: self._run(work))

    def spawn(self, work: Awaitable[None]) -> None:
        """Run a coroutine beside the gateway."""
        self._spawn(work)

    def tenants(self) -> Iterable[str]:
        """Return the ids of the tenants that are configured."""
        return tuple(self._tenants)

    def session(self, session: str) -> Session | None:
        """Return an open session by its id."""
        return self._sessions.get(session)

    def sessions_of(self, tenant: str, user: str) -> Iterable[Session]:
        """Return the open sessions of a user, oldest first."""
        return self._sessions.of_user(tenant, user)

    def members(self, tenant: str, room: str) -> Iterable[Member]:
        """Return the members of a room, in the order of joining."""
        found = self._rooms.get(tenant, room)
        if found is None:
            return ()
        return tuple(
            Member(one.n, one.session.user, one.session.id) for one in found.members()
        )

    def history(
        self,
        tenant: str,
        room: str,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int = 50,
    ) -> Sequence[Mapping[str, Any]]:
        """Return messages of recoverable types that a room has had."""
        found = self._rooms.get(tenant, room)
        if found is None:
            return ()
        return found.channel.history(before=before, after=after, limit=limit)

    def call(self, service: str, function: str, *args: Any, **kwargs: Any) -> Any:
        """Call a function that another service offers."""
        route = self._routes.services.get(service)
        offered = None if route is None else route.service.offers.get(function)
        if offered is None:
            raise ServiceMissing(service, function)
        return offered(*args, **kwargs)

    def count(self, counter: str, amount: int = 1) -> None:
        """Add to a counter that a manifest declared."""
        if counter not in self._counters:
            raise ValueError(f"no manifest declares the counter {counter!r}")
        self._metrics.plugin_counts[counter] += amount

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except STOPS_THE_PROCESS:
            raise
        except BaseException as error:
            plugin = getattr(work, "__module__", "") or "?"
            self._failures.note(plugin, "timer", error)


class _Repeating:
    """Work that is done again and again until it is cancelled."""

    def __init__(self, clock: Clock, seconds: float, work: Callable[[], None]) -> None:
        self._clock = clock
        self._seconds = seconds
        self._work = work
        self._timer: Timer | None = clock.after(seconds, self._fire)

    def cancel(self) -> None:
        """Do it no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        if self._timer is None:
            return
        # Put off first, so that what `work` raises or cancels has the last word.
        self._timer = self._clock.after(self._seconds, self._fire)
        self._work()
