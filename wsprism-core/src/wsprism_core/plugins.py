"""Plugins: found, chosen, checked and put in order.

pluggy registers plugins and orders their hooks; what it would pass over in silence is
refused here. A name that is not installed, two distributions that offer the same name,
a hook that does not exist, a method without its marker: each is one clear line.

A plugin that was asked for must work. One that merely happens to be installed and is
broken is left out with a warning, and the others run.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Final

import pluggy

from wsprism_core.hookspecs import HOOK_API_VERSION, PROJECT, HookSpecs
from wsprism_core.logs import EventLog
from wsprism_core.manifest import Service
from wsprism_core.protocol.errors import WsPrismError

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ("PluginError", "PluginInfo", "PluginSet", "PluginStatus", "list_plugins")

_log = EventLog("plugins")

#: What brings the plugins that people ask for by name.
_WELL_KNOWN: Final = {
    "chat": "wsprism-chat",
    "game": "wsprism-game",
    "market": "wsprism-market",
    "party": "wsprism-game",
}
_HOOKS: Final = tuple(name for name in vars(HookSpecs) if not name.startswith("_"))
_MAY_BE_ASYNC: Final = (
    "on_start",
    "on_stop",
    "on_message",
    "authenticate",
    "check_message",
)
#: Hooks that are called plugin by plugin, so that nothing could go around all of them.
_NO_WRAPPERS: Final = (
    "register_services",
    "register_routes",
    "register_transports",
    "register_commands",
    "on_start",
    "on_stop",
    "authenticate",
    "on_binary",
)


class PluginError(WsPrismError):
    """A plugin that was asked for cannot be had, or two of them clash."""


class PluginStatus(StrEnum):
    """How it stands with a plugin."""

    LOADED = "loaded"
    #: It works and was not chosen.
    AVAILABLE = "available"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginInfo:
    """What is known of a plugin.

    Args:
        name: The entry point's name. Of a plugin that was handed over: its attribute
            `name`, else the name of its class or module.
        distribution: The distribution that brought it; None if it was handed over.
        version: The distribution's version.
        hooks: Names of the hooks that it implements, sorted.
        services: The manifests of the services that it owns.
        fails_open: Whether messages pass that its async `check_message` has no answer
            to in time.
        status: How it stands with it.
        reason: Why it is broken, in one line.
    """

    name: str
    distribution: str | None = None
    version: str | None = None
    hooks: tuple[str, ...] = ()
    services: tuple[Service, ...] = ()
    fails_open: bool = False
    status: PluginStatus = PluginStatus.LOADED
    reason: str = ""

    def __str__(self) -> str:
        if self.distribution is None:
            return f"plugin {self.name!r}"
        return f"plugin {self.name!r} of {self.distribution} {self.version}"


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A plugin that was looked at: the object to register, or what is wrong with it."""

    info: PluginInfo
    plugin: Any = None
    error: BaseException | None = None


