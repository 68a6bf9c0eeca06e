from __future__ import annotations

import warnings
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pluggy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsprism_core.dispatch import (
    TRACE_VARIABLE,
    Function,
    compile_each,
    compile_hook,
    compile_observers,
    implementations,
)
from wsprism_core.hookspecs import PROJECT, hookimpl, hookspec

PARAMETERS = ("a", "b", "c")


class Specs:
    @hookspec
    def fan_out(self, a: int, b: int, c: int) -> None: ...

    @hookspec(firstresult=True)
    def first(self, a: int, b: int, c: int) -> None: ...


def new_manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Specs)
    return manager


# ------------------------------------------------------ as pluggy, whatever is drawn


@dataclass
class Call:
    """One call of an implementation: it notes what it sees, and fails as it is told."""

    plugin: str
    args: dict[str, Any]
    log: list[Any]
    fault: Callable[[], BaseException]

    def note(self, *what: Any) -> None:
        self.log.append((self.plugin, *what))


Wrapping: TypeAlias = Generator[None, Any, Any]


def returns_none(call: Call) -> Any:
    call.note("called", call.args)


def returns_a_list(call: Call) -> Any:
    call.note("called", call.args)
    return [call.plugin]


def returns_zero(call: Call) -> Any:
    call.note("called", call.args)
    return 0


def fails(call: Call) -> Any:
    call.note("called", call.args)
    raise call.fault()


def passes_on(call: Call) -> Wrapping:
    call.note("in", call.args)
    got = yield
    call.note("out", repr(got))
    return got


def returns_another(call: Call) -> Wrapping:
    call.note("out", repr((yield)))
    return call.plugin


def forgets_to_return(call: Call) -> Wrapping:
    call.note("in")
    yield


def adds_to_the_result(call: Call) -> Wrapping:
    got = yield
    if isinstance(got, list):
        got.append(call.plugin)
    return got


def swallows(call: Call) -> Wrapping:
    try:
        return (yield)
    except Exception as exc:
        call.note("swallowed", repr(exc))
        return call.plugin


def cleans_up(call: Call) -> Wrapping:
    try:
        return (yield)
    finally:
        call.note("cleaned up")


def replaces_the_fault(call: Call) -> Wrapping:
    try:
        return (yield)
    except Exception:
        raise call.fault() from None


def fails_before(call: Call) -> Wrapping:
    call.note("in")
    raise call.fault()
    yield


def fails_after(call: Call) -> Wrapping:
    yield
    call.note("out")
    raise call.fault()


def yields_never(call: Call) -> Wrapping:
    call.note("in")
    return
    yield


def yields_twice(call: Call) -> Wrapping:
    yield
    call.note("between")
    yield


def yields_again_after_a_fault(call: Call) -> Wrapping:
    try:
        return (yield)
    except Exception:
        yield


def looks(call: Call) -> Wrapping:
    outcome = yield
    call.note("out", repr(outcome.exception))


def takes_the_result(call: Call) -> Wrapping:
    outcome = yield
    call.note("out", repr(outcome.get_result()))


def forces_a_result(call: Call) -> Wrapping:
    outcome = yield
    outcome.force_result([call.plugin])


def forces_a_fault(call: Call) -> Wrapping:
    outcome = yield
    outcome.force_exception(call.fault())


BODIES: dict[str, tuple[Callable[[Call], Any], ...]] = {
    "plain": (returns_none, returns_a_list, returns_zero, fails),
    "wrapper": (
        passes_on,
        returns_another,
        forgets_to_return,
        adds_to_the_result,
        swallows,
        cleans_up,
        replaces_the_fault,
        fails_before,
        fails_after,
        yields_never,
    ),
    "hookwrapper": (
        looks,
        takes_the_result,
        forces_a_result,
        forces_a_fault,
        cleans_up,
        fails_before,
        fails_after,
        yields_never,
        yields_twice,
    ),
}
# At a wrapper that yields again pluggy gives up at once and leaves those around it to
# the collector, where the end of a hookwrapper may fail with nobody to hear it.
BODIES_THAT_YIELD_AGAIN = {
    "plain": BODIES["plain"],
    "wrapper": (*BODIES["wrapper"], yields_twice, yields_again_after_a_fault),
}
FAULTS: tuple[Callable[[], BaseException], ...] = (
    lambda: ValueError("v", 1),
    lambda: KeyError("k"),
    lambda: StopIteration("s"),
    lambda: RuntimeError("r"),
    lambda: KeyboardInterrupt("i"),
)


