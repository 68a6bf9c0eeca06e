from __future__ import annotations

import re
from pathlib import Path

import yaml

from wsprism_game.party.config import PartyConfig
from wsprism_game.party.plugin import PartyPlugin

README = Path(__file__).parents[2] / "wsprism-game" / "README.md"


def test_the_settings_are_all_there_with_their_defaults() -> None:
    [shown] = re.findall(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL)
    settings = yaml.safe_load(shown)["plugins"]["party"]
    assert settings == PartyConfig().model_dump()


def test_every_type_stands_in_a_table() -> None:
    service = PartyPlugin().register_services()
    names = {kind.name for kind in service.inbound}
    names |= {kind.name for kind in service.outbound}
    party = README.read_text().split("## party")[1]
    assert set(re.findall(r"^\| `(\w+)` \|", party, re.MULTILINE)) == names
