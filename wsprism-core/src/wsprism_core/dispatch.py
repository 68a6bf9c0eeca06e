"""The hook compiler: pluggy decides, a compiled function runs.

pluggy loads, checks and orders the implementations of a hook. What it decided is
written down here, once, as one plain Python function per hook that takes the hook's
arguments by position: no loop, no dictionary, no filter at a call. Results, order and
exceptions are those of pluggy's own call.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any, Final, TypeAlias

import pluggy

from wsprism_core.hookspecs import PROJECT, hookspec
from wsprism_core.logs import EventLog

__all__ = (
    "TRACE_VARIABLE",
    "Function",
    "Wrap",
    "compile_each",
    "compile_hook",
    "compile_observers",
    "implementations",
)

_log = EventLog("hooks")

#: Set in the environment: every call of a hook is logged, without its arguments.
TRACE_VARIABLE: Final = "WSPRISM_TRACE_HOOKS"

_RETURN_RESULT: Final = "if _result is not None: return _result"
_KEEP_RESULT: Final = "if _result is not None: _results.append(_result)"

#: Takes every argument of its hook, by position.
Function: TypeAlias = Callable[..., Any]
#: Makes another of a plugin's function; it is given the plugin's name.
Wrap: TypeAlias = Callable[[str, Function], Function]


def compile_hook(hook: pluggy.HookCaller, wrap: Wrap | None = None) -> Function:
    """Return a function that calls every implementation of a hook, as pluggy does.

    It returns the list of results, or of a firstresult hook the first; None is no
    result.

    Args:
        hook: Any hook with a specification.
        wrap: What to make of each plugin's function before it is called. Hook wrappers
            are left as they are, and go around the whole.
    """
    return _inside_wrappers(hook, _fan_out(hook, implementations(hook), wrap))


def compile_each(hook: pluggy.HookCaller) -> dict[str, Function]:
    """Return every plugin's own implementation of a hook, in the order of calling.

    Each returns what the implementation returns, and for each the wrappers of all
    plugins go around it. For what is one plugin's business: the messages of a service
    that it owns, results that are awaited, things that it registers.
    """
    trace = _tracing(hook, None)
    return {
        impl.plugin_name: _inside_wrappers(hook, _alone(hook, impl, trace))
        for impl in implementations(hook)
    }


def compile_observers(
    hook: pluggy.HookCaller, plugins: Iterable[str], wrap: Wrap | None = None
) -> Function | None:
    """Return a function that calls the implementations of some plugins, in order.

    No wrapper goes around it, since they went around what is observed. None if none of
    the plugins implements the hook.
    """
    named = frozenset(plugins)
    impls = [impl for impl in implementations(hook) if impl.plugin_name in named]
    return _fan_out(hook, impls, wrap) if impls else None


def implementations(hook: pluggy.HookCaller) -> tuple[pluggy.HookImpl, ...]:
    """Return what implements a hook but no wrappers, in the order of calling."""
    impls = reversed(hook.get_hookimpls())
    return tuple(impl for impl in impls if not _is_wrapper(impl))


def _is_wrapper(impl: pluggy.HookImpl) -> bool:
    return impl.wrapper or impl.hookwrapper


def _parameters(hook: pluggy.HookCaller) -> tuple[str, ...]:
    if hook.spec is None:
        raise ValueError(f"hook {hook.name!r} has no specification")
    return (*hook.spec.argnames, *hook.spec.kwargnames)


def _arguments(impl: pluggy.HookImpl, parameters: Sequence[str]) -> list[str]:
    """Return what an implementation is called with: just what it asks for."""
    defaulted = [name for name in impl.kwargnames if name in parameters]
    return [*impl.argnames, *(f"{name}={name}" for name in defaulted)]


def _define(
    hook: pluggy.HookCaller, body: Iterable[str], scope: dict[str, Any]
) -> Function:
    """Return a function with the hook's name and parameters."""
    head = f"def {hook.name}({', '.join(_parameters(hook))}):"
    source = "\n    ".join((head, *body))
    exec(compile(source, f"<wsprism hook {hook.name}>", "exec"), scope)
    function: Function = scope[hook.name]
    return function


