from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import Any

import pluggy
import pytest

from wsprism_core import HOOK_API_VERSION, Service, hookimpl
from wsprism_core.hookspecs import PROJECT
from wsprism_core.plugins import PluginError, PluginSet, PluginStatus, list_plugins

HEAD = """\
from wsprism_core import Service, hookimpl
"""
GOOD = (
    HEAD
    + """
class Plugin:
    wsprism_api = 1

    @hookimpl
    def register_services(self):
        return Service(name=__name__.rpartition(".")[2].replace("mod_", ""))

    @hookimpl
    def on_join(self, room):
        return f"{__name__}: {room}"
"""
)


class Site:
    """A directory of installed distributions, alone on the path with the stdlib."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.modules: list[str] = []

    def install(
        self,
        distribution: str,
        plugins: dict[str, str],
        *,
        version: str = "1.0",
        **modules: str,
    ) -> None:
        info = self.root / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        )
        lines = [f"{name} = {target}" for name, target in plugins.items()]
        (info / "entry_points.txt").write_text("\n".join((f"[{PROJECT}]", *lines)))
        for name, source in modules.items():
            (self.root / f"{name}.py").write_text(dedent(source))
            self.modules.append(name)
        importlib.invalidate_caches()

    def plugin(self, name: str, source: str = GOOD) -> None:
        """Install a distribution of one plugin, the class `Plugin` of its module."""
        module = f"mod_{name}"
        self.install(f"dist-{name}", {name: f"{module}:Plugin"}, **{module: source})


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    kept = [entry for entry in sys.path if "-packages" not in entry]
    monkeypatch.setattr(sys, "path", [str(tmp_path), *kept])
    site = Site(tmp_path)
    assert not entry_points(group=PROJECT)
    yield site
    for module in site.modules:
        sys.modules.pop(module, None)
    importlib.invalidate_caches()


class Quiet:
    """Does nothing, and that correctly."""

    wsprism_api = HOOK_API_VERSION

    @hookimpl
    def on_open(self) -> None:
        """See the class."""


def named(name: str) -> Quiet:
    plugin = Quiet()
    plugin.name = name  # type: ignore[attr-defined]
    return plugin


def names(plugins: PluginSet) -> list[str]:
    return [info.name for info in plugins.loaded]


# ------------------------------------------------------------------- selection


def test_the_flag_reads_left_to_right(site: Site) -> None:
    for name in ("a", "b", "c"):
        site.plugin(name)
    plugins = PluginSet.load(["c", "a", "b"])
    assert names(plugins) == ["c", "a", "b"]
    assert plugins.hook("on_join")(session=None, room="r") == [
        "mod_c: r",
        "mod_a: r",
        "mod_b: r",
    ]


def test_without_a_flag_all_are_loaded_sorted_by_name(site: Site) -> None:
    for name in ("b", "c", "a"):
        site.plugin(name)
    assert names(PluginSet.load()) == ["a", "b", "c"]


def test_only_what_is_named_is_imported(site: Site) -> None:
    site.plugin("a")
    site.plugin("b", "raise SystemExit")
    assert names(PluginSet.load(["a"])) == ["a"]
    assert "mod_b" not in sys.modules


def test_no_name_loads_nothing_but_what_is_handed_over(site: Site) -> None:
    site.plugin("a")
    assert names(PluginSet.load([])) == []
    assert names(PluginSet.load([], extra=[Quiet()])) == ["Quiet"]


def test_a_name_given_twice_is_loaded_once(site: Site) -> None:
    site.plugin("a")
    assert names(PluginSet.load(["a", "a"])) == ["a"]


def test_plugins_handed_over_come_after_those_by_name(site: Site) -> None:
    site.plugin("b")
    plugins = PluginSet.load(["b"], extra=[named("z"), named("a")])
    assert names(plugins) == ["b", "z", "a"]


def test_an_unknown_name_lists_what_is_installed(site: Site) -> None:
    site.plugin("b")
    site.plugin("a")
    with pytest.raises(PluginError) as caught:
        PluginSet.load(["a", "nope"])
    assert str(caught.value) == "no plugin 'nope' is installed; installed: a, b"


def test_an_unknown_name_where_nothing_is_installed(site: Site) -> None:
    with pytest.raises(PluginError, match=r"'nope' is installed; installed: none$"):
        PluginSet.load(["nope"])


@pytest.mark.parametrize(
    ("name", "distribution"),
    [
        ("chat", "wsprism-chat"),
        ("game", "wsprism-game"),
        ("party", "wsprism-game"),
        ("market", "wsprism-market"),
    ],
)
def test_a_well_known_name_says_what_to_install(
    site: Site, name: str, distribution: str
) -> None:
    with pytest.raises(PluginError) as caught:
        PluginSet.load([name])
    assert str(caught.value) == (
        f"no plugin '{name}' is installed (pip install {distribution}); installed: none"
    )


def test_all_unknown_names_are_told_at_once(site: Site) -> None:
    with pytest.raises(PluginError, match=r"'game' .*; no plugin 'x' .*: none"):
        PluginSet.load(["game", "x"])


def test_two_distributions_with_one_name_are_both_named(site: Site) -> None:
    site.plugin("a")
    site.install("other", {"a": "mod_a:Plugin"}, version="2.1")
    for chosen in (None, ["a"]):
        with pytest.raises(PluginError) as caught:
            PluginSet.load(chosen)
        assert str(caught.value) == (
            "plugin 'a': offered by dist-a 1.0 and other 2.1; uninstall all but one"
        )


def test_a_clash_of_names_that_were_not_chosen_is_let_be(site: Site) -> None:
    site.plugin("a")
    site.plugin("b")
    site.install("other", {"a": "mod_a:Plugin"})
    assert names(PluginSet.load(["b"])) == ["b"]


def test_a_distribution_found_twice_is_one(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.plugin("a")
    monkeypatch.setattr(sys, "path", [*sys.path, str(site.root)])
    assert names(PluginSet.load()) == ["a"]


def test_two_plugins_of_one_distribution(site: Site) -> None:
    targets = {"game": "mod_two:Plugin", "party": "mod_two:Plugin"}
    site.install("two", targets, mod_two=GOOD)
    assert names(PluginSet.load(["party", "game"])) == ["party", "game"]
    assert names(PluginSet.load(["party"])) == ["party"]


# ------------------------------------------------------------ what may be named


def test_a_class_gets_one_instance_a_set(site: Site) -> None:
    site.plugin("a")
    first, second = (
        {impl.plugin for hook in hooks for impl in plugins.hook(hook).get_hookimpls()}
        for plugins in (PluginSet.load(), PluginSet.load())
        for hooks in [("on_join", "register_services")]
    )
    assert len(first) == len(second) == 1
    assert first.isdisjoint(second)


def test_a_module_is_registered_as_it_is(site: Site) -> None:
    source = """
        from wsprism_core import hookimpl
        wsprism_api = 1
        @hookimpl
        def on_join(room):
            return room
    """
    site.install("dist-m", {"m": "mod_m"}, mod_m=source)
    plugins = PluginSet.load(["m"])
    assert plugins.hook("on_join")(session=None, room="r") == ["r"]
    assert plugins.hook("on_join").get_hookimpls()[0].plugin is sys.modules["mod_m"]


def test_an_object_is_registered_as_it_is(site: Site) -> None:
    site.install("dist-o", {"o": "mod_o:it"}, mod_o=GOOD + "\nit = Plugin()\n")
    plugins = PluginSet.load(["o"])
    plugin = plugins.hook("on_join").get_hookimpls()[0].plugin
    assert plugin is sys.modules["mod_o"].it


def test_what_is_handed_over_is_named() -> None:
    module = ModuleType("mod")
    module.wsprism_api = HOOK_API_VERSION  # type: ignore[attr-defined]
    module.on_join = hookimpl(lambda room: room)  # type: ignore[attr-defined]

    class Nameless(Quiet):
        name = 7

    plugins = PluginSet.load([], extra=[Quiet, Nameless(), named("other"), module])
    assert names(plugins) == ["Quiet", "Nameless", "other", "mod"]
    assert str(plugins.loaded[0]) == "plugin 'Quiet'"


def test_two_handed_over_with_one_name_clash() -> None:
    with pytest.raises(PluginError, match="its name or the very same plugin"):
        PluginSet.load([], extra=[named("a"), named("a")])


def test_one_object_under_two_names_clashes(site: Site) -> None:
    targets = {"o": "mod_o:it", "p": "mod_o:it"}
    site.install("dist-o", targets, mod_o=GOOD + "\nit = Plugin()\n")
    with pytest.raises(PluginError, match="its name or the very same plugin"):
        PluginSet.load()


# -------------------------------------------------------------------- provenance


def test_provenance_hooks_and_services_are_known(site: Site) -> None:
    site.plugin("a")
    (info,) = PluginSet.load().loaded
    assert (info.name, info.distribution, info.version) == ("a", "dist-a", "1.0")
    assert info.hooks == ("on_join", "register_services")
    assert info.services == (Service(name="a"),)
    assert info.status is PluginStatus.LOADED
    assert str(info) == "plugin 'a' of dist-a 1.0"


def test_services_are_registered_once_one_several_or_none() -> None:
    calls: list[str] = []

    def plugin(name: str, declared: Any) -> type:
        def register_services(self: object) -> Any:
            calls.append(name)
            return declared

        hook = hookimpl(register_services)
        body = {"wsprism_api": 1, "register_services": hook}
        return type(name, (), body)

    a, b = Service(name="a"), Service(name="b")
    plugins = PluginSet.load(
        [],
        extra=[
            plugin("one", a),
            plugin("many", iter([a, b])),
            plugin("none", None),
        ],
    )
    assert [info.services for info in plugins.loaded] == [(a,), (a, b), ()]
    assert calls == ["one", "many", "none"]


# ---------------------------------------------------------------- broken plugins

BROKEN = {
    "import nowhere_to_be_found": (
        "ModuleNotFoundError: No module named 'nowhere_to_be_found'"
    ),
    "import sys; sys.exit('no')": "SystemExit: no",
    "": "AttributeError: module 'mod_x' has no attribute 'Plugin'",
    GOOD + "    def __init__(self): raise OSError('two\\nlines')": (
        "OSError: two lines"
    ),
    GOOD.replace("wsprism_api = 1", "wsprism_api = 2"): (
        "it was written for hook API 2; this wsprism-core has 1"
    ),
    GOOD.replace("wsprism_api = 1", ""): (
        "it names no hook API version; this wsprism-core has wsprism_api = 1"
    ),
    GOOD.replace("on_join", "on_jion"): (
        "there is no hook 'on_jion'; did you mean 'on_join'?"
    ),
}


@pytest.mark.parametrize(("source", "reason"), BROKEN.items())
def test_a_broken_plugin_is_fatal_by_name(site: Site, source: str, reason: str) -> None:
    site.plugin("a")
    site.plugin("x", source)
    with pytest.raises(PluginError) as caught:
        PluginSet.load(["a", "x"])
    assert str(caught.value) == f"plugin 'x' of dist-x 1.0: {reason}"
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(("source", "reason"), BROKEN.items())
def test_a_broken_plugin_is_left_out_with_a_warning(
    site: Site, source: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    site.plugin("a")
    site.plugin("x", source)
    plugins = PluginSet.load()
    assert names(plugins) == ["a"]
    (info,) = plugins.broken
    assert (info.name, info.distribution, info.version) == ("x", "dist-x", "1.0")
    assert (info.status, info.reason) == (PluginStatus.BROKEN, reason)
    (record,) = caplog.records
    assert (record.levelno, record.message) == (logging.WARNING, "plugin_left_out")
    assert record.__dict__["fields"] == {"plugin": "x", "reason": reason}


def test_the_constructor_of_another_version_is_not_run(site: Site) -> None:
    body = "    wsprism_api = 99\n    def __init__(self): raise OSError\n"
    site.plugin("x", "class Plugin:\n" + body)
    with pytest.raises(PluginError, match="written for hook API 99; this"):
        PluginSet.load(["x"])


def test_what_pluggy_holds_is_checked_as_a_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[int] = []

    def check_pending(manager: pluggy.PluginManager) -> None:
        calls.append(len(manager.get_plugins()))

    monkeypatch.setattr(pluggy.PluginManager, "check_pending", check_pending)
    PluginSet.load([], extra=[named("a"), named("b")])
    assert calls == [2]


def test_there_is_no_such_hook() -> None:
    with pytest.raises(AttributeError):
        PluginSet.load([]).hook("on_mesage")


# ----------------------------------------------------------------------- listing


def test_the_listing_tells_everything_and_fails_on_nothing(site: Site) -> None:
    site.plugin("b")
    site.plugin("a")
    site.plugin("x", "import nowhere_to_be_found")
    site.plugin("twice")
    site.install("other", {"twice": "mod_twice:Plugin"}, version="2.0")
    listing = list_plugins(["a", "x", "unknown"])
    clash = "offered by dist-twice 1.0 and other 2.0; uninstall all but one"
    assert [
        (info.name, info.distribution, info.version, info.status.value, info.reason)
        for info in listing
    ] == [
        ("a", "dist-a", "1.0", "loaded", ""),
        ("b", "dist-b", "1.0", "available", ""),
        ("twice", "dist-twice", "1.0", "broken", clash),
        ("twice", "other", "2.0", "broken", clash),
        ("x", "dist-x", "1.0", "broken", BROKEN["import nowhere_to_be_found"]),
    ]
    assert [info.hooks for info in listing[:2]] == [
        ("on_join", "register_services")
    ] * 2
    assert "mod_twice" not in sys.modules


@pytest.mark.parametrize(
    ("chosen", "status"), [(None, "loaded"), (["a"], "loaded"), ([], "available")]
)
def test_the_listing_without_a_flag(
    site: Site, chosen: list[str] | None, status: str
) -> None:
    site.plugin("a")
    assert [info.status.value for info in list_plugins(chosen)] == [status]


def test_the_listing_of_nothing(site: Site) -> None:
    assert list_plugins() == ()
