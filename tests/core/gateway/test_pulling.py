"""What sessions pull: computed when their sockets can take it, for each of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from wsprism_core import (
    Actions,
    Delivery,
    Envelope,
    Inbound,
    Opcode,
    Outbound,
    Pull,
    Push,
    PushFrame,
    RoomRule,
    Service,
    Session,
    hookimpl,
)
from wsprism_core.testing import GatewayHarness


class Board:
    """Numbers that everybody may see, and what each session was given of them."""

    def __init__(self) -> None:
        self.value = 0
        self.asked: list[str] = []
        self.answer: Any = None

    def pull(
        self, session: Session, budget: int
    ) -> tuple[Sequence[Push | PushFrame], bool]:
        self.asked.append(session.user)
        if self.answer is not None:
            return self.answer(session, budget)  # type: ignore[no-any-return]
        return [Push("state", {"value": self.value, "for": session.user})], False


class Scoreboard:
    """A service whose state is pulled."""

    wsprism_api = 1

    def __init__(self) -> None:
        self.board = Board()

    @hookimpl
    def register_services(self) -> Service:
        return Service(
            name="score",
            svc_id=200,
            inbound=(
                Inbound(name="set", room=RoomRule.MEMBER),
                Inbound(name="bad", room=RoomRule.MEMBER),
            ),
            outbound=(
                Outbound(name="state", delivery=Delivery.PULLED),
                Outbound(name="slow", delivery=Delivery.PULLED, lane="bulk"),
                Outbound(name="said"),
            ),
            opcodes=(
                Opcode(number=1, name="STATE", inbound=False, delivery=Delivery.PULLED),
            ),
        )

    @hookimpl
    def on_message(self, session: Session, message: Envelope) -> Actions:
        if message.type == "bad":
            return []
        self.board.value = message.data
        return Pull("state", self.board, room=message.room)


async def values(client: Any) -> list[int]:
    got = [one for one in await client.read_all() if one.get("type") == "state"]
    return [one["data"]["value"] for one in got]


async def test_a_reader_who_is_full_gets_what_is_true_when_it_reads(
    gateway: type[GatewayHarness],
) -> None:
    plugin = Scoreboard()
    async with (
        gateway(plugin) as gw,
        gw.connect("ann") as ann,
        gw.connect("bob") as bob,
    ):
        for client in (ann, bob):
            await client.join("r")
        await gw.advance(1)
        await bob.read_all()
        await ann.read_all()
        bob.slow(0, buffer=0)
        for value in range(1, 6):
            await ann.send("score", "set", value, room="r")
            await gw.settle()
        assert await values(ann) == [1, 2, 3, 4, 5]
        # The socket was full from the first on: one marker waits, and is asked once.
        bob.slow(None)
        await gw.settle()
        assert (await values(bob))[-1] == 5
        assert plugin.board.asked.count("user:bob") <= 2


async def test_each_session_is_asked_for_itself(gateway: type[GatewayHarness]) -> None:
    plugin = Scoreboard()
    async with (
        gateway(plugin) as gw,
        gw.connect("ann") as ann,
        gw.connect("bob") as bob,
    ):
        for client in (ann, bob):
            await client.join("r")
        await ann.send("score", "set", 7, room="r")
        assert (await ann.expect_push("score.state"))["data"]["for"] == "user:ann"
        got = await bob.expect_push("score.state")
        assert got["data"] == {"value": 7, "for": "user:bob"}
        assert got["room"] == "r"


async def test_nothing_is_pulled_of_a_room_that_was_left(
    gateway: type[GatewayHarness],
) -> None:
    plugin = Scoreboard()
    async with (
        gateway(plugin) as gw,
        gw.connect("ann") as ann,
        gw.connect("bob") as bob,
    ):
        for client in (ann, bob):
            await client.join("r")
        await gw.advance(1)
        await bob.read_all()
        bob.slow(0, buffer=0)
        await ann.send("score", "set", 1, room="r")
        await gw.settle()
        await ann.send("score", "set", 2, room="r")
        await gw.settle()
        plugin.board.asked.clear()
        await bob.send("room", "leave", room="r")
        bob.slow(None)
        await gw.settle()
        assert "user:bob" not in plugin.board.asked


async def test_a_long_answer_is_asked_for_again(gateway: type[GatewayHarness]) -> None:
    plugin = Scoreboard()
    left = list(range(10))

    def a_few(session: Session, budget: int) -> tuple[Sequence[Push], bool]:
        some = [Push("state", {"value": left.pop(0)}) for _ in range(min(3, len(left)))]
        return some, bool(left)

    plugin.board.answer = a_few
    async with gateway(plugin) as gw, gw.connect("ann") as ann:
        gw.api.perform(Pull("state", plugin.board, user="user:ann"), tenant="default")
        await gw.settle()
        assert await values(ann) == list(range(10))
        assert len(plugin.board.asked) == 4


async def test_frames_are_pulled_too(gateway: type[GatewayHarness]) -> None:
    plugin = Scoreboard()
    plugin.board.answer = lambda session, budget: ([PushFrame(1, b"xyz", seq=9)], False)
    async with gateway(plugin) as gw, gw.connect("ann") as ann:
        session = gw.gateway.sessions.of_user("default", "user:ann")[0]
        gw.api.perform(Pull(1, plugin.board, session=session.id), tenant="default")
        frame = await ann.expect_frame(200, 1)
        assert (frame.payload, frame.seq) == (b"xyz", 9)


def wrong(session: Session, budget: int) -> Any:
    raise RuntimeError("a bug")


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(wrong, id="raises"),
        pytest.param(lambda s, b: ([Push("said", 1)], False), id="not pulled"),
        pytest.param(lambda s, b: ([Push("slow", 1)], False), id="another lane"),
        pytest.param(lambda s, b: ([Push("state", 1, user="x")], False), id="to whom"),
        pytest.param(lambda s, b: None, id="nothing"),
        pytest.param(lambda s, b: ([Push("state", {1})], False), id="no JSON"),
    ],
)
async def test_a_source_s_failure_stays_its_own(
    gateway: type[GatewayHarness], answer: Any
) -> None:
    plugin = Scoreboard()
    plugin.board.answer = answer
    async with gateway(plugin) as gw, gw.connect("ann") as ann:
        gw.api.perform(Pull("state", plugin.board, user="user:ann"), tenant="default")
        await gw.settle()
        assert [hook for _, hook in gw.metrics.plugin_failures] == ["pull"]
        await ann.request("sys", "ping", {"client_ts": 1})
        gw.metrics.plugin_failures.clear()


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda b: Pull("said", b, user="u"), id="not declared so"),
        pytest.param(lambda b: Pull("state", b), id="to nobody"),
        pytest.param(lambda b: Pull("state", b, user="u", room="r"), id="to two"),
        pytest.param(lambda b: Push("state", 1, user="u"), id="pushed"),
    ],
)
async def test_what_is_marked_wrongly_is_refused(
    gateway: type[GatewayHarness], make: Any
) -> None:
    plugin = Scoreboard()
    async with gateway(plugin) as gw:
        with pytest.raises(ValueError, match=r"declares no type|exactly one"):
            gw.api.perform(make(plugin.board), tenant="default")