class PluginSet:
    """The plugins of one gateway, loaded, checked and in order; it does not change.

    Use `PluginSet.load` to make one.

    Attributes:
        loaded: What is registered, in the order in which its hooks are called.
        broken: What is installed, was not asked for by name and does not work.
    """

    def __init__(self, candidates: Sequence[_Candidate]) -> None:
        works = [one for one in candidates if one.error is None]
        self.loaded = tuple(one.info for one in works)
        self.broken = tuple(one.info for one in candidates if one.error is not None)
        self._manager = _new_manager()
        # pluggy calls what was registered last first.
        for one in reversed(works):
            try:
                self._manager.register(one.plugin, one.info.name)
            except ValueError as exc:
                raise PluginError(
                    f"{one.info}: its name or the very same plugin is loaded already"
                ) from exc
        self._manager.check_pending()

    @classmethod
    def load(
        cls, names: Iterable[str] | None = None, *, extra: Iterable[object] = ()
    ) -> PluginSet:
        """Load plugins; every set gets instances of its own.

        Args:
            names: Names of entry points, the one called first first. None is all that
                are installed, sorted.
            extra: Plugins handed over, called after the named ones: objects, modules,
                or classes to make an instance of.

        Raises:
            PluginError: A name is not installed, is offered twice, or names a plugin
                that does not work.
        """
        installed = _installed()
        chosen = sorted(installed) if names is None else list(dict.fromkeys(names))
        if unknown := [name for name in chosen if name not in installed]:
            raise PluginError(_not_installed(unknown, installed))
        for name in chosen:
            if len(installed[name]) > 1:
                raise PluginError(f"plugin {name!r}: {_offered_by(installed[name])}")
        found = [_from_entry_point(installed[name][0]) for name in chosen]
        given = [_handed_over(plugin) for plugin in extra]
        for one in given if names is None else (*found, *given):
            if one.error is not None:
                raise PluginError(f"{one.info}: {one.info.reason}") from one.error
        plugins = cls([*found, *given])
        for info in plugins.broken:
            _log.warning("plugin_left_out", plugin=info.name, reason=info.reason)
        return plugins

    @property
    def sections(self) -> dict[str, type[BaseModel]]:
        """The models of the sections that plugins take, by plugin."""
        return {
            info.name: service.config
            for info in self.loaded
            for service in info.services
            if service.config is not None
        }

    def hook(self, name: str) -> pluggy.HookCaller:
        """Return what pluggy knows of a hook.

        Raises:
            AttributeError: There is no such hook.
        """
        caller: pluggy.HookCaller = getattr(self._manager.hook, name)
        return caller


def list_plugins(names: Iterable[str] | None = None) -> tuple[PluginInfo, ...]:
    """Return every installed plugin, sorted by name, with what is wrong with it.

    Args:
        names: What counts as loaded if it works; None is all. Unknown ones are ignored.
    """
    chosen = None if names is None else frozenset(names)
    listing = []
    for name, offers in sorted(_installed().items()):
        for offer in offers:
            if len(offers) > 1:
                info = _broken(_describe(offer), _offered_by(offers))
            else:
                info = _from_entry_point(offer).info
            passed_over = chosen is not None and name not in chosen
            if passed_over and info.status is PluginStatus.LOADED:
                info = replace(info, status=PluginStatus.AVAILABLE)
            listing.append(info)
    return tuple(listing)


# ------------------------------------------------------------------- discovery


def _installed() -> dict[str, list[EntryPoint]]:
    """Return the entry points of the group by name; more than one of a name clash."""
    installed: dict[str, list[EntryPoint]] = {}
    for offer in sorted(entry_points(group=PROJECT), key=lambda it: str(_describe(it))):
        installed.setdefault(offer.name, []).append(offer)
    return installed


def _describe(offer: EntryPoint) -> PluginInfo:
    dist = offer.dist
    if dist is None:
        return PluginInfo(name=offer.name)
    return PluginInfo(name=offer.name, distribution=dist.name, version=dist.version)


def _offered_by(offers: Iterable[EntryPoint]) -> str:
    infos = [_describe(offer) for offer in offers]
    by = " and ".join(f"{info.distribution} {info.version}" for info in infos)
    return f"offered by {by}; uninstall all but one"


def _not_installed(unknown: Iterable[str], installed: Iterable[str]) -> str:
    parts = []
    for name in unknown:
        hint = f" (pip install {_WELL_KNOWN[name]})" if name in _WELL_KNOWN else ""
        parts.append(f"no plugin {name!r} is installed{hint}")
    return "; ".join((*parts, f"installed: {', '.join(sorted(installed)) or 'none'}"))


def _from_entry_point(offer: EntryPoint) -> _Candidate:
    return _candidate(_describe(offer), offer.load)


def _handed_over(plugin: object) -> _Candidate:
    name: object = getattr(plugin, "name", None)
    if not isinstance(name, str):
        name = getattr(plugin, "__name__", type(plugin).__name__)
    return _candidate(PluginInfo(name=str(name)), lambda: plugin)


# ------------------------------------------------------------------ validation


def _candidate(info: PluginInfo, load: Callable[[], object]) -> _Candidate:
    try:
        plugin = _make(load())
        hooks = _check_hooks(info.name, plugin)
        services = _services_of(hooks)
        fails_open = _fails_open(plugin, hooks)
    except PluginError as exc:
        return _Candidate(_broken(info, str(exc)), error=exc)
    except (Exception, SystemExit) as exc:  # a module may call sys.exit()
        return _Candidate(_broken(info, f"{type(exc).__name__}: {exc}"), error=exc)
    info = replace(
        info, hooks=tuple(sorted(hooks)), services=services, fails_open=fails_open
    )
    return _Candidate(info, plugin)


