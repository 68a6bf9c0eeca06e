"""Route tables: which plugin's function a message or a frame goes to.

They are built once, from the manifests of all plugins. Whatever does not fit together
is refused here, before the gateway listens.
"""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from wsprism_core.actions import Actions
from wsprism_core.api import Session
from wsprism_core.dispatch import Wrap, compile_each, compile_observers, implementations
from wsprism_core.manifest import Inbound, Opcode, Outbound, RoomRule, Service
from wsprism_core.plugins import PluginSet
from wsprism_core.protocol.envelope import Envelope
from wsprism_core.protocol.errors import WsPrismError
from wsprism_core.protocol.hotframe import HotFrame
from wsprism_core.protocol.layout import (
    OPCODE_ACK,
    PRIVATE_SERVICE_IDS,
    SERVICE_IDS,
    THIRD_PARTY_SERVICE_IDS,
)
from wsprism_core.realtime.lanes import Lane, order_lanes

__all__ = (
    "FrameHandler",
    "ManifestError",
    "MessageHandler",
    "Routes",
    "ServiceRoute",
    "build_routes",
)

MessageHandler: TypeAlias = Callable[[Session, Envelope], Awaitable[Actions] | Actions]
FrameHandler: TypeAlias = Callable[[Session, HotFrame], Actions]

_SERVICE_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}\Z")
#: The services that are the core's own.
_CORE_SERVICES: Final = ("room", "sys")
_U8: Final = 256
_FREE_IDS: Final = (
    f"take one of {THIRD_PARTY_SERVICE_IDS[0]}-{THIRD_PARTY_SERVICE_IDS[-1]}"
    f" (third parties) or {PRIVATE_SERVICE_IDS[0]}-{PRIVATE_SERVICE_IDS[-1]} (private)"
)


class ManifestError(WsPrismError):
    """What the services declare does not fit together, or a declaration is wrong."""


@dataclass(frozen=True, slots=True)
class ServiceRoute:
    """Where the messages and frames of one service go.

    Args:
        service: The manifest.
        plugin: The plugin that owns it.
        on_message: Called with session and message; None without inbound types.
        on_binary: Called with session and frame; None without inbound opcodes.
        is_async: Whether `on_message` returns an awaitable.
        inbound: The types that clients may send, by name.
        opcodes: The opcodes that clients may send, by number.
    """

    service: Service
    plugin: str
    on_message: MessageHandler | None
    on_binary: FrameHandler | None
    is_async: bool
    inbound: Mapping[str, Inbound]
    opcodes: Mapping[int, Opcode]


@dataclass(frozen=True, slots=True)
class Routes:
    """Everything that is looked up when a message or a frame comes in.

    Args:
        services: Routes by `svc`.
        by_id: Routes by `svc_id`, 256 of them, None where no service has the id.
        lanes: The default lanes and those of all services, in strict order.
        observe_message: Called with session and message after the owner; None where
            nobody observes. A list of results, an async observer's not yet awaited.
        observe_binary: The same for frames.
    """

    services: Mapping[str, ServiceRoute]
    by_id: tuple[ServiceRoute | None, ...]
    lanes: tuple[Lane, ...]
    observe_message: Callable[[Session, Envelope], list[Any]] | None
    observe_binary: Callable[[Session, HotFrame], list[Any]] | None