def _forward(
    hook: pluggy.HookCaller, function: Function, arguments: Iterable[str]
) -> Function:
    """Return a function with the hook's parameters that calls another with some."""
    call = f"return _call({', '.join(arguments)})"
    return _define(hook, [call], {"_call": function})


def _alone(
    hook: pluggy.HookCaller, impl: pluggy.HookImpl, wrap: Wrap | None
) -> Function:
    """Return one implementation as a function of all the hook's arguments."""
    parameters = _parameters(hook)
    function: Function = impl.function
    if impl.argnames != parameters:
        function = _forward(hook, impl.function, _arguments(impl, parameters))
    return function if wrap is None else wrap(impl.plugin_name, function)


def _fan_out(
    hook: pluggy.HookCaller, impls: Iterable[pluggy.HookImpl], wrap: Wrap | None
) -> Function:
    """Write the function that calls some implementations one after another."""
    parameters = _parameters(hook)
    wrap = _tracing(hook, wrap)
    scope: dict[str, Any] = {}
    calls = []
    for index, impl in enumerate(impls):
        name = f"_call_{index}"
        if wrap is None:
            scope[name] = impl.function
            arguments = _arguments(impl, parameters)
        else:
            scope[name] = _alone(hook, impl, wrap)
            arguments = list(parameters)
        calls.append(f"_result = {name}({', '.join(arguments)})")
    if hook.spec is not None and hook.spec.opts.get("firstresult"):
        body = [line for call in calls for line in (call, _RETURN_RESULT)]
        return _define(hook, [*body, "return None"], scope)
    body = [line for call in calls for line in (call, _KEEP_RESULT)]
    return _define(hook, ["_results = []", *body, "return _results"], scope)


def _tracing(hook: pluggy.HookCaller, wrap: Wrap | None) -> Wrap | None:
    """Return a transform that also logs each call, where that was asked for."""
    if not os.environ.get(TRACE_VARIABLE):
        return wrap

    def trace(plugin: str, function: Function) -> Function:
        inner = function if wrap is None else wrap(plugin, function)

        def traced(*args: Any) -> Any:
            _log.info("hook_called", hook=hook.name, plugin=plugin)
            return inner(*args)

        return traced

    return trace


class _Wrappers(pluggy.PluginManager):
    """Lets pluggy itself run the wrappers of a hook around one function.

    What wrappers do to results and exceptions has many corners, and wrappers are rare:
    this way is slower, and has every corner of pluggy since it is pluggy.
    """

    def __init__(self, hook: pluggy.HookCaller, function: Function) -> None:
        super().__init__(PROJECT)
        self.hook_name = hook.name
        specs = ModuleType(hook.name)
        # Whatever kind the hook is, what the function returns is the one result.
        spec = hookspec(firstresult=True)(_define(hook, ["pass"], {}))
        setattr(specs, hook.name, spec)
        self.add_hookspecs(specs)
        self.add(None, _forward(hook, function, _parameters(hook)))
        for impl in hook.get_hookimpls():
            if _is_wrapper(impl):
                self.add(impl.plugin_name, impl.function, impl.opts)

    def add(
        self,
        plugin: str | None,
        function: Function,
        opts: pluggy.HookimplOpts | None = None,
    ) -> None:
        """Put a function at the outer end of its kind: the order was decided before."""
        flags = {} if opts is None else {**opts, "tryfirst": False, "trylast": False}
        self.register(SimpleNamespace(**{self.hook_name: function}, opts=flags), plugin)

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> pluggy.HookimplOpts | None:
        """Answer for a function that `add` put into a namespace."""
        opts: pluggy.HookimplOpts | None = None
        if name == self.hook_name:
            opts = plugin.opts
        return opts


def _inside_wrappers(hook: pluggy.HookCaller, function: Function) -> Function:
    """Return a function with the wrappers of a hook around it, if there are any."""
    if not any(map(_is_wrapper, hook.get_hookimpls())):
        return function
    manager = _Wrappers(hook, function)
    keywords = [f"{name}={name}" for name in _parameters(hook)]
    return _forward(hook, getattr(manager.hook, hook.name), keywords)
