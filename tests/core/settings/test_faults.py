from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from wsprism_core.settings.faults import check_sections, did_you_mean, faults_of

STRICT = ConfigDict(extra="forbid", strict=True)


class Walk(BaseModel):
    model_config = STRICT

    kind: Literal["walk"] = "walk"
    seed: int = 1


class File(BaseModel):
    model_config = STRICT

    kind: Literal["file"]
    path: str


class Lane(BaseModel):
    model_config = STRICT

    max_bytes: int = 1


class Market(BaseModel):
    model_config = STRICT

    source: Annotated[Walk | File, Field(discriminator="kind")] = Walk()
    lanes: dict[str, Lane] = {}
    queue: list[Lane] = []
    maybe: Lane | None = None


def faults(value: Any) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        Market.model_validate(value)
    return [str(fault) for fault in faults_of(caught.value, Market, ("plugins", "m"))]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"sourec": {}}, "plugins.m.sourec: unknown key; did you mean 'source'?"),
        ({"nothing_near": 1}, "plugins.m.nothing_near: unknown key"),
        (
            {"source": {"kind": "file", "path": "a", "sped": 1, "pathh": ""}},
            "plugins.m.source.file.pathh: unknown key; did you mean 'path'?",
        ),
        (
            {"lanes": {"bulk": {"max_byte": 1}}},
            "plugins.m.lanes.bulk.max_byte: unknown key; did you mean 'max_bytes'?",
        ),
        (
            {"queue": [{}, {"max_byts": 1}]},
            "plugins.m.queue[1].max_byts: unknown key; did you mean 'max_bytes'?",
        ),
        (
            {"maybe": {"maxbytes": 1}},
            "plugins.m.maybe.maxbytes: unknown key; did you mean 'max_bytes'?",
        ),
        ([], "plugins.m: Input should be a valid dictionary or instance of Market"),
    ],
)
def test_where_what_and_what_may_be_meant(value: Any, told: str) -> None:
    assert told in faults(value)


def test_a_fault_does_not_hold_the_value() -> None:
    (told,) = faults({"source": {"seed": "sesame"}})
    assert "sesame" not in told


def test_the_sections_of_plugins() -> None:
    models: dict[str, type[BaseModel]] = {"market": Market, "walk": Walk}
    sections, found = check_sections({"market": {"lanes": {}}}, models)
    assert sections == {"market": Market(), "walk": Walk()}
    assert found == []
    sections, found = check_sections({"markt": {}, "walk": {"seed": "x"}}, models)
    assert sections == {"market": Market()}
    assert [str(one) for one in found] == [
        (
            "plugins.markt: no loaded plugin of that name takes a configuration;"
            " did you mean 'market'?"
        ),
        "plugins.walk.seed: Input should be a valid integer",
    ]


def test_nothing_near_is_no_hint() -> None:
    assert did_you_mean("abc", ["xyz"]) == ""
    assert did_you_mean("abc", []) == ""
