"""Running a gateway from the command line: check everything, serve, stop cleanly."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from wsprism_core import logs
from wsprism_core.certificates import CertificateError, CertificateWatch
from wsprism_core.clock import LoopClock
from wsprism_core.collector import Collector
from wsprism_core.config import (
    AdminConfig,
    Config,
    DeflateConfig,
    GatewayConfig,
    out_of_the_box,
)
from wsprism_core.dispatch import compile_each
from wsprism_core.gateway import Gateway
from wsprism_core.gateway.admin import AdminGuard, AdminListener
from wsprism_core.logs import EventLog
from wsprism_core.options import RunOptions
from wsprism_core.pid_file import pid_file
from wsprism_core.plugins import PluginSet
from wsprism_core.policy.origins import is_loopback
from wsprism_core.policy.proxies import TrustedProxies
from wsprism_core.protocol.errors import WsPrismError
from wsprism_core.protocol.layout import WEBSOCKET_PATH
from wsprism_core.reloading import Reloading
from wsprism_core.settings.loading import configuration, idle_patterns
from wsprism_core.signals import StopSignals, hangups, unless
from wsprism_core.transports.bounds import InboundBounds, UnfinishedBytes
from wsprism_core.transports.deflate import Deflate
from wsprism_core.transports.half_open import HalfOpen
from wsprism_core.transports.port import Host, Transport
from wsprism_core.transports.posting import PostTransport
from wsprism_core.transports.stream import StreamTransport
from wsprism_core.transports.tcp import TcpTransport
from wsprism_core.transports.turns import ReadingTurns
from wsprism_core.transports.websocket import WebSocketTransport

if TYPE_CHECKING:
    from wsprism_core.recording.recorder import Recorder

__all__ = (
    "AdminAddress",
    "Prepared",
    "RunError",
    "check",
    "prepare",
    "serve",
    "summary",
)

_log = EventLog("runner")

_DEVELOPMENT: Final = (
    "DEVELOPMENT TICKETS ARE ON: whoever reaches this gateway may be anybody "
    "(the ticket dev:ann is user:ann). Never in production."
)


class RunError(WsPrismError):
    """The gateway does not run; the text is for the person at the terminal.

    Attributes:
        exit_code: 2 where the command, the configuration or the choice of plugins is
            wrong, 1 where what was asked for failed.
    """

    def __init__(self, text: str, *, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminAddress:
    """Where operators look into a gateway.

    Args:
        host: A name or an address, without brackets.
        port: 0 takes a free one.
        guard: Who is an operator.
        optional: Whether the gateway runs without it where the port is taken.
    """

    host: str
    port: int
    guard: AdminGuard
    optional: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A gateway that may be started: everything that can be checked before is checked.

    Args:
        options: What was asked for.
        config: The file's, or what runs without one.
        plugins: What is loaded.
        host: Where to listen: a name or an address, without brackets.
        port: Where to listen; 0 takes a free one.
        development: Whether development tickets are good.
        admin: Where operators look in; None is nowhere.
        alarm: What must be said loudly at the start; empty where nothing must.
        warnings: What should be said at the start, one line each.
    """

    options: RunOptions
    config: Config
    plugins: PluginSet
    host: str
    port: int
    development: bool
    admin: AdminAddress | None
    alarm: str
    warnings: tuple[str, ...]


def prepare(options: RunOptions) -> Prepared:
    """Set up the logs, read the configuration and load the plugins.

    Raises:
        RunError: The configuration cannot be used, a plugin cannot be had, development
            tickets would be good for other machines, or anybody could be an operator.
    """
    logs.configure(options.log_level, as_json=options.log_json)
    try:
        plugins = PluginSet.load(options.plugins)
        config = configuration(options, plugins)
    except WsPrismError as error:
        raise RunError(str(error), exit_code=2) from error
    logs.configure(
        options.log_level,
        as_json=options.log_json,
        warnings_per_second=config.gateway.warnings_per_second,
    )
    host, _, port = config.gateway.listen.rpartition(":")
    host = options.host or host.removeprefix("[").removesuffix("]")
    development = options.dev or options.config is None
    alarm = _DEVELOPMENT if development else ""
    if development and not is_loopback(host):
        if not options.allow_insecure_dev:
            raise _insecure(host)
        alarm += f" INSECURE: other machines reach {host}."
    return Prepared(
        options=options,
        config=config,
        plugins=plugins,
        host=host,
        port=int(port) if options.port is None else options.port,
        development=development,
        admin=_admin(config.gateway, options, host, development=development),
        alarm=alarm,
        warnings=(*idle_patterns(config, plugins), *_closed(config, plugins, options)),
    )


