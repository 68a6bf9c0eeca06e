"""PROTOCOL section 6 without resume: what was missed is fetched whole or not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsprism_core.gateway.recovery import Missed, RecoveryBounds, Refused, judge, pulls
from wsprism_core.protocol.codecs import JSON
from wsprism_core.protocol.envelope import inbound
from wsprism_core.testing import GatewayHarness, ScriptedClient, config_with


class Held:
    """A channel that holds the numbers from `oldest` to `seq`."""

    epoch = "e"

    def __init__(self, oldest: int, seq: int, size: int = 10) -> None:
        self.oldest, self.seq, self.size = oldest, seq, size

    def history(self, *, before: None, after: int, limit: int) -> list[dict[str, Any]]:
        first = max(self.oldest, after + 1)
        return [
            {"seq": n, "data": "x" * self.size}
            for n in range(first, min(first + limit, self.seq + 1))
        ]

    def size_since(self, after: int) -> int:
        return (self.seq - after) * (128 + self.size)


def always(messages: int) -> bool:
    return True


PLENTY = RecoveryBounds(1_000, 10_000_000)


@pytest.mark.parametrize(
    ("missed", "held", "bounds", "refused"),
    [
        (Missed("e", 10), Held(1, 10), PLENTY, None),
        (Missed("e", 0), Held(1, 10), PLENTY, None),
        (Missed("e", 0), Held(1, 0), PLENTY, None),
        (Missed("x", 10), Held(1, 10), PLENTY, Refused.EPOCH_CHANGED),
        (Missed("e", 11), Held(1, 10), PLENTY, Refused.EPOCH_CHANGED),
        (Missed("e", 3), Held(5, 10), PLENTY, Refused.TOO_OLD),
        (Missed("e", 4), Held(5, 10), PLENTY, None),
        (Missed("e", 0), Held(11, 10), PLENTY, Refused.TOO_OLD),
        (Missed("e", 0), Held(1, 10), RecoveryBounds(9, 10**6), Refused.TOO_MANY),
        (Missed("e", 1), Held(1, 10), RecoveryBounds(9, 10**6), None),
        (Missed("e", 0), Held(1, 10, 900), RecoveryBounds(99, 9_000), Refused.TOO_MANY),
        (Missed("e", 10), Held(1, 10), RecoveryBounds(0, 0), None),
    ],
)
def test_all_of_it_or_a_reason(
    missed: Missed, held: Any, bounds: RecoveryBounds, refused: Refused | None
) -> None:
    assert judge(held, missed, bounds, always) is refused


def test_who_has_spent_what_he_may_fetch_makes_nobody_read() -> None:
    class Unread(Held):
        def history(self, **which: Any) -> list[dict[str, Any]]:
            raise AssertionError

        def size_since(self, after: int) -> int:
            raise AssertionError

    held: Any = Unread(1, 10)
    spent: list[int] = []

    def spend(messages: int) -> bool:
        spent.append(messages)
        return False

    assert judge(held, Missed("e", 3), PLENTY, spend) is Refused.TOO_MANY
    assert spent == [7]


def test_one_message_is_read_to_judge_a_thousand() -> None:
    class Counted(Held):
        read = 0

        def history(self, *, limit: int, **which: Any) -> list[dict[str, Any]]:
            self.read += limit
            return super().history(limit=limit, **which)

    held: Any = Counted(1, 1_000)
    assert judge(held, Missed("e", 0), PLENTY, always) is None
    assert held.read == 1


def test_what_a_store_has_forgotten_by_the_clock_is_too_old() -> None:
    held: Any = Held(3, 10)
    held.oldest = 1
    held.history = Held(3, 10).history
    assert judge(held, Missed("e", 0), PLENTY, always) is Refused.TOO_OLD
    held.history = Held(11, 10).history
    assert judge(held, Missed("e", 0), PLENTY, always) is Refused.TOO_OLD


@pytest.mark.interpreted
def test_a_range_that_is_told_counts_for_the_budget() -> None:
    class Moved(Held):
        def history(self, **which: Any) -> list[dict[str, Any]]:
            about = {"svc": "chat", "type": "msg", "ts": 1}
            return [about | one for one in super().history(**which)]

    room: Any = SimpleNamespace(name="lobby", channel=Moved(6, 10))
    catalog: Any = SimpleNamespace(
        recoverable_lanes=(3,),
        lane_names=("", "", "", "interactive"),
        type=lambda svc, type: SimpleNamespace(lane=3),
    )
    (pull,) = pulls(room, Missed("e", 2), catalog)
    (told,), more = pull.pull(None, 100)
    assert told.envelope is not None
    assert told.envelope["data"]["to_seq"] == 5
    (first,), more = pull.pull(None, 100)
    assert (first.seq, more) == (6, True)


async def say(client: ScriptedClient, *texts: str) -> None:
    for text in texts:
        await client.send("chat", "send", {"msg": text}, room="lobby")


async def join_again(client: ScriptedClient, **data: Any) -> dict[str, Any]:
    return await client.request("room", "join", data, room="lobby")


async def heard(client: ScriptedClient) -> list[dict[str, Any]]:
    """What arrived; there are no hot frames here."""
    return [one for one in await client.read_all() if isinstance(one, dict)]


def seqs(got: list[dict[str, Any]]) -> list[int]:
    return [one["seq"] for one in got if "seq" in one]


async def test_what_is_live_in_the_same_turn_does_not_come_between(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway("chat") as gw, gw.connect("ann") as ann:
        epoch = (await ann.join("lobby"))["data"]["epoch"]
        await say(ann, *"abc")
        await ann.read_all()
        said = inbound("chat", "send", room="lobby", data={"msg": "d"})
        again = inbound("room", "join", room="lobby", data={"epoch": epoch, "seq": 1})
        ann.link.send_text(JSON.encode(said))
        ann.link.send_text(JSON.encode(again))
        got = await heard(ann)
        assert [(one["type"], one.get("seq")) for one in got] == [
            ("msg", 4),
            ("joined", None),
            ("msg", 2),
            ("msg", 3),
            ("msg", 4),
        ]


async def test_who_asks_again_before_all_has_come_gets_it_from_there(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway("chat") as gw, gw.connect("ann") as ann:
        epoch = (await ann.join("lobby"))["data"]["epoch"]
        await say(ann, *("x" * 3_000 for _ in range(30)))
        await ann.read_all()
        ann.slow(0, buffer=1_000)
        for seq in (2, 20):
            data = {"epoch": epoch, "seq": seq}
            await ann.send("room", "join", data, room="lobby")
        ann.slow(None)
        got = await heard(ann)
        answers = [at for at, one in enumerate(got) if one["type"] == "joined"]
        assert len(answers) == 2
        assert seqs(got[: answers[1]]) == list(range(3, 3 + answers[1] - 1))
        assert seqs(got[answers[1] :]) == list(range(21, 31))


async def test_what_was_missed_follows_the_answer_and_then_what_is_live(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway("chat") as gw, gw.connect("ann") as ann:
        epoch = (await ann.join("lobby"))["data"]["epoch"]
        await say(ann, *"abcde")
        async with gw.connect("bob") as bob:
            answer = await join_again(bob, epoch=epoch, seq=2)
            assert answer["data"]["recovered"] is True
            assert "reason" not in answer["data"]
            assert answer["data"]["seq"] == 5
            await say(ann, "f")
            got = [one for one in await heard(bob) if one["svc"] == "chat"]
            assert [(one["seq"], one["data"]["msg"]) for one in got] == [
                (3, "c"),
                (4, "d"),
                (5, "e"),
                (6, "f"),
            ]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"epoch": "another", "seq": 3}, "epoch_changed"),
        ({"seq": 99}, "epoch_changed"),
        ({"seq": 1}, "too_old"),
        ({"seq": 4}, "too_many"),
    ],
)
async def test_else_the_client_is_told_why(
    gateway: type[GatewayHarness], data: dict[str, Any], reason: str
) -> None:
    config = config_with(
        gateway={"history": {"messages": 8}, "max_recover_messages": 5}
    )
    async with gateway("chat", config=config) as gw, gw.connect("ann") as ann:
        epoch = (await ann.join("lobby"))["data"]["epoch"]
        await say(ann, *"abcdefghij")
        async with gw.connect("bob") as bob:
            answer = await join_again(bob, **({"epoch": epoch} | data))
            assert answer["data"]["recovered"] is False
            assert answer["data"]["reason"] == reason
            assert seqs(await heard(bob)) == []
            await say(ann, "k")
            assert seqs(await heard(bob)) == [11]


async def test_a_room_without_recoverable_types(gateway: type[GatewayHarness]) -> None:
    async with gateway("game") as gw, gw.connect("ann") as ann:
        epoch = (await ann.join("lobby"))["data"]["epoch"]
        answer = await join_again(ann, epoch=epoch, seq=0)
        assert answer["data"]["recovered"] is False
        assert answer["data"]["reason"] == "not_recoverable"


@pytest.mark.parametrize(
    "data",
    [{"seq": 1}, {"epoch": "e"}, {"epoch": 1, "seq": 1}, {"epoch": "e", "seq": -1}],
)
async def test_half_a_place_is_none(
    gateway: type[GatewayHarness], data: dict[str, Any]
) -> None:
    async with gateway("chat") as gw, gw.connect("ann") as ann:
        await ann.send("room", "join", data, room="lobby")
        await ann.expect_error("BAD_REQUEST")
        assert list(gw.gateway.rooms) == []


async def test_a_range_that_was_lost_is_fetched_by_joining_again(
    gateway: type[GatewayHarness],
) -> None:
    async with (
        gateway("chat") as gw,
        gw.connect("ann") as ann,
        gw.connect("bob") as bob,
    ):
        epoch = (await ann.join("lobby"))["data"]["epoch"]
        joined = (await bob.join("lobby"))["data"]
        await gw.advance(1)
        await ann.read_all()
        await bob.read_all()
        bob.slow(0, buffer=1_024)
        for n in range(1_500):
            await say(ann, f"{n} " + "x" * 200)
            await ann.read_all()
        bob.slow(None)
        got = await heard(bob)
        lost = next(one["data"] for one in got if one.get("type") == "lost")
        seen = seqs(got)
        first, last = lost["from_seq"], lost["to_seq"]
        assert sorted([*seen, *range(first, last + 1)]) == list(range(1, 1_501))
        # Nobody else hears of it, and its place in the room stays what it was.
        config_limit = 1_000
        answer = await join_again(
            bob, epoch=epoch, seq=max(first - 1, 1_500 - config_limit)
        )
        assert answer["data"]["recovered"] is True
        assert answer["data"]["n"] == joined["n"]
        assert answer["data"]["alias"] == joined["alias"]
        fetched = seqs(await heard(bob))
        assert fetched == list(range(max(first, 501), 1_501))
        await gw.advance(1)
        assert [one for one in await heard(ann) if one["svc"] == "room"] == []


async def test_what_waits_and_is_fetched_again_is_not_sent_twice(
    gateway: type[GatewayHarness],
) -> None:
    async with (
        gateway("chat") as gw,
        gw.connect("ann") as ann,
        gw.connect("bob") as bob,
    ):
        epoch = (await ann.join("lobby"))["data"]["epoch"]
        await bob.join("lobby")
        await gw.advance(1)
        await bob.read_all()
        bob.slow(0, buffer=0)
        await say(ann, *"abcdef")
        await bob.send("room", "join", {"epoch": epoch, "seq": 0}, room="lobby")
        await gw.settle()
        await say(ann, "g")
        bob.slow(None)
        got = seqs(await heard(bob))
        # The one that was under way when the socket filled up comes again.
        assert got[got.index(1, 1) if got.count(1) > 1 else 0 :] == list(range(1, 8))


async def test_history_that_moves_on_meanwhile_is_told_of(
    gateway: type[GatewayHarness],
) -> None:
    config = config_with(gateway={"history": {"messages": 10}})
    async with (
        gateway("chat", config=config) as gw,
        gw.connect("ann") as ann,
        gw.connect("bob") as bob,
    ):
        epoch = (await ann.join("lobby"))["data"]["epoch"]
        await say(ann, *"abcdefghij")
        bob.slow(0, buffer=0)
        await bob.send("room", "join", {"epoch": epoch, "seq": 0}, room="lobby")
        await gw.settle()
        await say(ann, *"klmno")
        bob.slow(None)
        got = await heard(bob)
        lost = [one["data"] for one in got if one.get("type") == "lost"]
        covered = [n for one in lost for n in range(one["from_seq"], one["to_seq"] + 1)]
        assert covered + seqs(got) == list(range(1, 16))
        assert lost


@given(
    missed=st.integers(0, 40),
    said=st.integers(0, 40),
    held=st.integers(1, 40),
    most=st.integers(0, 40),
)
def test_never_a_part(missed: int, said: int, held: int, most: int) -> None:
    channel: Any = Held(max(1, said - held + 1), said)
    bounds = RecoveryBounds(most, 10**9)
    refused = judge(channel, Missed("e", missed), bounds, always)
    if refused is None:
        found = channel.history(before=None, after=missed, limit=1_000)
        assert [one["seq"] for one in found] == list(range(missed + 1, said + 1))
        assert len(found) <= most


async def test_who_asks_again_and_again_is_answered_so_often(
    gateway: type[GatewayHarness],
) -> None:
    config = config_with(gateway={"max_recover_messages": 5})
    async with gateway("chat", config=config) as gw, gw.connect("ann") as ann:
        epoch = (await ann.join("lobby"))["data"]["epoch"]
        await say(ann, *"abcde")
        answers = [await join_again(ann, epoch=epoch, seq=0) for _ in range(12)]
        recovered = [answer["data"]["recovered"] for answer in answers]
        assert recovered == [True] * 10 + [False] * 2
        assert answers[-1]["data"]["reason"] == "too_many"
        await gw.advance(1)
        assert (await join_again(ann, epoch=epoch, seq=0))["data"]["recovered"]


@pytest.mark.parametrize("how", ["leaves", "reconnects", "has another session"])
async def test_there_is_no_way_around_it(
    gateway: type[GatewayHarness], how: str
) -> None:
    config = config_with(gateway={"max_recover_messages": 5})
    async with gateway("chat", config=config) as gw, gw.connect("bob") as bob:
        epoch = (await bob.join("lobby"))["data"]["epoch"]
        await say(bob, *"abcde")
        async with gw.connect("ann") as ann:
            for _ in range(10):
                assert (await join_again(ann, epoch=epoch, seq=0))["data"]["recovered"]
            if how == "leaves":
                await ann.leave("lobby")
            if how != "reconnects":
                async with gw.connect("ann") as other:
                    answer = await join_again(other, epoch=epoch, seq=0)
                    assert answer["data"]["reason"] == "too_many"
        async with gw.connect("ann") as ann:
            answer = await join_again(ann, epoch=epoch, seq=0)
            assert answer["data"]["reason"] == "too_many"
        assert (await join_again(bob, epoch=epoch, seq=0))["data"]["recovered"]


async def test_what_is_refused_for_its_size_is_spent_too(
    gateway: type[GatewayHarness],
) -> None:
    config = config_with(gateway={"max_recover_messages": 5, "max_recover_bytes": 600})
    async with gateway("chat", config=config) as gw, gw.connect("ann") as ann:
        epoch = (await ann.join("lobby"))["data"]["epoch"]
        await say(ann, *"abcde")
        for _ in range(10):
            answer = await join_again(ann, epoch=epoch, seq=0)
            assert answer["data"]["reason"] == "too_many"
        answer = await join_again(ann, epoch=epoch, seq=4)
        assert answer["data"]["reason"] == "too_many"


async def test_a_second_request_takes_the_place_of_the_first(
    gateway: type[GatewayHarness],
) -> None:
    async with (
        gateway("chat") as gw,
        gw.connect("ann") as ann,
        gw.connect("bob") as bob,
    ):
        epoch = (await ann.join("lobby"))["data"]["epoch"]
        await bob.join("lobby")
        await say(ann, *"abcdef")
        await gw.advance(1)
        await bob.read_all()
        bob.slow(0, buffer=0)
        for _ in range(5):
            await bob.send("room", "join", {"epoch": epoch, "seq": 2}, room="lobby")
            await gw.settle()
        bob.slow(None)
        assert seqs(await heard(bob)) == [3, 4, 5, 6]
