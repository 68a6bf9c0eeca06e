"""The composition root: puts the parts together, starts, drains and stops them."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final

from pydantic import ValidationError

from wsprism_core.backplane.memory import MemoryBackplane
from wsprism_core.backplane.port import Backplane
from wsprism_core.config import Config, ConfigError, GatewayConfig, describe
from wsprism_core.dispatch import compile_each
from wsprism_core.gateway.admin import AdminHost, AdminListener
from wsprism_core.gateway.admission import Admission
from wsprism_core.gateway.boundary import Boundary
from wsprism_core.gateway.builtin import Builtin
from wsprism_core.gateway.catalog import Catalog
from wsprism_core.gateway.checks import compile_checks
from wsprism_core.gateway.connection import ConnectionParts
from wsprism_core.gateway.drain import Drain
from wsprism_core.gateway.egress import Egress
from wsprism_core.gateway.failures import Failures
from wsprism_core.gateway.heartbeat import BEATS_PER_INTERVAL, Heartbeat
from wsprism_core.gateway.hooks import EventHooks
from wsprism_core.gateway.host import GatewayHost
from wsprism_core.gateway.http import HttpRoutes, RouteError
from wsprism_core.gateway.ingress import Ingress
from wsprism_core.gateway.inspector import Inspector
from wsprism_core.gateway.keeping import history_store, plugin_state
from wsprism_core.gateway.monitor import Monitor
from wsprism_core.gateway.observers import observe_with
from wsprism_core.gateway.plugin_api import ApiParts, PluginGateway
from wsprism_core.gateway.presence import PresenceDesk
from wsprism_core.gateway.recovery import RecoveryBounds
from wsprism_core.gateway.resume import Resumes
from wsprism_core.gateway.rooms import RoomDesk
from wsprism_core.gateway.sessions import SessionDesk
from wsprism_core.gateway.tasks import Tasks
from wsprism_core.gateway.watchdog import owners_of
from wsprism_core.logs import EventLog
from wsprism_core.metrics import Metrics, Readings, render
from wsprism_core.plugins import PluginError, PluginSet
from wsprism_core.policy.limits import HandshakeLimiter
from wsprism_core.policy.origins import OriginPolicy
from wsprism_core.policy.tenant import Tenant
from wsprism_core.protocol.layout import WEBSOCKET_PATH
from wsprism_core.realtime.clock import Clock
from wsprism_core.realtime.deadline import WriteDeadline
from wsprism_core.realtime.delivery import DeliveryEngine
from wsprism_core.realtime.lanes import Lane, bound_lanes
from wsprism_core.realtime.rooms import RoomRegistry
from wsprism_core.realtime.session import SessionRegistry
from wsprism_core.realtime.wheel import Wheel
from wsprism_core.routes import Route
from wsprism_core.routing import build_routes
from wsprism_core.state.port import StateBounds
from wsprism_core.transports.port import Host, Transport, TransportTimeouts

__all__ = ("Gateway",)

#: Seconds from one slot of the wheel to the next, at most.
LONGEST_TICK: Final = 0.1


class Gateway:
    """A realtime gateway: one process that holds connections and routes messages.

    Args:
        config: What it is told.
        plugins: The services and observers that it runs.
        clock: Time.
        transports: What it listens with.
        backplane: What carries rooms between gateways; None keeps them in memory.
        development: Whether development tickets (`dev:ann`) are good.
        admin: Where operators are let in; None is nowhere.
        chance: Where epochs, jitter and the plugins' chance come from; a seeded one
            makes runs repeat.
        boundary: What comes in from outside passes it; None lets it through.

    Attributes:
        host: The gateway as transports see it.
        inspector: What waits for whom.
        admin: Where operators are let in; None is nowhere.
        metrics: What it has counted.
        sessions: Who is there.
        rooms: Where they are.

    Raises:
        ManifestError: The services clash.
        ConfigError: A plugin's section is wrong, or belongs to no plugin.
        PluginError: A plugin's `register_routes` raised, or returned no routes.
        RouteError: Two plugins answer the same path, or a path cannot be had.
    """

    def __init__(
        self,
        config: Config,
        plugins: PluginSet,
        clock: Clock,
        *,
        transports: Iterable[Transport] = (),
        backplane: Backplane | None = None,
        development: bool = False,
        chance: random.Random | None = None,
        admin: AdminListener | None = None,
        boundary: Boundary | None = None,
    ) -> None:
        settings = config.gateway
        boundary = boundary or Boundary()
        chance = chance if chance is not None else random.SystemRandom()
        self.config = config
        self.plugins = plugins
        self.transports: Sequence[Transport] = tuple(transports)
        self.metrics = Metrics()
        self.sessions = SessionRegistry()
        self.rooms = RoomRegistry()
        self._development = development
        self._log = EventLog("gateway")
        self._tasks = Tasks(self._log)
        failures = Failures(self.metrics)
        tenants = {tenant.id: Tenant(tenant, clock.now()) for tenant in config.tenants}
        self._tenants = tenants
        routes = build_routes(plugins, observe_with(failures, self._tasks.spawn))
        services = [route.service for route in routes.services.values()]
        catalog = Catalog(services, routes.lanes)
        self._wheel = Wheel(clock, _tick(settings))
        self.delivery = DeliveryEngine(
            clock,
            _bound_lanes(routes.lanes, settings),
            self._slow_consumer,
            writes=WriteDeadline(
                self._wheel,
                silence=settings.writer_send_timeout_ms / 1000,
                bytes_per_s=settings.min_write_bytes_per_s,
                missed=self._slow_consumer,
            ),
        )
        history = history_store(
            settings.history,
            lambda: f"{chance.getrandbits(64):016x}",
            dedup=settings.dedup_window,
            counts=self.metrics.history,
        )
        self._history = history
        self._backplane = backplane or MemoryBackplane(
            clock,
            history,
            dedup_window=settings.dedup_window,
            idle_rooms=settings.max_idle_rooms,
        )
        egress = Egress(catalog, self.delivery, self.sessions, self.rooms)
        hooks = EventHooks(plugins, _first_services(plugins), egress, failures)
        desk = RoomDesk(
            tenants=tenants,
            sessions=self.sessions,
            rooms=self.rooms,
            backplane=self._backplane,
            delivery=self.delivery,
            egress=egress,
            hooks=hooks,
            clock=clock,
            presence=PresenceDesk(
                self.delivery,
                clock,
                batch=settings.presence_batch_ms / 1000,
                most=settings.presence_max_members,
            ),
            catalog=catalog,
            recovery=RecoveryBounds(
                settings.max_recover_messages, settings.max_recover_bytes
            ),
        )
        trace_ids = boundary.trace_ids(_TraceIds(chance))
        self._desk = SessionDesk(
            sessions=self.sessions,
            rooms=desk,
            delivery=self.delivery,
            egress=egress,
            hooks=hooks,
            metrics=self.metrics,
            clock=clock,
            new_trace_id=trace_ids,
            ping_interval=settings.ping_interval_ms / 1000,
            service_ids=catalog.service_ids,
        )
        egress.pull_failed = lambda svc, error: failures.note(
            routes.services[svc].plugin, "pull", error
        )
        egress.join, egress.leave, egress.kick = desk.join, desk.leave, self._desk.kick
        egress.turn_down = self._desk.turn_down
        self._desk.resumes = Resumes(
            self.sessions,
            self._wheel,
            window=settings.resume_window_ms / 1000 if boundary.resumes else 0.0,
            most=settings.max_detached,
            secret=chance.getrandbits(256).to_bytes(32, "big"),
            over=self._desk.over,
        )
        egress.end_detached = self._desk.resumes.end
        self._admission = Admission(
            tenants=tenants,
            sessions=self.sessions,
            authenticators=compile_each(plugins.hook("authenticate")),
            limiter=_limiter(config, clock, chance),
            clock=clock,
            origins=OriginPolicy(settings.allowed_origins, loopback_only=development),
            development=development,
            patience=settings.handshake_timeout_ms / 1000,
            metrics=self.metrics,
            failures=failures,
            spawn=self._tasks.spawn,
        )
        self._admission.goes_on = self._desk.goes_on
        ingress = Ingress(
            routes=routes,
            checks=compile_checks(
                services,
                lambda svc, error: failures.note(
                    routes.services[svc].plugin, "schema", error
                ),
            ),
            builtin=Builtin(desk, egress, self.delivery, clock),
            catalog=catalog,
            egress=egress,
            hooks=hooks,
            rooms=self.rooms,
            metrics=self.metrics,
            failures=failures,
        )
        parts = ConnectionParts(
            admission=self._admission,
            authenticate=boundary.authenticate(self._admission.authenticate),
            desk=self._desk,
            ingress=ingress,
            catalog=catalog,
            delivery=self.delivery,
            clock=clock,
            wheel=self._wheel,
            heartbeat=Heartbeat(
                self._wheel,
                self.delivery,
                ping=settings.ping_interval_ms / 1000,
                pong=settings.pong_timeout_ms / 1000,
                idle=settings.idle_timeout_ms / 1000,
            ),
            metrics=self.metrics,
            log=self._log,
            new_trace_id=trace_ids,
            auth_timeout=settings.auth_timeout_ms / 1000,
            max_strikes=settings.max_strikes,
            max_async_queue=settings.max_async_queue,
        )
        http = HttpRoutes(
            draining=lambda: self._admission.draining,
            metrics=self._render_metrics,
            routes=_plugin_routes(plugins),
            failures=failures,
        )
        timeouts = TransportTimeouts(
            handshake=settings.handshake_timeout_ms / 1000,
            message=settings.message_timeout_ms / 1000,
            close=settings.close_timeout_ms / 1000,
        )
        self.host: Host = GatewayHost(
            parts,
            boundary.connect(parts, tenants),
            boundary.deadlines(self._wheel.after),
            http,
            timeouts,
        )
        self._monitor = Monitor(
            clock, self.metrics, self._totals, slow=settings.slow_handler_ms / 1000
        )
        self.inspector = Inspector(
            sessions=self.sessions,
            rooms=self.rooms,
            delivery=self.delivery,
            metrics=self.metrics,
            clock=clock,
            monitor=self._monitor,
        )
        self.admin = admin
        self._admin_host: Host | None = None
        if admin is not None:
            self._admin_host = AdminHost(
                self.inspector, admin.guard, self.metrics, timeouts, self._wheel
            )
        self._configs = _plugin_configs(config, plugins)
        self._api_parts = ApiParts(
            clock=clock,
            routes=routes,
            tenants=tenants,
            sessions=self.sessions,
            rooms=self.rooms,
            metrics=self.metrics,
            failures=failures,
            perform=boundary.perform(egress.perform),
            random=boundary.random(_randoms(chance)),
            spawn=self._tasks.spawn,
            state=plugin_state(
                # A backplane that is handed in brings its own store, or none.
                history if backplane is None else None,
                StateBounds(settings.max_state_items, settings.max_state_bytes),
                self.metrics.state_refused,
            ),
            spawns=boundary.spawns,
        )
        self._apis: dict[str, PluginGateway] = {}
        # Plugins that have begun, and so are to be ended.
        self._begun: set[str] = set()
        self._drain = Drain(
            self._admission,
            self.sessions,
            self._desk,
            egress,
            clock,
            grace=settings.drain_grace_ms / 1000,
            chance=chance,
        )
        self._begin_drain = boundary.drain(self._drain.begin)
        self._started = boundary.started

    async def start(self) -> None:
        """Start the plugins, then listen.

        Raises:
            OSError: An address cannot be bound.
            Exception: What a plugin's `on_start` raises; the gateway is stopped again.
        """
        await self._backplane.start()
        try:
            for plugin, start in compile_each(self.plugins.hook("on_start")).items():
                self._begun.add(plugin)
                try:
                    await _maybe_await(start(self.api_of(plugin)))
                except Exception:
                    # Interrupted, it is ended; what failed has begun nothing.
                    self._begun.discard(plugin)
                    raise
            # Those that had nothing to begin.
            self._begun.update(info.name for info in self.plugins.loaded)
            self._wheel.start()
            self._started()
            for transport in self.transports:
                await transport.start(self.host)
                self._log.info("listening", address=transport.address)
            if self.admin is not None and self._admin_host is not None:
                await self.admin.transport.start(self._admin_host)
                if address := self.admin.transport.address:
                    self._log.info("listening", address=address)
        except BaseException:
            await self.stop()
            raise

    def watch(self) -> None:
        """Measure the event loop, and name who blocks it, until the gateway stops.

        It takes a timer and a thread, and means nothing in virtual time.
        """
        self._monitor.start(owners_of(self.plugins))

    async def drain(self) -> None:
        """Let nobody new in and close every session, over the configured grace."""
        self._begin_drain()
        await self._drain.finished()

    async def stop(self) -> None:
        """Close what is left, stop the plugins in reverse order, and end.

        A plugin whose `on_start` raised or was never reached is not stopped.
        """
        self._admission.draining = self._desk.draining = True
        if self.admin is not None:
            await self.admin.transport.stop()
        for transport in self.transports:
            await transport.stop()
        self._desk.resumes.end_all()
        self._wheel.stop()
        self._monitor.stop()
        stops = compile_each(self.plugins.hook("on_stop"))
        for plugin, stop in reversed(stops.items()):
            if plugin not in self._begun:
                continue
            try:
                await _maybe_await(stop(self.api_of(plugin)))
            except Exception as error:
                self._log.error("on_stop_failed", plugin=plugin, exc=error)
        self._begun.clear()
        await self._tasks.cancel()
        await self._backplane.stop()

    def api_of(self, plugin: str) -> PluginGateway:
        """Return the gateway as a plugin sees it.

        Args:
            plugin: Its name; one that is not loaded owns nothing.
        """
        api = self._apis.get(plugin)
        if api is None:
            api = PluginGateway(self._api_parts, plugin, self._configs.get(plugin))
            self._apis[plugin] = api
        return api

    def _slow_consumer(self, session: Any) -> None:
        self._desk.cut_slow_consumer(session)

    def _totals(self) -> tuple[int, list[int]]:
        """Return the messages received, and those sent on each lane."""
        sent = [counted.messages_out for counted in self.delivery.counters]
        return sum(self.metrics.messages.values()), sent

    def _render_metrics(self) -> tuple[bytes, str]:
        readings = Readings(
            sessions=lambda: dict(self.sessions.per_tenant()),
            rooms=lambda: len(self.rooms),
            lanes=lambda: {
                lane.name: (
                    counters.messages_out,
                    counters.conflated,
                    counters.dropped,
                    counters.lost,
                    counters.overflowed,
                )
                for lane, counters in zip(
                    self.delivery.lanes, self.delivery.counters, strict=True
                )
            },
            unsent=lambda: self.delivery.unsent,
            history_waiting=lambda: self._history.waiting,
            insecure=lambda: {"development_tickets": self._development},
            spent_limits=lambda: {
                tenant.id: tenant.spent_limits for tenant in self._tenants.values()
            },
            lag=self._monitor.lag_histogram,
            pauses=lambda: {
                str(one.generation): (one.count, one.total_s, one.max_s)
                for one in self._monitor.gc()
            },
        )
        return render(self.metrics, readings)


class _TraceIds:
    """Ids that no other gateway gives: a random start, then counting."""

    def __init__(self, chance: random.Random) -> None:
        self._node = f"{chance.getrandbits(32):08x}"
        self._count = 0

    def __call__(self) -> str:
        self._count += 1
        return f"{self._node}-{self._count:x}"


def _randoms(chance: random.Random) -> Callable[[str], random.Random]:
    """Return what gives each plugin, by its name, a chance of its own."""
    seed = chance.getrandbits(128)
    return lambda plugin: random.Random(f"{seed:x}/{plugin}")


def _bound_lanes(lanes: tuple[Lane, ...], settings: GatewayConfig) -> tuple[Lane, ...]:
    """Return the lanes with the bounds that are configured.

    Raises:
        ConfigError: There is no such lane.
    """
    bounds = {
        name: changes.model_dump(exclude_none=True)
        for name, changes in settings.lanes.items()
    }
    try:
        return bound_lanes(lanes, bounds)
    except ValueError as error:
        raise ConfigError("the configuration", [f"gateway.lanes: {error}"]) from None


def _tick(settings: GatewayConfig) -> float:
    """Return seconds from one slot of the wheel to the next.

    It is short enough for the shortest deadline to come about when it should.
    """
    deadlines = (
        settings.ping_interval_ms,
        settings.pong_timeout_ms,
        settings.idle_timeout_ms,
        settings.auth_timeout_ms,
        settings.handshake_timeout_ms,
        settings.message_timeout_ms,
        settings.close_timeout_ms,
        settings.writer_send_timeout_ms,
    )
    shortest = min(deadline for deadline in deadlines if deadline)
    return min(LONGEST_TICK, shortest / 1000 / BEATS_PER_INTERVAL)


def _limiter(
    config: Config, clock: Clock, chance: random.Random
) -> HandshakeLimiter | None:
    limit = config.gateway.handshake_limit
    if not limit.enabled:
        return None
    return HandshakeLimiter(
        clock,
        global_rps=limit.global_rps,
        global_burst=limit.global_burst,
        per_ip_rps=limit.per_ip_rps,
        per_ip_burst=limit.per_ip_burst,
        max_ip_entries=limit.max_ip_entries,
        chance=chance,
    )


def _first_services(plugins: PluginSet) -> dict[str, str]:
    """Return the service in whose name a plugin's event hooks act."""
    return {
        info.name: info.services[0].name for info in plugins.loaded if info.services
    }