def check(prepared: Prepared) -> None:
    """Put a gateway together and start nothing: what can be wrong before it listens.

    Raises:
        RunError: The plugins do not go together, or with the configuration.
    """

    async def assemble() -> None:
        _assemble(prepared, None)

    asyncio.run(assemble())


def serve(
    prepared: Prepared, *, started: Callable[[Gateway], None] | None = None
) -> int:
    """Run a gateway until SIGINT or SIGTERM; a second signal cuts the drain short.

    SIGHUP lets it read its configuration file again.

    Args:
        prepared: What to run.
        started: Called once it listens, to say so.

    Returns:
        The exit code, 0: it stopped as it was told to.

    Raises:
        RunError: The plugins do not go together, one did not start, or an address
            cannot be listened on.
    """
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_serve(prepared, started))


def summary(prepared: Prepared, gateway: Gateway) -> tuple[tuple[str, str], ...]:
    """Return what to say of a gateway that listens: labels and values, for people."""
    plugins = [
        f"{info.name} {info.version or ''}".rstrip() for info in prepared.plugins.loaded
    ]
    tenants = [tenant.id for tenant in prepared.config.tenants]
    recording = prepared.options.record
    return (
        *(("listening", address) for address in _addresses(gateway)),
        *(() if gateway.admin is None else (("admin", _admin_place(gateway.admin)),)),
        ("plugins", ", ".join(plugins) or "none"),
        ("tenants", ", ".join(tenants)),
        *((("recording", str(recording)),) if recording is not None else ()),
    )


# ------------------------------------------------------------------------ checking


def _insecure(host: str) -> RunError:
    return RunError(
        "development tickets let anybody be anybody, so they are for loopback addresses"
        f" only, and {host} is none: listen on 127.0.0.1, run a --config FILE without"
        " --dev, or insist with --allow-insecure-dev",
        exit_code=2,
    )


def _admin(
    settings: GatewayConfig, options: RunOptions, host: str, *, development: bool
) -> AdminAddress | None:
    """Return where operators look in.

    Without a file they do so on the usual port, where it is free: a second gateway runs
    all the same.

    Raises:
        RunError: No key is given, and more than this machine would be let in.
    """
    section = settings.admin
    optional = section is None and options.admin_port is None
    if optional and (options.config is not None or not is_loopback(host)):
        return None
    section = section or AdminConfig()
    address, _, port = section.listen.rpartition(":")
    address = address.removeprefix("[").removesuffix("]")
    key = None if section.api_key is None else section.api_key.get_secret_value()
    if key is None and not (development and is_loopback(host) and is_loopback(address)):
        raise RunError(
            "the admin listener needs a key, gateway.admin.api_key in the configuration"
            " file; it does without where development tickets are on and nothing is"
            " open to other machines",
            exit_code=2,
        )
    return AdminAddress(
        host=address,
        port=int(port) if options.admin_port is None else options.admin_port,
        guard=AdminGuard(key),
        optional=optional,
    )


def _closed(config: Config, plugins: PluginSet, options: RunOptions) -> Iterator[str]:
    """Yield a line for each tenant that nobody can connect to."""
    if options.dev or options.config is None:
        return
    if any("authenticate" in info.hooks for info in plugins.loaded):
        return
    for tenant in config.tenants:
        if not tenant.auth.has_source:
            yield (
                f"tenant {tenant.id!r} has no source of tickets: every handshake will"
                " get 401 (give it keys in its auth section, load a plugin that"
                " authenticates, or try it out with --dev)"
            )


# ------------------------------------------------------------------------- running


async def _serve(prepared: Prepared, started: Callable[[Gateway], None] | None) -> int:
    with (
        StopSignals() as signals,
        _hangups(prepared) as hung_up,
        _pid_file(prepared),
        _recording(prepared) as recorder,
    ):
        gateway = _assemble(prepared, recorder)
        reloading = Reloading(prepared.options, gateway)
        gateway.reload_file = reloading.ask
        certificates = _certificates(prepared, gateway)
        collector = Collector(
            LoopClock(asyncio.get_running_loop()),
            full=prepared.config.gateway.full_gc_interval_ms / 1000,
        )
        if not await unless(signals.stop, _start(gateway)):
            return 0
        reloads = asyncio.ensure_future(reloading.whenever(hung_up))
        try:
            _check_addresses(prepared, gateway)
            if prepared.options.log_json:
                for text in filter(None, (prepared.alarm, *prepared.warnings)):
                    _log.warning("check_this", text=text)
            if started is not None:
                started(gateway)
            collector.start()
            gateway.watch()
            if certificates is not None:
                certificates.start()
            await signals.stop.wait()
            if not await unless(signals.hurry, gateway.drain()):
                gateway.hurry()
        finally:
            reloads.cancel()
            await gateway.stop()
            collector.stop()
            if certificates is not None:
                certificates.stop()
    return 0