@dataclass(frozen=True)
class Drawn:
    """One implementation: its kind and place, what it asks for and what it does."""

    kind: str
    body: Callable[[Call], Any]
    fault: Callable[[], BaseException]
    wanted: tuple[str, ...]
    defaulted: tuple[str, ...]
    tryfirst: bool
    trylast: bool


@st.composite
def drawn(
    draw: st.DrawFn, bodies: dict[str, tuple[Callable[[Call], Any], ...]]
) -> Drawn:
    kind = draw(st.sampled_from(sorted(bodies)))
    order = draw(st.permutations(PARAMETERS))
    wanted = draw(st.integers(0, len(order)))
    defaulted = draw(st.integers(wanted, len(order)))
    unknown = draw(st.sampled_from([(), ("z",)]))
    return Drawn(
        kind=kind,
        body=draw(st.sampled_from(bodies[kind])),
        fault=draw(st.sampled_from(FAULTS)),
        wanted=tuple(order[:wanted]),
        defaulted=(*unknown, *order[wanted:defaulted]),
        tryfirst=draw(st.booleans()),
        trylast=draw(st.booleans()),
    )


@dataclass
class Recorder:
    """Plugins made of what was drawn, and what happens when their hook is called."""

    log: list[Any] = field(default_factory=list)

    def plugin(self, name: str, hook: str, what: Drawn) -> Any:
        def call(**args: Any) -> Any:
            return what.body(Call(name, args, self.log, what.fault))

        names = (*what.wanted, *what.defaulted)
        head = ", ".join(("self", *what.wanted, *(f"{d}='-'" for d in what.defaulted)))
        result = f"call({', '.join(f'{name}={name}' for name in names)})"
        if what.kind != "plain":
            result = f"(yield from {result})"
        scope: dict[str, Any] = {"call": call}
        exec(f"def {hook}({head}): return {result}", scope)
        options: dict[str, Any] = {"tryfirst": what.tryfirst, "trylast": what.trylast}
        if what.kind != "plain":
            options[what.kind] = True
        return type(name, (), {hook: hookimpl(**options)(scope[hook])})()

    def outcome(self, function: Callable[[], Any]) -> tuple[Any, ...]:
        """Return result or exception, what happened in which order, and warnings."""
        # What is collected late may note something while the next call is under way:
        # each call has a log of its own, read at its end.
        log = self.log = []
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                ended: tuple[Any, ...] = ("returned", repr(function()), list(log))
            except BaseException as exc:
                raised = (type(exc), repr(exc.args), repr(exc.__cause__))
                ended = ("raised", *raised, list(log))
        return (*ended, [str(warning.message) for warning in caught])


@settings(deadline=None)
@given(
    hook=st.sampled_from(["fan_out", "first"]),
    plugins=st.lists(drawn(BODIES), max_size=8)
    | st.lists(drawn(BODIES_THAT_YIELD_AGAIN), max_size=5),
    wrapped=st.booleans(),
)
def test_a_compiled_hook_does_what_pluggy_does(
    hook: str, plugins: list[Drawn], wrapped: bool
) -> None:
    manager, recorder = new_manager(), Recorder()
    for index, what in enumerate(plugins):
        manager.register(recorder.plugin(f"p{index}", hook, what), f"p{index}")
    caller = getattr(manager.hook, hook)
    compiled = compile_hook(caller, (lambda _, function: function) if wrapped else None)
    expected = recorder.outcome(lambda: caller(a=1, b=2, c=3))
    assert recorder.outcome(lambda: compiled(1, 2, 3)) == expected


