"""Every plugin hears of a session's events in the order in which they happened."""

from __future__ import annotations

from typing import Any

import pytest

from support.services import Bouncer
from wsprism_core import (
    Identity,
    Session,
    hookimpl,
)
from wsprism_core.testing import GatewayHarness, ScriptedClient


class Witness:
    """Notes what it hears."""

    wsprism_api = 1

    def __init__(self, name: str = "witness") -> None:
        self.name = name
        self.heard: list[str] = []

    @hookimpl
    def on_open(self, session: Session) -> None:
        self.heard.append("open")

    @hookimpl
    def on_join(self, session: Session, room: str) -> None:
        self.heard.append("join")

    @hookimpl
    def on_leave(self, session: Session, room: str) -> None:
        self.heard.append("leave")

    @hookimpl
    def on_detach(self, session: Session) -> None:
        self.heard.append("detach")

    @hookimpl
    def on_resume(self, session: Session) -> None:
        self.heard.append("resume")

    @hookimpl
    def on_close(self, session: Session) -> None:
        self.heard.append("close")


class Doorman:
    """Knows the ticket of ann, which is for r1 the first time and for nothing after."""

    wsprism_api = 1

    def __init__(self) -> None:
        self.rooms: tuple[str, ...] = ("r1",)

    @hookimpl
    def authenticate(self, ticket: str, tenant: str) -> Identity:
        rooms, self.rooms = self.rooms, ()
        return Identity("user:ann", tenant, rooms=rooms)


async def enter(
    gw: GatewayHarness, ticket: str = "dev:ann", **more: str
) -> ScriptedClient:
    """Return a client whose session began, or went on, within a message of its own."""
    client = await gw.dial()
    await client.send_fields(
        {"svc": "sys", "type": "auth", "data": {"ticket": ticket, **more}}
    )
    await gw.settle()
    return client


@pytest.mark.parametrize(
    ("at", "leaves", "heard"),
    [
        ("open", False, ["open", "close"]),
        ("join", False, ["open", "join", "leave", "close"]),
        ("join", True, ["open", "join", "leave"]),
    ],
)
async def test_an_end_within_a_hook_is_heard_behind_what_it_ends(
    gateway: type[GatewayHarness], at: str, leaves: bool, heard: list[str]
) -> None:
    before, after = Witness("before"), Witness("after")
    async with gateway(before, Bouncer(at, leaves=leaves), after) as gw:
        ann = await enter(gw)
        await ann.expect_push("sys.authed")
        if at == "join":
            await ann.send("room", "join", room="r1")
        await gw.settle()
        assert before.heard == after.heard == heard
        assert gw.metrics.plugin_failures == {}


async def test_who_is_ended_by_what_a_new_ticket_takes_away_does_not_resume(
    gateway: type[GatewayHarness],
) -> None:
    witness = Witness()
    async with gateway(Doorman(), Bouncer("leave"), witness) as gw:
        ann = await enter(gw, "ann")
        told: dict[str, Any] = (await ann.expect_push("sys.authed"))["data"]
        await ann.join("r1")
        ann.drop_link()
        await gw.settle()
        await enter(gw, "ann", resume=told["resume"])
        assert witness.heard == ["open", "join", "detach", "leave", "close"]