def _hangups(prepared: Prepared) -> AbstractContextManager[asyncio.Event]:
    """Listen for SIGHUP where there is a file to be read again.

    Without one it ends the gateway, as it does when somebody closes his terminal.
    """
    has_file = prepared.options.config is not None
    return hangups() if has_file else nullcontext(asyncio.Event())


@contextmanager
def _pid_file(prepared: Prepared) -> Iterator[None]:
    """Say which process this is for as long as it lasts, where that was asked for.

    Raises:
        RunError: The file cannot be written.
    """
    path = prepared.options.pid_file
    with ExitStack() as stack:
        if path is not None:
            try:
                stack.enter_context(pid_file(path))
            except OSError as error:
                text = f"cannot write {path}: {error.strerror}"
                raise RunError(text, exit_code=2) from error
        yield


@contextmanager
def _recording(prepared: Prepared) -> Iterator[Recorder | None]:
    """Record for as long as it lasts, where that was asked for.

    Raises:
        RunError: The file is there already, or cannot be made.
    """
    path = prepared.options.record
    if path is None:
        yield None
        return
    if prepared.config.gateway.history.file is not None:
        text = (
            "a gateway whose history is in a file cannot be recorded: when a message is"
            " safe is up to the disk; leave out --record or gateway.history.file"
        )
        raise RunError(text, exit_code=2)
    try:
        # Whoever may read it reads what clients say.
        file = open(path, "xb", buffering=0, opener=_private)
    except FileExistsError:
        text = f"{path} is there already: record into a new file"
        raise RunError(text, exit_code=2) from None
    except OSError as error:
        text = f"cannot record into {path}: {error.strerror}"
        raise RunError(text, exit_code=2) from error
    # Imported here, for most gateways record nothing: it takes 30 ms of their start.
    from wsprism_core.recording.recorder import Recorder

    options = prepared.options
    recorder = Recorder(
        prepared.config, prepared.plugins, has_file=prepared.config != out_of_the_box()
    )
    recorder.open(file, max_bytes=options.record_max_bytes)
    try:
        yield recorder
    except RunError:
        recorder.close()
        path.unlink()
        raise
    finally:
        recorder.close()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _assemble(prepared: Prepared, recorder: Recorder | None) -> Gateway:
    options, host = prepared.options, prepared.host
    settings = prepared.config.gateway
    bounds = InboundBounds(
        max_fragments=settings.max_fragments,
        control_frames_per_second=settings.control_frames_per_second,
    )
    # One account for the whole process, whatever the connections came by.
    unfinished = UnfinishedBytes(settings.max_unfinished_bytes)
    half_open = HalfOpen(settings.max_handshakes, settings.max_handshakes_per_ip)
    turns = ReadingTurns(asyncio.get_running_loop())
    websocket = WebSocketTransport(
        host,
        prepared.port,
        bounds=bounds,
        unfinished=unfinished,
        proxies=TrustedProxies(settings.trusted_proxies),
        half_open=half_open,
        turns=turns,
        deflate=_deflate(settings.deflate),
    )
    transports: list[Transport] = [_Listener(websocket, host, prepared.port, "--port")]
    if options.tcp_port is not None:
        tcp = TcpTransport(
            host,
            options.tcp_port,
            bounds=bounds,
            unfinished=unfinished,
            half_open=half_open,
            turns=turns,
        )
        transports.append(_Listener(tcp, host, options.tcp_port, "--tcp-port"))
    register = compile_each(prepared.plugins.hook("register_transports"))
    for plugin, register_transports in register.items():
        try:
            transports += register_transports(options) or ()
        except Exception as error:
            raise _failed(f"plugin {plugin!r}: register_transports", error) from error
    admin = None
    if (place := prepared.admin) is not None:
        http = PostTransport(place.host, place.port)
        listener = _Listener(
            http, place.host, place.port, "--admin-port", optional=place.optional
        )
        admin = AdminListener(listener, place.guard)
    try:
        return Gateway(
            prepared.config,
            prepared.plugins,
            recorder.clock if recorder else LoopClock(asyncio.get_running_loop()),
            transports=transports,
            development=prepared.development,
            admin=admin,
            chance=recorder.chance if recorder else None,
            boundary=recorder,
        )
    except WsPrismError as error:
        raise RunError(str(error), exit_code=2) from error


