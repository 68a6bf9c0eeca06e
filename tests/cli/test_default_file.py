from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel, ConfigDict

from wsprism_cli.default_file import default_file
from wsprism_core.config import AdminConfig, Config, LaneBounds
from wsprism_core.plugins import PluginSet
from wsprism_core.settings.file import load_config
from wsprism_core.settings.tree import models_in

SECTIONS = PluginSet.load(["chat", "market", "party"]).sections


class Door(BaseModel):
    """Who knows tickets.

    Attributes:
        keys: Its keys.
        url: Where it asks.
    """

    model_config = ConfigDict(extra="forbid")

    url: str
    keys: list[LaneBounds] = []


def test_it_is_valid_and_says_nothing_but_defaults(tmp_path: Path) -> None:
    path = tmp_path / "wsprism.yaml"
    path.write_text(default_file(SECTIONS), encoding="utf-8")
    config = load_config(path, environ={}, sections=SECTIONS)
    least = Config.model_validate({"version": 1, "tenants": [{"id": "main"}]})
    assert config.gateway == least.gateway
    assert config.tenants == least.tenants
    assert {
        name: SECTIONS[name].model_validate(section)
        for name, section in config.plugins.items()
    } == {name: model() for name, model in SECTIONS.items()}


def test_every_key_is_in_it_with_its_meaning() -> None:
    lines = default_file(SECTIONS).splitlines()
    waiting: list[type[BaseModel]] = [Config]
    while waiting:
        model = waiting.pop()
        for key, field in model.model_fields.items():
            waiting += models_in(field.annotation)
            found = [
                n for n, line in enumerate(lines) if re.match(rf"[# -]*{key}:", line)
            ]
            assert found, key
            assert lines[found[0] - 1].lstrip().startswith("# "), key


def test_without_plugins_there_are_no_sections() -> None:
    assert yaml.safe_load(default_file({}))["plugins"] == {}


@pytest.mark.parametrize("model", [AdminConfig, LaneBounds])
def test_what_is_commented_out_can_be_put_in(model: type[BaseModel]) -> None:
    lines = default_file({}).splitlines()
    start = lines.index("  # admin:" if model is AdminConfig else "  # lanes:")
    block: list[str] = []
    for line in lines[start:]:
        if not line.startswith("  # ") or (block and line[4] != " "):
            break
        block.append(line[4:])
    (value,) = yaml.safe_load("\n".join(block)).values()
    keys = value if model is AdminConfig else value["name"]
    assert set(keys) == set(model.model_fields)


def test_a_section_with_keys_that_must_be_set_is_commented_out() -> None:
    text = default_file({"door": Door})
    assert yaml.safe_load(text)["plugins"] is None
    section = [line.removeprefix("  # ") for line in text.splitlines()[-20:]]
    start = section.index("door:")
    assert section[start:] == [
        "door:",
        "  # Where it asks.",
        "  url:",
        "  # Its keys.",
        "  keys: []",
        "  # keys:",
        "  #   # What may wait in the lane for one session, in bytes on the wire.",
        "  #   - max_bytes: null",
        "  #     # The same in messages.",
        "  #     max_messages: null",
        (
            "  #     # The largest single message, which holds up what is more urgent"
            " for as long as"
        ),
        "  #     # it is under way; its sender is told `PAYLOAD_TOO_LARGE`.",
        "  #     max_message_bytes: null",
    ]
