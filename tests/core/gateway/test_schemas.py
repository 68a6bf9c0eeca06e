"""What `data` must look like, as a manifest says it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, NotRequired

import pytest
from pydantic import BaseModel
from typing_extensions import TypedDict

from wsprism_core import Actions, Envelope, Inbound, Service, Session, hookimpl
from wsprism_core.testing import GatewayHarness


class Colour(StrEnum):
    RED = "red"


class Dict(TypedDict):
    n: int
    text: NotRequired[str]


@dataclass
class Data:
    n: int
    colour: Colour = Colour.RED


class Model(BaseModel):
    n: int
    point: tuple[float, float] = (0, 0)


class Picky:
    """Takes one message, with a schema, and remembers what it got."""

    wsprism_api = 1

    def __init__(self, schema: Any) -> None:
        self.schema = schema
        self.got: list[Any] = []

    @hookimpl
    def register_services(self) -> Service:
        return Service(
            name="picky", inbound=(Inbound(name="take", schema=self.schema),)
        )

    @hookimpl
    def on_message(self, session: Session, message: Envelope) -> Actions:
        self.got.append(message.data)
        return None


@pytest.mark.parametrize(
    ("schema", "data", "got"),
    [
        (Dict, {"n": 1}, {"n": 1}),
        (Dict, {"n": 1, "text": "x"}, {"n": 1, "text": "x"}),
        (Data, {"n": 1, "colour": "red"}, Data(1, Colour.RED)),
        (Model, {"n": 1, "point": [1, 2.5]}, Model(n=1, point=(1, 2.5))),
        (Data | None, None, None),
        (list[Literal["a", "b"]], ["a", "b"], ["a", "b"]),
    ],
)
async def test_data_that_fits(
    gateway: type[GatewayHarness], schema: Any, data: Any, got: Any
) -> None:
    picky = Picky(schema)
    async with gateway(picky) as gw, gw.connect() as dev:
        await dev.request("picky", "take", data)
    assert picky.got == [got]


@pytest.mark.parametrize(
    ("schema", "data", "where"),
    [
        (Dict, None, "data: "),
        (Dict, {}, "data.n: "),
        (Dict, {"n": "1"}, "data.n: "),
        (Dict, {"n": True}, "data.n: "),
        (Dict, {"n": 1.5}, "data.n: "),
        (Dict, {"n": 1, "text": None}, "data.text: "),
        (Dict, {"n": 1, "secret": 2}, "data: "),
        (Data, {"n": 1, "colour": "blue"}, "data.colour: "),
        (Data, {"n": 1, "secret": 2}, "data: "),
        (Model, {"n": 1, "point": [1, "2"]}, "data.point[1]: "),
        (Model, [], "data: "),
        (list[Literal["a", "b"]], ["a", "c"], "data[1]: "),
    ],
)
async def test_data_that_does_not_fit(
    gateway: type[GatewayHarness], schema: Any, data: Any, where: str
) -> None:
    picky = Picky(schema)
    async with gateway(picky) as gw, gw.connect() as dev:
        ref = await dev.send("picky", "take", data)
        error = await dev.expect_error("BAD_REQUEST", ref=ref)
        assert error["msg"].startswith(where)
        assert "secret" not in error["msg"]
    assert picky.got == []
