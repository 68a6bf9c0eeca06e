from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any

import pytest

from wsprism_core import HOOK_API_VERSION, Service, hookimpl
from wsprism_core.hookspecs import HookSpecs
from wsprism_core.plugins import PluginError, PluginInfo, PluginSet


class Quiet:
    """Does nothing, and that correctly."""

    wsprism_api = HOOK_API_VERSION

    @hookimpl
    def on_open(self) -> None:
        """See the class."""


def refused(plugin: object) -> str:
    """Return why a plugin that is handed over is refused."""
    with pytest.raises(PluginError) as caught:
        PluginSet.load([], extra=[plugin])
    text = str(caught.value)
    assert text.startswith("plugin 'P': ")
    return text.removeprefix("plugin 'P': ")


def accepted(plugin: object) -> PluginInfo:
    (info,) = PluginSet.load([], extra=[plugin]).loaded
    return info


def test_refused_misspelt_hook() -> None:
    class P(Quiet):
        @hookimpl
        def on_mesage(self) -> None: ...

    assert refused(P) == "there is no hook 'on_mesage'; did you mean 'on_message'?"


def test_refused_hook_that_resembles_none() -> None:
    class P(Quiet):
        @hookimpl
        def zzz(self) -> None: ...

    assert refused(P) == "there is no hook 'zzz'"


def test_refused_misspelt_specname() -> None:
    class P(Quiet):
        @hookimpl(specname="on_leaf")
        def leave(self) -> None: ...

    assert refused(P) == "there is no hook 'on_leaf'; did you mean 'on_leave'?"


def test_an_optional_hook_may_be_missing() -> None:
    class P(Quiet):
        @hookimpl(optionalhook=True)
        def on_party_changed(self) -> None: ...

    assert accepted(P).hooks == ("on_open", "on_party_changed")


def test_refused_unmarked_hook() -> None:
    class P(Quiet):
        def on_message(self) -> None: ...

    assert refused(P) == "its on_message is not marked with @hookimpl"


def test_refused_override_that_forgets_the_marker() -> None:
    class P(Quiet):
        def on_open(self) -> None: ...

    assert refused(P) == "its on_open is not marked with @hookimpl"


def test_refused_no_hook_at_all() -> None:
    class P:
        wsprism_api = HOOK_API_VERSION

    assert refused(P) == "it implements no hook"


def test_refused_hook_implemented_twice() -> None:
    class P(Quiet):
        @hookimpl(specname="on_open")
        def opened(self) -> None: ...

    assert refused(P) == "it implements on_open twice"


def test_refused_argument_that_the_hook_does_not_have() -> None:
    class P(Quiet):
        @hookimpl
        def on_join(self, rom: str) -> None: ...

    assert refused(P).startswith(
        "PluginValidationError: Plugin 'P' for hook 'on_join' hookimpl definition: "
    )


def test_refused_services_that_are_none() -> None:
    class P:
        wsprism_api = HOOK_API_VERSION

        @hookimpl
        def register_services(self) -> Any:
            return ["chat"]

    assert refused(P) == "register_services returned 'chat', not a Service"


def test_refused_services_that_raise() -> None:
    class P:
        wsprism_api = HOOK_API_VERSION

        @hookimpl
        def register_services(self) -> Iterator[Service]:
            yield Service(name="a")
            raise OSError("disk")

    assert refused(P) == "OSError: disk"


ASYNC = {"on_start", "on_stop", "on_message", "authenticate", "check_message"}
UNWRAPPED = {
    "register_services",
    "register_routes",
    "register_transports",
    "register_commands",
    "on_start",
    "on_stop",
    "authenticate",
    "on_binary",
}
HOOKS = sorted(name for name in vars(HookSpecs) if not name.startswith("_"))


def plugin_with(hook: str, function: Callable[..., Any]) -> type:
    return type("P", (Quiet,), {hook: function})


async def coroutine(self: object) -> None: ...


async def async_generator(self: object) -> AsyncIterator[None]:
    yield


def generator(self: object) -> Generator[None, Any, Any]:
    return (yield)


@pytest.mark.parametrize("hook", HOOKS)
def test_async_is_refused_but_for_five_hooks(hook: str) -> None:
    plugin = plugin_with(hook, hookimpl(coroutine))
    if hook in ASYNC:
        assert accepted(plugin).name == "P"
    else:
        assert refused(plugin) == (
            f"its {hook} is async; "
            "only on_start, on_stop, on_message, authenticate, check_message may be"
        )


@pytest.mark.parametrize("hook", ["on_message", "on_join"])
def test_refused_async_generator(hook: str) -> None:
    plugin = plugin_with(hook, hookimpl(async_generator))
    assert refused(plugin) == f"its {hook} is an async generator; return what it yields"


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("kind", ["wrapper", "hookwrapper"])
def test_wrappers_are_refused_where_plugins_are_called_one_by_one(
    hook: str, kind: str
) -> None:
    options: dict[str, Any] = {kind: True, "specname": hook}
    # A function of its own, since the marker is an attribute of the function.
    plugin = plugin_with(f"_{hook}", hookimpl(**options)(lambda self: (yield)))
    if hook == "on_open":
        assert refused(plugin) == "it implements on_open twice"
    elif hook in UNWRAPPED:
        assert refused(plugin) == f"its {hook} is a wrapper; that hook takes none"
    else:
        assert accepted(plugin).name == "P"


def test_refused_wrapper_that_is_no_generator() -> None:
    class P(Quiet):
        @hookimpl(wrapper=True)
        def on_join(self) -> None: ...

    assert "function is not a generator function" in refused(P)