def build_routes(plugins: PluginSet, observe: Wrap | None = None) -> Routes:
    """Return the route tables of a set of plugins.

    Args:
        plugins: The plugins, with the manifests that they registered.
        observe: What to make of each observer's function before it is called. Owners'
            functions are left as they are: the caller knows whose they are.

    Raises:
        ManifestError: A manifest is wrong, or two clash.
    """
    owned = [
        _Owned(info.name, service)
        for info in plugins.loaded
        for service in info.services
    ]
    lanes = _order_lanes(owned)
    for one in owned:
        _check_name(one)
        _check_id(one)
        _check_unique(one)
        _check_inbound(one)
        _check_opcodes(one)
        _check_lanes(one, [lane.name for lane in lanes])
    _check_clashes(owned)

    messages, frames = plugins.hook("on_message"), plugins.hook("on_binary")
    on_message, on_binary = compile_each(messages), compile_each(frames)
    are_async = {
        impl.plugin_name
        for impl in implementations(messages)
        if inspect.iscoroutinefunction(impl.function)
    }
    services = {}
    by_id: list[ServiceRoute | None] = [None] * _U8
    for one in owned:
        service = one.service
        inbound = {kind.name: kind for kind in service.inbound}
        opcodes = {code.number: code for code in service.opcodes if code.inbound}
        if inbound and one.plugin not in on_message:
            raise ManifestError(f"{one} has inbound types; implement on_message")
        if opcodes and one.plugin not in on_binary:
            raise ManifestError(f"{one} has inbound opcodes; implement on_binary")
        route = ServiceRoute(
            service=service,
            plugin=one.plugin,
            on_message=on_message[one.plugin] if inbound else None,
            on_binary=on_binary[one.plugin] if opcodes else None,
            is_async=bool(inbound) and one.plugin in are_async,
            inbound=inbound,
            opcodes=opcodes,
        )
        services[service.name] = route
        if service.svc_id is not None:
            by_id[service.svc_id] = route
    observers = [info.name for info in plugins.loaded if not info.services]
    return Routes(
        services=services,
        by_id=tuple(by_id),
        lanes=lanes,
        observe_message=compile_observers(messages, observers, observe),
        observe_binary=compile_observers(frames, observers, observe),
    )


@dataclass(frozen=True, slots=True)
class _Owned:
    """A service and the plugin that declared it."""

    plugin: str
    service: Service

    def __str__(self) -> str:
        return f"service {self.service.name!r} of plugin {self.plugin!r}"


def _order_lanes(owned: Iterable[_Owned]) -> tuple[Lane, ...]:
    owners: dict[str, _Owned] = {}
    lanes: list[Lane] = []
    for one in owned:
        for lane in one.service.lanes:
            if lane.name in owners:
                raise ManifestError(
                    f"{one}: lane {lane.name!r} is taken by {owners[lane.name]}; "
                    "rename one of them"
                )
            owners[lane.name] = one
            lanes.append(lane)
            try:
                order_lanes(lanes)
            except ValueError as exc:
                raise ManifestError(
                    f"{one}: {exc}; give it another name or place"
                ) from exc
    return order_lanes(lanes)


def _check_name(one: _Owned) -> None:
    if not _SERVICE_NAME.match(one.service.name):
        raise ManifestError(
            f"{one}: a name is a lower case letter and up to 31 more of a-z 0-9 _ -"
        )
    if one.service.name in _CORE_SERVICES:
        raise ManifestError(f"{one}: the name is the core's own; choose another")


def _check_id(one: _Owned) -> None:
    svc_id = one.service.svc_id
    if svc_id is None or svc_id in THIRD_PARTY_SERVICE_IDS:
        return
    if svc_id in PRIVATE_SERVICE_IDS or svc_id == SERVICE_IDS.get(one.service.name):
        return
    for name, reserved in SERVICE_IDS.items():
        if svc_id == reserved:
            raise ManifestError(
                f"{one}: svc_id {svc_id} is reserved for {name!r}; {_FREE_IDS}"
            )
    raise ManifestError(f"{one}: there is no svc_id {svc_id}; {_FREE_IDS}")


def _check_unique(one: _Owned) -> None:
    service = one.service
    for what, names in (
        ("inbound type", [kind.name for kind in service.inbound]),
        ("outbound type", [kind.name for kind in service.outbound]),
        ("opcode", [code.number for code in service.opcodes]),
        ("opcode name", [code.name for code in service.opcodes]),
    ):
        for name, count in Counter[str | int](names).items():
            if count > 1:
                raise ManifestError(
                    f"{one}: {what} {name!r} is declared twice; remove or rename one"
                )


