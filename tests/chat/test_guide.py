"""What the guide "Moderate a room" shows is what happens."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import yaml

from wsprism_chat.config import ChatConfig
from wsprism_chat.filters import Allow, FilterInput, Reject
from wsprism_core.testing import GatewayHarness

GUIDE: Final = (
    Path(__file__).parents[2] / "docs" / "how-to" / "moderate-a-room.md"
).read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


async def test_every_message_is_taken(gateway: type[GatewayHarness]) -> None:
    lines = [json.loads(line) for text in blocks("json") for line in text.splitlines()]
    assert len(lines) == 11
    async with (
        gateway("chat") as gw,
        gw.connect("ann") as ann,
        gw.connect("bob") as bob,
        gw.connect("eve") as eve,
    ):
        for line in lines:
            if line["type"] == "invite":
                # In the guide's room is somebody to moderate.
                more = {**line, "data": {"user": "user:eve"}, "seq": 50, "flags": 4}
                await ann.send_fields(more)
                await ann.expect_reply(50)
                await eve.join("den")
                said = await eve.request("chat", "send", {"msg": "hi"}, room="den")
            if line["type"] == "delete":
                line["data"]["id"] = said["data"]["id"]
            if line["type"] != "join":
                line |= {"seq": 100, "flags": 4}
            await ann.send_fields(line)
            answer = await ann.expect_reply(line["seq"])
            assert answer["type"] in ("joined", "ack"), line
            if line["type"] == "invite":
                await bob.join("den")


def test_the_filter_does_what_it_says() -> None:
    (code,) = blocks("python")
    names: dict[str, Any] = {}
    exec(code, names)
    check = names["shouting"]({"most": 0.5})
    loud = FilterInput("acme", "r1", "user:ann", "STOP THAT NOW", False)
    assert isinstance(check(loud), Reject)
    assert check(FilterInput("acme", "r1", "user:ann", "Stop that", False)) == Allow()


def test_its_configuration_is_one() -> None:
    history, chat = (yaml.safe_load(text) for text in blocks("yaml"))
    assert history["gateway"]["history"]["file"]
    assert ChatConfig.model_validate(chat["plugins"]["chat"]).filters == ("shouting",)
