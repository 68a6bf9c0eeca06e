from __future__ import annotations

import warnings
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pluggy
from hypothesis import given, settings
from hypothesis import strategies as st

from wsprism_core.dispatch import compile_hook
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
