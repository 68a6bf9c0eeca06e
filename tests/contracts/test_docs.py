"""The documentation says what the source says."""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from packaging.requirements import Requirement

import wsprism_core
from support.exposed import every_metric
from wsprism_cli.shortforms import parse_line
from wsprism_core.config import Config
from wsprism_core.hookspecs import HookSpecs
from wsprism_core.options import RUN_OPTIONS
from wsprism_core.plugins import PluginSet
from wsprism_core.protocol.layout import CloseCode, ErrorCode
from wsprism_core.routing import build_routes
from wsprism_core.settings.schema import meanings
from wsprism_core.settings.tree import models_in
from wsprism_core.testing import GatewayHarness

if TYPE_CHECKING:
    from pydantic import BaseModel

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
PAGES: Final = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)
HOOKS: Final = tuple(name for name in vars(HookSpecs) if not name.startswith("_"))
SERVICES: Final = ("chat", "game", "party", "market")


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """Return what stands below a heading, up to the next of its level."""
    level = heading.partition(" ")[0]
    start = text.index(f"\n{heading}\n")
    end = re.search(rf"\n#{{1,{len(level)}}} ", text[start + 1 + len(heading) :])
    return text[start : start + 1 + len(heading) + end.start()] if end else text[start:]


# ----------------------------------------------------------------------------- hooks


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_its_signature_and_an_example(hook: str) -> None:
    parameters = list(inspect.signature(getattr(HookSpecs, hook)).parameters)[1:]
    told = section(page("reference/hooks.md"), f"### {hook}")
    assert f"\n{hook}({', '.join(parameters)})\n" in told
    for parameter in parameters:
        assert f"\n- `{parameter}`: " in told
    assert "**Returns** " in told
    shown = "on_detach" if hook == "on_resume" else hook
    example = f':start-after: "# begin {shown}"'
    assert example in section(page("reference/hooks.md"), f"### {shown}")


def test_every_hook_has_its_test() -> None:
    tests = [
        test
        for path in Path(__file__).parent.glob("test_*hook_examples.py")
        for test in re.findall(r"def test_hook_(\w+)", path.read_text(encoding="utf-8"))
    ]
    assert sorted(tests) == sorted(HOOKS)


def test_there_is_no_page_for_a_hook_that_is_none() -> None:
    headings = re.findall(r"^### (\w+)$", page("reference/hooks.md"), re.MULTILINE)
    assert sorted(headings) == sorted(HOOKS)


def test_the_table_of_hooks_has_them_all() -> None:
    table = page("reference/hooks.md").partition("**Order.**")[0]
    for hook in HOOKS:
        assert f"`{hook}`" in table


# --------------------------------------------------------------- keys, metrics, names


def config_models() -> list[type[BaseModel]]:
    """Return every model of a section, with those of plugins."""
    waiting: list[type[BaseModel]] = [
        Config,
        *PluginSet.load(SERVICES).sections.values(),
    ]
    found: dict[type[BaseModel], None] = {}
    while waiting:
        model = waiting.pop(0)
        found[model] = None
        for field in model.model_fields.values():
            waiting += models_in(field.annotation)
    return list(found)


@pytest.mark.parametrize("model", config_models(), ids=lambda model: model.__name__)
def test_every_section_has_its_table_and_says_what_its_keys_mean(
    model: type[BaseModel],
) -> None:
    directive = f"```{{settings}} {model.__module__}:{model.__name__}\n"
    assert directive in page("reference/configuration.md")
    assert set(meanings(model)) == set(model.model_fields)


async def test_what_a_reload_changes_is_told() -> None:
    told = section(page("reference/configuration.md"), "## What a reload changes")
    listed = "\n".join(re.findall(r"^- (.*)$", told, re.MULTILINE))
    async with GatewayHarness() as gw:
        appliers = gw.gateway._reloader._appliers
    keys = [key for applier in appliers for key in applier.keys]
    assert sorted(re.findall(r"`(\w+)`", listed)) == sorted(keys)


def test_every_metric_is_explained() -> None:
    families = list(every_metric())
    assert len(families) > 10
    for family in families:
        counts_once = family.type in ("counter", "gauge")
        name = family.samples[0].name if counts_once else family.name
        assert re.search(rf"^{name}: \S", page("reference/metrics.md"), re.MULTILINE)


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_its_reference_and_its_counters(service: str) -> None:
    assert f"```{{service}} {service}\n" in page("reference/services.md")
    (info,) = PluginSet.load([service]).loaded
    for declared in info.services:
        for counter in declared.counters:
            assert f"| `{counter}` | {service} |" in page("reference/metrics.md")


@pytest.mark.parametrize("name", wsprism_core.__all__)
def test_every_public_name_is_in_the_api(name: str) -> None:
    directive = rf"^\.\. (auto\w+|data|py:type):: (\w+\.)*{name}$"
    assert re.search(directive, page("reference/api.md"), re.MULTILINE)


@pytest.mark.parametrize("code", [*ErrorCode.__members__, *CloseCode.__members__])
def test_every_code_is_explained(code: str) -> None:
    assert re.search(rf"^{code}: \S", page("reference/protocol.md"), re.MULTILINE)


