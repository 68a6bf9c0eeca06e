"""The composition root: puts the parts together, starts, drains and stops them."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from wsprism_core.backplane.memory import MemoryBackplane
from wsprism_core.backplane.port import Backplane
from wsprism_core.config import Config, ConfigError, GatewayConfig
from wsprism_core.dispatch import compile_each
from wsprism_core.gateway.admin import AdminHost, AdminListener
from wsprism_core.gateway.admin_routes import admin_routes
from wsprism_core.gateway.admission import Admission
from wsprism_core.gateway.appliers import LiveParts, appliers
from wsprism_core.gateway.boundary import Boundary
from wsprism_core.gateway.builtin import Builtin
from wsprism_core.gateway.bulk import BulkQueue
from wsprism_core.gateway.catalog import Catalog
from wsprism_core.gateway.checks import compile_checks
from wsprism_core.gateway.connection import ConnectionParts
from wsprism_core.gateway.drain import Drain
from wsprism_core.gateway.egress import Egress
from wsprism_core.gateway.expiry import Expiry
from wsprism_core.gateway.failures import Failures
from wsprism_core.gateway.filters import filters_of
from wsprism_core.gateway.heartbeat import BEATS_PER_INTERVAL, Heartbeat
from wsprism_core.gateway.hooks import EventHooks
from wsprism_core.gateway.host import GatewayHost
from wsprism_core.gateway.http import HttpRoutes, RouteError
from wsprism_core.gateway.ingress import Ingress
from wsprism_core.gateway.inspector import Inspector
from wsprism_core.gateway.keeping import history_store, plugin_state
from wsprism_core.gateway.monitor import Monitor
from wsprism_core.gateway.observers import observe_with
from wsprism_core.gateway.operator import Operator
from wsprism_core.gateway.plugin_api import ApiParts, PluginGateway
from wsprism_core.gateway.presence import PresenceDesk
from wsprism_core.gateway.recovery import RecoveryBounds
from wsprism_core.gateway.reload import Reloader, ReloadReport, TenantApplier
from wsprism_core.gateway.resume import Resumes
from wsprism_core.gateway.rooms import RoomDesk
from wsprism_core.gateway.sessions import SessionDesk
from wsprism_core.gateway.tasks import Tasks
from wsprism_core.gateway.ticket_office import TicketOffice
from wsprism_core.gateway.tickets import Tickets
from wsprism_core.gateway.unattended import UnattendedRooms
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
from wsprism_core.settings.faults import check_sections
from wsprism_core.state.port import StateBounds
from wsprism_core.transports.port import Host, Transport, TransportTimeouts

if TYPE_CHECKING:
    from wsprism_core.gateway.jwks import Fetch

__all__ = ("Gateway",)

#: How long clients say again what nobody answered, at least, in milliseconds.
RETRIED_MS: Final = 30_000
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
        fetch: What fetches the keys that issuers of JWTs publish; None does it over the
            network.

    Attributes:
        plugins: What it runs.
        transports: What it listens with.
        host: The gateway as transports see it.
        inspector: What waits for whom.
        admin: Where operators are let in; None is nowhere.
        metrics: What it has counted.
        sessions: Who is there.
        rooms: Where they are.
        reload_file: Reads the configuration again for an operator, and tells what came
            of it in a later turn. The runner sets it; until then it raises ValueError.

    Raises:
        ManifestError: The services clash.
        ConfigError: A plugin's section is wrong, or belongs to no plugin; or a key for
            tickets cannot be used.
        PluginError: A plugin's `register_routes` raised, or returned no routes, or a
            wrapper would go around an async `check_message`.
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
        fetch: Fetch | None = None,
    ) -> None:
        settings = config.gateway
        boundary = boundary or Boundary()
        chance = chance if chance is not None else random.SystemRandom()
        self.plugins = plugins
        self.transports: Sequence[Transport] = tuple(transports)
        self.metrics = Metrics()
        self.sessions = SessionRegistry()
        self.rooms = RoomRegistry()
        self.reload_file: Callable[[Callable[[Any], None]], None] = _no_file
        self._development = development
        self._log = EventLog("gateway")
        self._tasks = Tasks(self._log)
        failures = Failures(self.metrics)
        tenants = {
            tenant.id: Tenant(tenant, clock.now(), self.metrics.shadow_refusals)
            for tenant in config.tenants
        }
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
            quiet_ms=_quiet_ms(settings),
            counts=self.metrics.history,
        )
        self._history = history
        self._backplane = backplane or MemoryBackplane(
            clock,
            history,
            dedup_window=settings.dedup_window,
            quiet_ms=_quiet_ms(settings),
            idle_rooms=settings.max_idle_rooms,
        )
        egress = Egress(catalog, self.delivery, self.sessions, self.rooms)
        hooks = EventHooks(plugins, _first_services(plugins), egress, failures)
        presence = PresenceDesk(
            self.delivery,
            clock,
            batch=settings.presence_batch_ms / 1000,
            most=settings.presence_max_members,
        )
        desk = RoomDesk(
            tenants=tenants,
            sessions=self.sessions,
            rooms=self.rooms,
            backplane=self._backplane,
            delivery=self.delivery,
            egress=egress,
            hooks=hooks,
            clock=clock,
            presence=presence,
            catalog=catalog,
            recovery=_recovery_bounds(settings),
            max_per_session=settings.max_rooms_per_session,
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
            service_ids=catalog.service_ids,
            draining=self._is_draining,
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
            per_user=lambda id: (
                tenants[id].max_sessions_per_user if id in tenants else 0
            ),
            secret=chance.getrandbits(256).to_bytes(32, "big"),
            over=self._desk.over,
        )
        egress.end_detached = self._desk.resumes.end
        egress.detached = self._desk.resumes.session
        self._tickets = Tickets(config, clock, self.metrics, fetch=fetch)
        egress.unattended = UnattendedRooms(
            self._backplane, catalog, self.delivery
        ).publish
        self._admission = Admission(
            tenants=tenants,
            sessions=self.sessions,
            tickets=self._tickets,
            authenticators=compile_each(plugins.hook("authenticate")),
            limiter=_limiter(settings, clock, chance),
            clock=clock,
            origins=_origins(settings, development),
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
            filters=filters_of(
                plugins, settings.filter_budget_ms / 1000, self.metrics, failures
            ),
            rooms=self.rooms,
            metrics=self.metrics,
            failures=failures,
            bulk=BulkQueue(clock),
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
            heartbeat=_heartbeat(settings, self._wheel, self.delivery),
            expiry=Expiry(self._wheel, clock),
            metrics=self.metrics,
            log=self._log,
            new_trace_id=trace_ids,
            auth_timeout=settings.auth_timeout_ms / 1000,
            max_strikes=settings.max_strikes,
            max_async_queue=settings.max_async_queue,
        )
        http = HttpRoutes(
            draining=self._is_draining,
            metrics=self._render_metrics if settings.public_metrics else None,
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
        perform = boundary.perform(egress.perform)
        self.admin = admin
        self._admin_host: Host | None = None
        if admin is not None:
            operator = Operator(
                tenants=tenants,
                services=tuple(routes.services),
                sessions=self.sessions,
                rooms=self.rooms,
                perform=perform,
                publish=boundary.publish(egress.publish),
            )
            self._admin_host = AdminHost(
                admin_routes(
                    self.inspector,
                    operator,
                    TicketOffice(self.issue_ticket, self.revoke),
                    lambda done: self.reload_file(done),
                    self._render_metrics,
                ),
                admin.guard,
                self.metrics,
                timeouts,
                self._wheel,
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
            perform=perform,
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
        tenant_applier = TenantApplier(
            tenants, ingress, self._desk, clock, self.metrics.shadow_refusals
        )
        self._reloader = Reloader(
            config,
            (self._tickets.prepare, tenant_applier.prepare),
            appliers(
                LiveParts(
                    admission=self._admission,
                    connections=parts,
                    presence=presence,
                    rooms=desk,
                    drain=self._drain,
                    limiter=lambda new: _limiter(new, clock, chance),
                    origins=lambda new: _origins(new, development),
                    heartbeat=self._heartbeat_in_time,
                    recovery=_recovery_bounds,
                )
            ),
        )
        self.metrics.plugin_failures.foresee(
            (info.name, hook) for info in plugins.loaded for hook in info.hooks
        )
        self._admission.foresee(transport.name for transport in self.transports)
        self._begin_drain = boundary.drain(self._drain.begin)
        self._cut = boundary.cut(self._desk.cut)
        self._started = boundary.started

    @property
    def config(self) -> Config:
        """What it is told, by the last configuration as far as that holds."""
        return self._reloader.config

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
            self._tickets.start(self._tasks.spawn)
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

    def reload(self, config: Config) -> ReloadReport:
        """Let another configuration hold, as far as that is possible while it runs.

        Sessions stay, but for those of a tenant that is gone: they are told
        `sys.kicked` and closed with 4503. Limits hold for what comes next.

        Args:
            config: The new one. The sections of plugins are not read: they wait.

        Returns:
            What holds now, and what waits for a restart.

        Raises:
            ConfigError: A key of its tickets cannot be used; nothing has changed.
        """
        return self._reloader.reload(config)

    async def drain(self) -> None:
        """Let nobody new in and close every session, over the configured grace."""
        self._begin_drain()
        await self._drain.finished()

    def hurry(self) -> None:
        """Close at once what a drain that is under way has not closed yet.

        As in the drain, each is sent what waits for it before its close.
        """
        self._begin_drain()

    async def stop(self) -> None:
        """Close what is left, stop the plugins in reverse order, and end.

        A plugin whose `on_start` raised or was never reached is not stopped.
        """
        self._admission.draining = True
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
        await self._tickets.stop()
        await self._backplane.stop()

    def issue_ticket(
        self,
        tenant: str,
        user: str,
        *,
        rooms: Iterable[str] | None = None,
        expires: float | None = None,
    ) -> str:
        """Return a ticket that lets one connection in, once and soon.

        Args:
            tenant: Where it is good; its `auth.connect_tickets` must be enabled.
            user: Who its bearer is.
            rooms: The rooms that the client may ask to join, see `Identity`; None is
                every room.
            expires: When its session is closed, in unix seconds; None is never.

        Raises:
            KeyError: There is no such tenant, or it has no such tickets.
            ValueError: The user or a room is no name, or the moment is past.
            ConnectTicketsFull: As many wait as may.
        """
        return self._tickets.issue(tenant, user, rooms=rooms, expires=expires)

    def revoke(
        self, tenant: str, *, user: str | None = None, ticket_id: str | None = None
    ) -> int:
        """Let tickets be good no more, and close the sessions that have them.

        They are closed with 4503, and what waits for them is not sent. The tickets are
        refused for `gateway.revocation_ttl_ms` at least.

        Args:
            tenant: Whose tickets.
            user: All that this user was issued until now.
            ticket_id: The one of this id, such as the `jti` of a JWT.

        Returns:
            How many sessions were closed.

        Raises:
            KeyError: There is no such tenant.
            ValueError: Neither a user nor a ticket is named.
            RevocationsFull: The sessions are closed, but as many revocations are
                remembered as may be, and so the tickets are still good.
        """
        if tenant not in self._tenants:
            raise KeyError(tenant)
        if user is None and ticket_id is None:
            raise ValueError("name a user, a ticket_id, or both")
        found = self._desk.with_ticket(tenant, user, ticket_id)
        self._cut(tenant, user, ticket_id)
        expiries = [one.identity.expires or 0.0 for one in found]
        self._tickets.revoke(tenant, user, ticket_id, max(expiries, default=0.0))
        return len(found)

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

    def _heartbeat_in_time(self, settings: GatewayConfig) -> Heartbeat | None:
        """Return another heartbeat, unless the wheel turns too slowly for it."""
        if _tick(settings) < self._wheel.tick:
            return None
        return _heartbeat(settings, self._wheel, self.delivery)

    def _is_draining(self) -> bool:
        return self._admission.draining

    def _slow_consumer(self, session: Any) -> None:
        self._desk.cut_slow_consumer(session)

    def _totals(self) -> tuple[int, list[int]]:
        """Return the messages received, and those sent on each lane."""
        sent = [counted.messages_out for counted in self.delivery.counters]
        return sum(self.metrics.messages.values()), sent

    def _render_metrics(self) -> tuple[bytes, str]:
        readings = Readings(
            # Of tenants that nobody is in, too.
            sessions=lambda: {
                **dict.fromkeys(self._tenants, 0),
                **self.sessions.per_tenant(),
            },
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
            connect_tickets=self._tickets.counts,
            connect_tickets_pending=self._tickets.pending,
            revocations=lambda: len(self._tickets.revocations),
            lag=self._monitor.lag_histogram,
            pauses=lambda: {
                str(one.generation): (one.count, one.total_s, one.max_s)
                for one in self._monitor.gc()
            },
        )
        return render(self.metrics, readings)


def _no_file(done: Callable[[Any], None]) -> None:
    raise ValueError("this gateway was not started from a file")


class _TraceIds:
    """Ids that no other gateway gives, and that tell nobody how many there are."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = random.Random(chance.getrandbits(128))

    def __call__(self) -> str:
        return f"{self._chance.getrandbits(64):016x}"


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


def _heartbeat(
    settings: GatewayConfig, wheel: Wheel, delivery: DeliveryEngine
) -> Heartbeat:
    return Heartbeat(
        wheel,
        delivery,
        ping=settings.ping_interval_ms / 1000,
        pong=settings.pong_timeout_ms / 1000,
        idle=settings.idle_timeout_ms / 1000,
    )


def _quiet_ms(settings: GatewayConfig) -> int:
    """Return for how long a room knows what a sender that has gone quiet has said."""
    return max(RETRIED_MS, settings.resume_window_ms)


def _recovery_bounds(settings: GatewayConfig) -> RecoveryBounds:
    return RecoveryBounds(settings.max_recover_messages, settings.max_recover_bytes)


def _origins(settings: GatewayConfig, development: bool) -> OriginPolicy:
    return OriginPolicy(settings.allowed_origins, loopback_only=development)


def _limiter(
    settings: GatewayConfig, clock: Clock, chance: random.Random
) -> HandshakeLimiter | None:
    limit = settings.handshake_limit
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
    configs, faults = check_sections(config.plugins, plugins.sections)
    if faults:
        raise ConfigError("the configuration", [str(fault) for fault in faults])
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
