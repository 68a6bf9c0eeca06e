from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeAlias

import pluggy
import pytest

from wsprism_core.dispatch import (
    TRACE_VARIABLE,
    Function,
    compile_each,
    compile_hook,
    compile_observers,
    implementations,
)
from wsprism_core.hookspecs import PROJECT, hookimpl, hookspec

Wrapping: TypeAlias = Generator[None, Any, Any]


class Specs:
    @hookspec
    def fan_out(self, a: int, b: int, c: int) -> None: ...

    @hookspec(firstresult=True)
    def first(self, a: int, b: int, c: int) -> None: ...


def new_manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Specs)
    return manager


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


def test_only_none_is_no_result() -> None:
    falsy = {
        "zero": lambda self: 0,
        "empty": lambda self: (),
        "false": lambda self: False,
    }
    all_ = manager_of(**{n: plugin("fan_out", f) for n, f in falsy.items()}).hook
    assert compile_hook(all_.fan_out)(1, 2, 3) == [0, (), False]
    first = manager_of(**{n: plugin("first", f) for n, f in falsy.items()}).hook
    assert compile_hook(first.first)(1, 2, 3) == 0


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


def test_each_call_is_logged_inside_wrappers(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(TRACE_VARIABLE, "1")
    caplog.set_level("INFO", "wsprism.hooks")

    def around(self: object) -> Wrapping:
        assert called(caplog) == []
        return ("around", (yield))

    hook = manager_of(
        one=plugin("fan_out", lambda self, c: c),
        around=plugin("fan_out", around, wrapper=True),
    ).hook.fan_out
    assert compile_each(hook)["one"](1, 2, 3) == ("around", 3)
    assert called(caplog) == [{"hook": "fan_out", "plugin": "one"}]


def test_calls_are_not_logged_otherwise(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv(TRACE_VARIABLE, raising=False)
    caplog.set_level("INFO", "wsprism.hooks")
    hook = manager_of(one=plugin("fan_out", lambda self, a: a)).hook.fan_out
    assert compile_hook(hook)(1, 2, 3) == [1]
    assert called(caplog) == []