def _certificates(prepared: Prepared, gateway: Gateway) -> CertificateWatch | None:
    """Return what looks after the certificate, which now secures the gateway's sockets.

    Raises:
        RunError: There is none that can be used.
    """
    settings = prepared.config.gateway.tls
    if settings is None:
        return None

    def apply(context: ssl.SSLContext) -> None:
        for transport in gateway.transports:
            if isinstance(transport, _Listener):
                transport.secure(context)

    clock = LoopClock(asyncio.get_running_loop())
    try:
        return CertificateWatch(settings, clock, gateway.metrics, apply)
    except CertificateError as error:
        raise RunError(str(error), exit_code=2) from error


def _deflate(settings: DeflateConfig) -> Deflate | None:
    if not settings.enabled:
        return None
    return Deflate(min_bytes=settings.min_bytes, level=settings.level)


def _addresses(gateway: Gateway) -> list[str]:
    """Return where it listens, as a client is told it."""
    return [
        one.address + WEBSOCKET_PATH if one.name == "websocket" else one.address
        for one in gateway.transports
    ]


def _admin_place(admin: AdminListener) -> str:
    """Return where operators look in, or why they don't."""
    transport = admin.transport
    if isinstance(transport, _Listener) and transport.absence:
        return f"not there: {transport.absence}"
    return transport.address


async def _start(gateway: Gateway) -> None:
    try:
        await gateway.start()
    except RunError:
        raise
    except Exception as error:
        _log.error("start_failed", exc=error)
        raise _failed("a plugin", error) from error


def _failed(what: str, error: Exception) -> RunError:
    text = f"{what} failed to start: {type(error).__name__}: {error}"
    return RunError(text, exit_code=1)


def _check_addresses(prepared: Prepared, gateway: Gateway) -> None:
    """Refuse development tickets where a plugin's transport is open to others.

    Where such a transport listens is known only once it does.
    """
    if not prepared.development or prepared.options.allow_insecure_dev:
        return
    for transport in gateway.transports:
        host = urlsplit(transport.address).hostname
        if host is not None and not is_loopback(host):
            raise _insecure(host)


class _Listener:
    """A transport that tells, in words for people, why it cannot listen.

    Args:
        transport: What listens.
        host: Where.
        port: Where.
        flag: The option that chooses another port.
        optional: Whether a port that is taken is no error.

    Attributes:
        absence: Why it does not listen, where it does not.
    """

    def __init__(
        self,
        transport: Transport,
        host: str,
        port: int,
        flag: str,
        *,
        optional: bool = False,
    ) -> None:
        self._transport = transport
        self._where = host, port, flag
        self._optional = optional
        self.absence = ""
        self.name = transport.name
        self.address = ""
        self.stop_accepting = transport.stop_accepting
        self.stop = transport.stop

    def secure(self, context: ssl.SSLContext) -> None:
        """Secure connections that come from now on."""
        if isinstance(self._transport, StreamTransport):
            self._transport.ssl_context = context

    async def start(self, host: Host) -> None:
        """Listen.

        Raises:
            RunError: The address cannot be bound.
        """
        try:
            await self._transport.start(host)
        except OSError as error:
            text = _cannot_listen(*self._where, error)
            if self._optional and error.errno == errno.EADDRINUSE:
                self.absence = text
                _log.info("not_listening", reason=text)
                return
            raise RunError(text, exit_code=1) from error
        self.address = self._transport.address


def _cannot_listen(host: str, port: int, flag: str, error: OSError) -> str:
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if isinstance(error, socket.gaierror):
        return f"no address is known for {host!r}; choose another with --host"
    if error.errno == errno.EADDRINUSE:
        return (
            f"{where} is in use: stop what listens there,"
            f" or choose another port with {flag}"
        )
    if error.errno == errno.EACCES:
        return f"you may not listen on {where}: choose a port above 1023 with {flag}"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"this machine has no address {host}; choose another with --host"
    return f"cannot listen on {where}: {error}"


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:  # Windows, PyPy
        return asyncio.new_event_loop
    return uvloop.new_event_loop