# ------------------------------------------------------------------------ by hand


def plugin(hook: str, function: Function, **options: Any) -> Any:
    """Return a plugin of one hook; the function is its own, since it gets marked."""
    return type("P", (), {hook: hookimpl(**options)(function)})()


def manager_of(**plugins: Any) -> pluggy.PluginManager:
    """Return a manager with plugins by name, the one called first first."""
    manager = new_manager()
    for name, item in reversed(plugins.items()):
        manager.register(item, name)
    return manager


def test_nobody_implements_it() -> None:
    manager = new_manager()
    assert compile_hook(manager.hook.fan_out)(1, 2, 3) == []
    assert compile_hook(manager.hook.first)(1, 2, 3) is None
    assert compile_each(manager.hook.fan_out) == {}
    assert implementations(manager.hook.fan_out) == ()


def test_results_come_in_the_order_of_calling_without_none() -> None:
    hook = manager_of(
        one=plugin("fan_out", lambda self, c: c),
        two=plugin("fan_out", lambda self: None),
        three=plugin("fan_out", lambda self, b, a: (b, a)),
        early=plugin("fan_out", lambda self: "early", tryfirst=True),
        late=plugin("fan_out", lambda self: "late", trylast=True),
    ).hook.fan_out
    assert compile_hook(hook)(1, 2, 3) == ["early", 3, (2, 1), "late"]
    names = [impl.plugin_name for impl in implementations(hook)]
    assert names == ["early", "one", "two", "three", "late"]


def test_the_first_result_ends_the_call() -> None:
    def never(self: object) -> None:
        raise AssertionError

    hook = manager_of(
        one=plugin("first", lambda self: None),
        two=plugin("first", lambda self, b: b),
        three=plugin("first", never),
    ).hook.first
    assert compile_hook(hook)(1, 2, 3) == 2


def test_the_function_looks_like_its_hook() -> None:
    compiled = compile_hook(new_manager().hook.fan_out)
    assert compiled.__name__ == "fan_out"
    assert compiled(a=1, b=2, c=3) == []
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'c'"):
        compiled(1, 2)


def test_a_hook_without_a_specification_is_refused() -> None:
    manager = new_manager()
    manager.register(plugin("unknown", lambda self: None))
    with pytest.raises(ValueError, match="hook 'unknown' has no specification"):
        compile_hook(manager.hook.unknown)


def test_wrap_gets_the_name_and_a_function_of_all_arguments() -> None:
    def wrap(name: str, function: Function) -> Function:
        return lambda *args: (name, args, function(*args))

    hook = manager_of(
        one=plugin("fan_out", lambda self, c: c),
        two=plugin("fan_out", lambda self, a, b, c: (a, b, c)),
        three=plugin("fan_out", lambda self: None),
    ).hook.fan_out
    assert compile_hook(hook, wrap)(1, 2, 3) == [
        ("one", (1, 2, 3), 3),
        ("two", (1, 2, 3), (1, 2, 3)),
        ("three", (1, 2, 3), None),
    ]


def test_wrap_leaves_wrappers_alone() -> None:
    def around(self: object, b: int) -> Wrapping:
        return ("around", b, (yield))

    hook = manager_of(
        inner=plugin("fan_out", lambda self, a: a),
        outer=plugin("fan_out", around, wrapper=True),
    ).hook.fan_out
    compiled = compile_hook(hook, lambda name, function: lambda *args: (name, args))
    assert compiled(1, 2, 3) == ("around", 2, [("inner", (1, 2, 3))])


def test_each_is_the_plugins_own_function_where_it_takes_all() -> None:
    item = plugin("fan_out", lambda self, a, b, c: (a, b, c))
    each = compile_each(manager_of(one=item).hook.fan_out)
    assert each == {"one": item.fan_out}


