"""The gateway as plugins see it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, cast

from wsprism_core.actions import Actions
from wsprism_core.api import Member, ServiceMissing, Session
from wsprism_core.gateway.boundary import Perform
from wsprism_core.gateway.failures import Failures
from wsprism_core.logs import EventLog
from wsprism_core.metrics import Metrics
from wsprism_core.policy.tenant import Tenant
from wsprism_core.realtime.clock import Clock, Timer
from wsprism_core.realtime.rooms import RoomRegistry
from wsprism_core.realtime.session import SessionRegistry
from wsprism_core.routing import Routes
from wsprism_core.state.port import State

__all__ = ("ApiParts", "PluginGateway")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiParts:
    """What the gateways of all plugins are made of."""

    clock: Clock
    routes: Routes
    tenants: Mapping[str, Tenant]
    sessions: SessionRegistry
    rooms: RoomRegistry
    metrics: Metrics
    failures: Failures
    perform: Perform
    random: Callable[[str], Random]
    spawn: Callable[[Awaitable[None]], None]
    #: Returns what a plugin keeps, by its name.
    state: Callable[[str], State]
    #: Whether coroutines run at all; else they are discarded.
    spawns: bool


class PluginGateway:
    """What one plugin may ask of the gateway; see `wsprism_core.api.Gateway`.

    Args:
        parts: What it is made of.
        plugin: The plugin's name.
        config: Its validated section.
    """

    def __init__(self, parts: ApiParts, plugin: str, config: Any) -> None:
        self._parts = parts
        self._plugin = plugin
        self._config = config
        self._log = EventLog(f"plugins.{plugin}")
        own = [
            route.service
            for route in parts.routes.services.values()
            if route.plugin == plugin
        ]
        self._services = tuple(service.name for service in own)
        self._counters = {name for service in own for name in service.counters}
        self._random: Random | None = None
        self._state: State | None = None

    @property
    def config(self) -> Any:
        """The plugin's validated section."""
        return self._config

    @property
    def log(self) -> EventLog:
        """The plugin's own log."""
        return self._log

    @property
    def random(self) -> Random:
        """Where the plugin's chance comes from."""
        if self._random is None:
            self._random = self._parts.random(self._plugin)
        return self._random

    @property
    def state(self) -> State:
        """What the plugin keeps."""
        if self._state is None:
            self._state = self._parts.state(self._plugin)
        return self._state

    def now(self) -> float:
        """Return seconds on a clock that never goes back."""
        return self._parts.clock.now()

    def wall_ms(self) -> int:
        """Return milliseconds since 1970."""
        return self._parts.clock.wall_ms()

    def perform(self, actions: Actions, *, tenant: str, svc: str | None = None) -> None:
        """Do what a service wants done outside of any message."""
        self._parts.perform(actions, self._service(svc), tenant)

    def after(self, seconds: float, work: Callable[[], None]) -> Timer:
        """Run `work` once."""
        return self._parts.clock.after(seconds, self._guarded(work))

    def every(self, seconds: float, work: Callable[[], None]) -> Timer:
        """Run `work` again and again."""
        if seconds <= 0:
            raise ValueError("seconds must be more than 0")
        return _Repeating(self._parts.clock, seconds, self._guarded(work))

    def spawn(self, work: Awaitable[None]) -> None:
        """Run a coroutine beside the gateway."""
        if not self._parts.spawns:
            if inspect.iscoroutine(work):
                work.close()
            return
        task = asyncio.ensure_future(work)
        task.add_done_callback(self._ended)
        # Gathered, its failure is told once, here; cancelled with the gateway, it is
        # cancelled even where it has not begun.
        held = asyncio.gather(task, return_exceptions=True)
        self._parts.spawn(cast("Awaitable[None]", held))

    def tenants(self) -> Iterable[str]:
        """Return the ids of the tenants that are configured."""
        return tuple(self._parts.tenants)

    def session(self, session: str) -> Session | None:
        """Return an open session by its id."""
        return self._parts.sessions.get(session)

    def sessions_of(self, tenant: str, user: str) -> Iterable[Session]:
        """Return the open sessions of a user, oldest first."""
        return self._parts.sessions.of_user(tenant, user)

    def members(self, tenant: str, room: str) -> Iterable[Member]:
        """Return the members of a room, in the order of joining."""
        found = self._parts.rooms.get(tenant, room)
        if found is None:
            return ()
        return tuple(
            Member(one.n, one.session.user, one.session.id) for one in found.members()
        )

    def member_count(self, tenant: str, room: str) -> int:
        """Return how many members a room has."""
        found = self._parts.rooms.get(tenant, room)
        return 0 if found is None else found.size

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
        found = self._parts.rooms.get(tenant, room)
        if found is None:
            return ()
        return found.channel.history(before=before, after=after, limit=limit)

    def forget_history(self, tenant: str, room: str) -> None:
        """Forget the messages of recoverable types that a room has had until now."""
        found = self._parts.rooms.get(tenant, room)
        if found is not None:
            found.channel.forget()

    def call(self, service: str, function: str, *args: Any, **kwargs: Any) -> Any:
        """Call a function that another service offers."""
        route = self._parts.routes.services.get(service)
        offered = None if route is None else route.service.offers.get(function)
        if offered is None:
            raise ServiceMissing(service, function)
        return offered(*args, **kwargs)

    def count(self, counter: str, amount: int = 1) -> None:
        """Add to a counter that a manifest declared."""
        if counter not in self._counters:
            raise ValueError(
                f"no manifest of plugin {self._plugin!r} declares {counter!r}"
            )
        self._parts.metrics.plugin_counts[counter] += amount

    def _service(self, name: str | None) -> str:
        """Return the service in whose name something is done.

        Raises:
            ValueError: It is another plugin's, or nobody can tell which is meant.
        """
        if name is None:
            if len(self._services) != 1:
                raise ValueError(
                    f"plugin {self._plugin!r} owns {len(self._services)} services; "
                    "say which by svc"
                )
            return self._services[0]
        if name not in self._services:
            raise ValueError(f"service {name!r} is none of plugin {self._plugin!r}")
        return name

    def _guarded(self, work: Callable[[], None]) -> Callable[[], None]:
        return self._parts.failures.guard(self._plugin, "timer", work)

    def _ended(self, task: asyncio.Future[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._parts.failures.note(self._plugin, "spawn", error)


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