def _plugin_configs(config: Config, plugins: PluginSet) -> dict[str, Any]:
    """Validate each plugin's section by the model that its manifest names."""
    models = {
        info.name: service.config
        for info in plugins.loaded
        for service in info.services
        if service.config is not None
    }
    problems = [
        f"plugins.{name}: no loaded plugin of that name takes a configuration"
        for name in config.plugins
        if name not in models
    ]
    configs = {}
    for name, model in models.items():
        try:
            configs[name] = model.model_validate(config.plugins.get(name, {}))
        except ValidationError as error:
            found = describe(error, model)
            problems += [f"plugins.{name}.{problem}" for problem in found]
    if problems:
        raise ConfigError("the configuration", problems)
    return configs


def _plugin_routes(plugins: PluginSet) -> list[tuple[str, Route]]:
    """Return the routes of all plugins, each with its plugin's name.

    Raises:
        PluginError: A plugin's hook raised, or returned something else.
        RouteError: No request could come for a path.
    """
    found = []
    for plugin, register in compile_each(plugins.hook("register_routes")).items():
        try:
            routes = tuple(register() or ())
        except Exception as error:
            raise PluginError(
                f"plugin {plugin!r}: its register_routes failed: "
                f"{type(error).__name__}: {error}"
            ) from error
        for route in routes:
            if not isinstance(route, Route):
                raise PluginError(
                    f"plugin {plugin!r}: register_routes returned {route!r}, "
                    "not a Route"
                )
            if not route.path.startswith("/"):
                raise RouteError(
                    f"plugin {plugin!r}: the path {route.path!r} begins with no '/'"
                )
            if route.path == WEBSOCKET_PATH:
                raise RouteError(
                    f"plugin {plugin!r}: the path {route.path} is the WebSocket's"
                )
            found.append((plugin, route))
    return found


async def _maybe_await(result: Any) -> None:
    if isinstance(result, Awaitable):
        await result