def _broken(info: PluginInfo, reason: str) -> PluginInfo:
    one_line = " ".join(reason.split())
    return replace(info, status=PluginStatus.BROKEN, reason=one_line)


def _make(target: object) -> object:
    """Return the plugin: an instance of a class, or else what was named itself."""
    version = getattr(target, "wsprism_api", None)
    if version is None:
        raise PluginError(
            "it names no hook API version; "
            f"this wsprism-core has wsprism_api = {HOOK_API_VERSION}"
        )
    if version != HOOK_API_VERSION:
        raise PluginError(
            f"it was written for hook API {version!r}; "
            f"this wsprism-core has {HOOK_API_VERSION}"
        )
    return target() if isinstance(target, type) else target


def _new_manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(HookSpecs)
    return manager


def _check_hooks(name: str, plugin: object) -> dict[str, pluggy.HookImpl]:
    """Return the hooks that a plugin implements.

    Raises:
        PluginError: One is unknown, unmarked, doubled, or async or a wrapper where it
            may not be; or there is none.
        PluginValidationError: One wants an argument that its hook does not have.
    """
    # A manager of its own, so that a broken plugin leaves no trace in the real one.
    manager = _new_manager()
    manager.register(plugin, name)
    hooks: dict[str, pluggy.HookImpl] = {}
    for caller in manager.get_hookcallers(plugin) or ():
        impl, *others = caller.get_hookimpls()
        if others:
            raise PluginError(f"it implements {caller.name} twice")
        if caller.spec is not None:
            _check_kind(caller.name, impl)
        elif not impl.optionalhook:
            raise PluginError(
                f"there is no hook {caller.name!r}{_nearest(caller.name)}"
            )
        hooks[caller.name] = impl
    for hook in _HOOKS:
        if hook not in hooks and callable(inspect.getattr_static(plugin, hook, None)):
            raise PluginError(f"its {hook} is not marked with @hookimpl")
    if not hooks:
        raise PluginError("it implements no hook")
    return hooks


def _check_kind(hook: str, impl: pluggy.HookImpl) -> None:
    if inspect.isasyncgenfunction(impl.function):
        raise PluginError(f"its {hook} is an async generator; return what it yields")
    if inspect.iscoroutinefunction(impl.function) and hook not in _MAY_BE_ASYNC:
        raise PluginError(
            f"its {hook} is async; only {', '.join(_MAY_BE_ASYNC)} may be"
        )
    if (impl.wrapper or impl.hookwrapper) and hook in _NO_WRAPPERS:
        raise PluginError(f"its {hook} is a wrapper; that hook takes none")


def _nearest(hook: str) -> str:
    near = difflib.get_close_matches(hook, _HOOKS, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _services_of(hooks: Mapping[str, pluggy.HookImpl]) -> tuple[Service, ...]:
    if "register_services" not in hooks:
        return ()
    declared: Any = hooks["register_services"].function()
    services = (declared,) if isinstance(declared, Service) else tuple(declared or ())
    for service in services:
        if not isinstance(service, Service):
            raise PluginError(f"register_services returned {service!r}, not a Service")
    return services


def _fails_open(plugin: object, hooks: Mapping[str, pluggy.HookImpl]) -> bool:
    """Return what a plugin says of messages that it has no answer to in time.

    Raises:
        PluginError: It says so of nothing that could be late.
    """
    fails_open: object = getattr(plugin, "wsprism_fail_open", None)
    if fails_open is None:
        return False
    if not isinstance(fails_open, bool):
        raise PluginError(f"its wsprism_fail_open is {fails_open!r}, not a bool")
    check = hooks.get("check_message")
    if check is None or not inspect.iscoroutinefunction(check.function):
        raise PluginError(
            "its wsprism_fail_open is for an async check_message, and it has none; "
            "hot frames and what is checked at once never wait, and so never pass "
            "unchecked"
        )
    return fails_open
