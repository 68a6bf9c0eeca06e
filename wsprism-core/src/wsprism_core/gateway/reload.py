"""Reloading: a new configuration in a gateway that runs, without a session dropped.

Everything is built from the new configuration first. Then all of it is put in place
within one turn of the event loop, so that no handler sees half of it. What cannot
change while the gateway runs stays as it is, and the report says so.

Limits hold for what comes next. Nothing that exists is ended because it is over a limit
that was lowered; only the sessions of a tenant that is gone are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import orjson
from pydantic import BaseModel

from wsprism_core.config import Config, GatewayConfig
from wsprism_core.gateway.connection import Connection
from wsprism_core.gateway.ingress import Ingress
from wsprism_core.gateway.sessions import SessionDesk
from wsprism_core.policy.tenant import Tenant
from wsprism_core.protocol.layout import CloseCode
from wsprism_core.realtime.clock import Clock

__all__ = (
    "Applier",
    "Change",
    "ReloadReport",
    "Reloader",
    "TenantApplier",
    "differences",
)

#: How much of a value is shown, in characters.
_SHOWN_CHARS: Final = 200
#: Sessions of a tenant that is gone which are ended in one turn of the event loop.
_ENDED_PER_TURN: Final = 64


@dataclass(frozen=True, slots=True)
class Change:
    """A key whose value is another one now.

    Args:
        path: Such as `gateway.ping_interval_ms` or `tenants[acme].limits`.
        old: What it was, for people; a secret is not shown.
        new: What it is to be.
    """

    path: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.path}: {self.old} -> {self.new}"


@dataclass(frozen=True, slots=True)
class ReloadReport:
    """What came of a new configuration.

    Args:
        applied: What holds from now on.
        needs_restart: What stays as it is until the gateway is started again.
    """

    applied: tuple[Change, ...] = ()
    needs_restart: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class Applier:
    """What takes new values of some keys of `gateway` while it runs.

    Args:
        keys: Their names.
        prepare: Builds what is to be from the new section. It returns what puts that in
            place, which must not fail, or None where only a restart can.
    """

    keys: tuple[str, ...]
    prepare: Callable[[GatewayConfig], Callable[[], None] | None]


class TenantApplier:
    """Adds, changes and removes tenants while the gateway runs.

    Args:
        tenants: The tenants, by id; everybody's, so it is changed in place.
        ingress: Where it is compiled what their clients may send.
        desk: Where their sessions are.
        clock: Time.
        shadow_refusals: Where it is counted what limits on trial would refuse.
    """

    def __init__(
        self,
        tenants: dict[str, Tenant],
        ingress: Ingress,
        desk: SessionDesk,
        clock: Clock,
        shadow_refusals: Counter[tuple[str, str]] | None = None,
    ) -> None:
        self._shadow_refusals = shadow_refusals
        self._tenants = tenants
        self._ingress = ingress
        self._desk = desk
        self._clock = clock

    def prepare(self, old: Config, new: Config) -> Callable[[], None]:
        """Build what is to be; return what puts it in place."""
        now = self._clock.now()
        before = {tenant.id: tenant for tenant in old.tenants}
        built = {
            tenant.id: Tenant(tenant, now, self._shadow_refusals)
            for tenant in new.tenants
            if before.get(tenant.id) != tenant
        }
        tables = {id: self._ingress.compiled(tenant) for id, tenant in built.items()}
        order = [tenant.id for tenant in new.tenants]

        def apply() -> None:
            gone = [one for id, one in self._tenants.items() if id not in order]
            for id, tenant in built.items():
                known = self._tenants.setdefault(id, tenant)
                if known is not tenant:
                    known.become(tenant, now)
                self._ingress.replace(known, tables[id])
            kept = {id: self._tenants[id] for id in order}
            self._tenants.clear()
            self._tenants.update(kept)
            for tenant in gone:
                self._ingress.forget(tenant)
            endings: list[Callable[[], None]] = []
            for connection in self._desk.connections():
                if connection.tenant in gone:
                    endings.append(partial(self._end, connection))
                elif connection.tenant.id in built:
                    connection.policy_changed()
            # Those whose connection dropped have nothing left to come back to.
            resumes = self._desk.resumes
            for tenant in gone:
                detached = resumes.of_tenant(tenant.id)
                endings += (partial(resumes.end_one, id) for id in detached)
            self._run(endings)

        return apply

    def _end(self, connection: Connection) -> None:
        if connection.session is not None:
            self._desk.kick(
                connection.session,
                CloseCode.NOT_AUTHENTICATED,
                "the tenant was removed",
            )

    def _run(self, endings: list[Callable[[], None]]) -> None:
        """End sessions, a few in each turn: there may be many, and others wait."""
        for end in endings[:_ENDED_PER_TURN]:
            end()
        if later := endings[_ENDED_PER_TURN:]:
            self._clock.after(0, lambda: self._run(later))


class Reloader:
    """Puts a new configuration in place of the old.

    Args:
        config: What holds.
        preparers: Each builds its part of another configuration, given the old and the
            new one; it returns what puts that in place, which must not fail.
        appliers: What changes keys of `gateway`; a key that none of them has needs a
            restart, and so do the sections of plugins.

    Attributes:
        config: What holds. What needs a restart is in it as it was at the start.
    """

    def __init__(
        self,
        config: Config,
        preparers: Iterable[Callable[[Config, Config], Callable[[], None]]],
        appliers: Iterable[Applier],
    ) -> None:
        self.config = config
        self._preparers = tuple(preparers)
        self._appliers = tuple(appliers)

    def reload(self, new: Config) -> ReloadReport:
        """Let a configuration hold that was checked.

        Raises:
            ConfigError: A key of its tickets cannot be used; nothing has changed.
        """
        old = self.config
        section = old.gateway
        swaps = [prepare(old, new) for prepare in self._preparers]
        for applier in self._appliers:
            values = {key: getattr(new.gateway, key) for key in applier.keys}
            if all(getattr(old.gateway, key) == values[key] for key in applier.keys):
                continue
            if (swap := applier.prepare(new.gateway)) is not None:
                swaps.append(swap)
                section = section.model_copy(update=values)
        self.config = new.model_copy(
            update={"gateway": section, "plugins": old.plugins}
        )
        report = ReloadReport(
            applied=tuple(differences(old, self.config)),
            needs_restart=tuple(differences(self.config, new)),
        )
        for swap in swaps:
            swap()
        return report


def differences(old: Config, new: Config) -> Iterator[Change]:
    """Yield what is another in two configurations; tenants go by their id."""
    yield from _compare("gateway", old.gateway, new.gateway)
    before = {tenant.id: tenant for tenant in old.tenants}
    after = {tenant.id: tenant for tenant in new.tenants}
    for id in dict.fromkeys([*before, *after]):
        path = f"tenants[{id}]"
        if id not in after:
            yield Change(path, "there", "removed")
        elif id not in before:
            yield Change(path, "not there", "added")
        else:
            yield from _compare(path, before[id], after[id])
    for name in dict.fromkeys([*old.plugins, *new.plugins]):
        if old.plugins.get(name, {}) != new.plugins.get(name, {}):
            # Nobody but the plugin knows what in it is a secret.
            yield Change(f"plugins.{name}", "(not shown)", "(not shown)")


def _compare(path: str, old: Any, new: Any) -> Iterator[Change]:
    if old == new:
        return
    if isinstance(old, BaseModel) and type(old) is type(new):
        for key in type(old).model_fields:
            yield from _compare(f"{path}.{key}", getattr(old, key), getattr(new, key))
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys([*old, *new]):
            yield from _compare(f"{path}.{key}", old.get(key), new.get(key))
    elif _are_sections(old) and _are_sections(new):
        for place in range(max(len(old), len(new))):
            at = f"{path}[{place}]"
            if place >= len(new):
                yield Change(at, _shown(old[place]), "removed")
            elif place >= len(old):
                yield Change(at, "not there", _shown(new[place]))
            else:
                yield from _compare(at, old[place], new[place])
    else:
        yield Change(path, _shown(old), _shown(new))


def _are_sections(value: Any) -> bool:
    """Whether it is a list of sections, each of which is compared by itself."""
    return isinstance(value, list | tuple) and all(
        isinstance(one, BaseModel) for one in value
    )


def _shown(value: Any) -> str:
    """Return a value for people, on one line; pydantic stars out what is a secret."""
    text = orjson.dumps(value, default=_plain).decode()
    cut = len(text) > _SHOWN_CHARS
    return f"{text[:_SHOWN_CHARS]}..." if cut else text


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Sequence):
        return list(value)
    return str(value)