def _check_inbound(one: _Owned) -> None:
    for kind in one.service.inbound:
        if kind.drop_stale and kind.room is RoomRule.OPTIONAL:
            raise ManifestError(
                f"{one}: inbound type {kind.name!r} has drop_stale and an optional "
                "room, of which a client may name any number; make it member or none"
            )
        if kind.dedup is not None and kind.room is not RoomRule.MEMBER:
            raise ManifestError(
                f"{one}: inbound type {kind.name!r} has dedup, and its sender may be "
                "in no room that remembers ids; set room=RoomRule.MEMBER or leave it "
                "out"
            )
        if kind.key is not None and not kind.latest:
            raise ManifestError(
                f"{one}: inbound type {kind.name!r} has a key but is not latest; "
                "set latest=True or leave the key out"
            )
        fields = _fields(kind.schema)
        for what, name in (("key", kind.key), ("dedup field", kind.dedup)):
            if name is not None and fields and name not in fields:
                raise ManifestError(
                    f"{one}: inbound type {kind.name!r} has the {what} {name!r}, which "
                    f"its schema has not; take one of {', '.join(sorted(fields))}"
                )


def _fields(schema: Any) -> set[str]:
    """Return the names of a schema's fields; none where it is no class."""
    if not isinstance(schema, type):
        return set()
    return {name for base in schema.__mro__ for name in inspect.get_annotations(base)}


def _check_opcodes(one: _Owned) -> None:
    if one.service.opcodes and one.service.svc_id is None:
        raise ManifestError(f"{one} has opcodes but no svc_id; {_FREE_IDS}")
    for code in one.service.opcodes:
        if code.number == OPCODE_ACK:
            raise ManifestError(
                f"{one}: opcode {code.name!r} is 0, which is ACK in every service; "
                f"take one of 1-{_U8 - 1}"
            )
        if code.number not in range(_U8):
            raise ManifestError(
                f"{one}: opcode {code.name!r} is {code.number}; take one of 1-{_U8 - 1}"
            )
        if code.drop_stale and not code.inbound:
            raise ManifestError(
                f"{one}: opcode {code.name!r} has drop_stale, but no client may send "
                "it; remove one of the two"
            )
        if code.room is RoomRule.OPTIONAL:
            raise ManifestError(
                f"{one}: opcode {code.name!r} has an optional room; "
                "a hot frame's is member or none"
            )


def _check_lanes(one: _Owned, known: Sequence[str]) -> None:
    service = one.service
    users: tuple[Inbound | Outbound | Opcode, ...] = (
        *service.inbound,
        *service.outbound,
        *service.opcodes,
    )
    named = [("all of it", service.lane), *((user.name, user.lane) for user in users)]
    for user, lane in named:
        if lane is not None and lane not in known:
            raise ManifestError(
                f"{one}: there is no lane {lane!r} (for {user}); "
                f"declare it, or take one of {', '.join(known)}"
            )


def _check_clashes(owned: Iterable[_Owned]) -> None:
    names: dict[str, _Owned] = {}
    ids: dict[int, _Owned] = {}
    counters: dict[str, _Owned] = {}
    for one in owned:
        other = names.setdefault(one.service.name, one)
        if other is not one:
            raise ManifestError(
                f"{one}: the name is taken by {other}; load only one of them"
            )
        for counter in one.service.counters:
            other = counters.setdefault(counter, one)
            if other is not one:
                raise ManifestError(
                    f"{one}: counter {counter!r} is taken by {other}; "
                    "rename one of them"
                )
        if one.service.svc_id is None:
            continue
        other = ids.setdefault(one.service.svc_id, one)
        if other is not one:
            raise ManifestError(
                f"{one}: svc_id {one.service.svc_id} is taken by {other}; "
                "give it another, or load only one of them"
            )