def test_each_stands_in_the_order_of_calling() -> None:
    each = compile_each(
        manager_of(
            one=plugin("first", lambda self, c, a: (c, a)),
            two=plugin("first", lambda self, b="-", z="z": (b, z)),
            three=plugin("first", lambda self: None, tryfirst=True),
        ).hook.first
    )
    assert list(each) == ["three", "one", "two"]
    assert [call(1, 2, 3) for call in each.values()] == [None, (3, 1), (2, "z")]


def test_wrappers_of_all_plugins_go_around_each() -> None:
    def outer(self: object, c: int) -> Wrapping:
        return ["outer", c, (yield)]

    def inner(self: object) -> Wrapping:
        outcome = yield
        outcome.force_result(["inner", outcome.get_result()])

    hook = manager_of(
        one=plugin("fan_out", lambda self, a: a),
        two=plugin("fan_out", lambda self: None),
        outer=plugin("fan_out", outer, wrapper=True, tryfirst=True),
        inner=plugin("fan_out", inner, hookwrapper=True),
    ).hook.fan_out
    each = compile_each(hook)
    assert each["one"](1, 2, 3) == ["outer", 3, ["inner", 1]]
    assert each["two"](1, 2, 3) == ["outer", 3, ["inner", None]]
    assert list(each) == ["one", "two"]


def test_wrappers_may_be_static_and_of_the_same_plugin_as_what_they_wrap() -> None:
    class Both:
        @hookimpl
        def fan_out(self, a: int) -> int:
            return a

        @hookimpl(wrapper=True, specname="fan_out")
        @staticmethod
        def around(b: int) -> Wrapping:
            return (b, (yield))

    manager = new_manager()
    manager.register(Both(), "both")
    assert compile_hook(manager.hook.fan_out)(1, 2, 3) == (2, [1])


def test_observers_are_those_that_are_named_without_wrappers() -> None:
    def never(self: object) -> Wrapping:
        raise AssertionError
        yield

    hook = manager_of(
        one=plugin("fan_out", lambda self, a: a),
        two=plugin("fan_out", lambda self, b: b),
        three=plugin("fan_out", lambda self, c: c),
        around=plugin("fan_out", never, wrapper=True),
    ).hook.fan_out
    some = compile_observers(hook, ["three", "one"])
    assert some is not None
    assert some(1, 2, 3) == [1, 3]
    named = compile_observers(hook, ["two"], lambda name, function: lambda *_: name)
    assert named is not None
    assert named(1, 2, 3) == ["two"]
    assert compile_observers(hook, ["around", "nobody"]) is None


# -------------------------------------------------------------------------- tracing


def called(caplog: pytest.LogCaptureFixture) -> list[dict[str, str]]:
    return [record.__dict__["fields"] for record in caplog.records]


def test_each_call_is_logged_where_asked_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(TRACE_VARIABLE, "1")
    caplog.set_level("INFO", "wsprism.hooks")
    hook = manager_of(
        one=plugin("fan_out", lambda self, a: a),
        two=plugin("fan_out", lambda self, a, b, c: b),
    ).hook.fan_out
    wrap = compile_hook(hook, lambda name, function: lambda *args: name)
    assert compile_hook(hook)(1, 2, 3) == [1, 2]
    assert wrap(1, 2, 3) == ["one", "two"]
    assert [call(1, 2, 3) for call in compile_each(hook).values()] == [1, 2]
    one = {"hook": "fan_out", "plugin": "one"}
    two = {"hook": "fan_out", "plugin": "two"}
    assert called(caplog) == [one, two] * 3
    assert {record.message for record in caplog.records} == {"hook_called"}


def test_calls_are_not_logged_otherwise(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv(TRACE_VARIABLE, raising=False)
    caplog.set_level("INFO", "wsprism.hooks")
    hook = manager_of(one=plugin("fan_out", lambda self, a: a)).hook.fan_out
    assert compile_hook(hook)(1, 2, 3) == [1]
    assert called(caplog) == []