def test_options_that_pages_name_exist() -> None:
    known = {option.flag for option in RUN_OPTIONS}
    for path in PAGES:
        for block in re.findall(r"\$ wsprism run(.*)", path.read_text("utf-8")):
            assert set(re.findall(r"--[a-z-]+", block)) <= known


# ---------------------------------------------------------------------- dependencies


def requirements() -> Iterator[str]:
    for path in sorted(ROOT.glob("*/pyproject.toml")):
        told = tomllib.loads(path.read_text(encoding="utf-8"))
        yield from told["project"]["dependencies"]
        yield from told["build-system"]["requires"]
        wheel = told["tool"]["hatch"]["build"]["targets"]["wheel"]
        for hook in wheel.get("hooks", {}).values():
            yield from hook["dependencies"]
    root = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for group in root["dependency-groups"].values():
        yield from group


def names() -> list[str]:
    return sorted({Requirement(each).name for each in requirements()})


@pytest.mark.parametrize("name", names())
def test_every_dependency_has_its_reason(name: str) -> None:
    told = page("explanation/dependencies.md")
    if name.startswith("wsprism-"):
        assert name in told
    else:
        assert re.search(rf"^\| {re.escape(name)} \| .{{10,}} \|$", told, re.MULTILINE)


def test_no_reason_is_given_for_what_is_not_used() -> None:
    told = page("explanation/dependencies.md")
    rows = re.findall(r"^\| ([A-Za-z][\w-]*) \| (?!of \||why )", told, re.MULTILINE)
    assert set(rows) - {"uv"} <= set(names())


# ------------------------------------------------------------------------- the README


def readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_links_of_the_readme_lead_somewhere() -> None:
    links = [
        link for link in re.findall(r"\]\(([^)]+)\)", readme()) if "://" not in link
    ]
    assert len(links) > 3
    for link in links:
        assert (ROOT / link.partition("#")[0]).exists(), link


def code_blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def readme_plugin() -> Any:
    (code,) = code_blocks(readme(), "python")
    scope: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), scope)
    return scope["DicePlugin"]


def test_the_plugin_of_the_readme_has_thirty_lines() -> None:
    (code,) = code_blocks(readme(), "python")
    assert len(code.splitlines()) <= 30


def test_the_plugin_of_the_readme_loads() -> None:
    routes = build_routes(PluginSet.load([], extra=[readme_plugin()]))
    assert list(routes.services) == ["dice"]


async def test_the_plugin_of_the_readme_rolls(gateway: type[GatewayHarness]) -> None:
    async with (
        gateway(readme_plugin()) as gw,
        gw.connect("ann") as ann,
        gw.connect("bob") as bob,
    ):
        await ann.join("lobby")
        await bob.join("lobby")
        await ann.send("dice", "roll")
        rolled = (await bob.expect_push("dice.rolled"))["data"]
        assert rolled["by"] == "user:ann"
        assert rolled["pips"] in range(1, 7)


def test_the_envelope_of_the_readme_is_one(gateway: type[GatewayHarness]) -> None:
    from wsprism_core.protocol.envelope import decode_json

    (text,) = code_blocks(readme(), "json")
    envelope = decode_json(text.encode())
    assert (envelope.svc, envelope.seq, envelope.ack_requested) == ("chat", 7, True)


# ------------------------------------------------------------------------ other pages


def test_what_the_tutorial_types_is_understood() -> None:
    blocks = code_blocks(page("tutorial.md"), "text")
    typed = [line for block in blocks for line in block.splitlines()]
    typed = [
        line for line in typed if re.match(r"/\w|\w+\.\w+(@\S+)?( |$)|\{\"v\"", line)
    ]
    assert len(typed) > 8
    for line in typed:
        assert parse_line(line) is not None


def test_every_promise_names_a_test_that_exists() -> None:
    promises = page("explanation/promises.md")
    kept = section(promises, "## Kept")
    rows = [row for row in kept.splitlines() if row.startswith("| ")][2:]
    assert len(rows) > 10
    for row in rows:
        found = re.search(r"`(tests/[\w/]+\.py)::(test_\w+)`", row)
        assert found is not None, row
        source = (ROOT / found[1]).read_text(encoding="utf-8")
        assert f"def {found[2]}(" in source


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_what_pages_cut_from_files_is_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for file, start, end in re.findall(
        r"\{literalinclude\} (\S+)\n(?:(?!```).*\n)*?"
        r":start-after: \"(.*)\"\n:end-before: \"(.*)\"",
        text,
    ):
        source = (path.parent / file).read_text(encoding="utf-8")
        assert len(re.findall(rf"^ *{start}$", source, re.MULTILINE)) == 1
        assert len(re.findall(rf"^ *{end}$", source, re.MULTILINE)) == 1


def test_every_page_is_in_the_contents() -> None:
    contents = page("index.md")
    for path in PAGES:
        name = path.relative_to(DOCS).with_suffix("").as_posix()
        assert name == "index" or f"\n{name}\n" in contents
