"""The newest of a sender counts: while messages wait, and by their numbers."""

from __future__ import annotations

from typing import Any

import pytest

from support.aiming import AFAR, LOAD, MOVE, RANGE, SHOUT, TURN, Range, done
from support.services import Late
from wsprism_core import (
    Actions,
    Envelope,
    ErrorCode,
    Gateway,
    HotFrame,
    LeaveRoom,
    ProtocolError,
    Session,
    hookimpl,
)
from wsprism_core.testing import GatewayHarness, ScriptedClient, config_with


def answers(client: ScriptedClient) -> list[tuple[str, int, Any]]:
    """Return type, `ref` and data of every answer that is unread."""
    return [
        (one["type"], one["ref"], one.get("data"))
        for one in client.unread
        if isinstance(one, dict) and "ref" in one
    ]


def acks(client: ScriptedClient) -> list[int | None]:
    """Return SEQ of every ACK frame that is unread."""
    return [one.seq for one in client.unread if isinstance(one, HotFrame)]


def outdated(gw: GatewayHarness) -> dict[str, int]:
    """Return what was counted, by reason."""
    counted = gw.metrics.outdated
    assert {key[:2] for key in counted} <= {("default", "range")}
    return {reason: count for (_, _, reason), count in counted.items()}


# --------------------------------------------------------------- while messages wait


async def test_of_a_burst_that_waits_the_newest_is_handled(
    gateway: type[GatewayHarness],
) -> None:
    firing = Range()
    async with gateway(firing) as gw, gw.connect() as dev:
        for number in range(200):
            await dev.send("range", "look", number)
        dev.expect_nothing()
        firing.let(3)
        await gw.settle()
        assert firing.seen == [0, 199]
        assert outdated(gw) == {"superseded": 198}


async def test_a_newer_one_takes_the_place_of_its_elder(
    gateway: type[GatewayHarness],
) -> None:
    firing = Range()
    async with gateway(firing) as gw, gw.connect() as dev:
        for type, data in (
            *(("say", 0), ("look", 1), ("say", 2)),
            *(("look", 3), ("say", 4), ("look", 5)),
        ):
            await dev.send("range", type, data)
        firing.let(6)
        await gw.settle()
        assert firing.seen == [0, 5, 2, 4]


async def test_what_is_replaced_is_acknowledged_at_once_and_nothing_else_is(
    gateway: type[GatewayHarness],
) -> None:
    firing = Range()
    firing.answer = done
    async with gateway(firing) as gw, gw.connect() as dev:
        for number in range(4):
            await dev.send("range", "look", number, seq=number, ack=number != 1)
        assert answers(dev) == [("ack", 2, {"dropped": "superseded"})]
        firing.let(4)
        await gw.settle()
        assert answers(dev)[1:] == [("done", 0, 0), ("done", 3, 3)]


@pytest.mark.parametrize(
    ("type", "data", "kept"),
    [
        ("aim", {"weapon": "bow", "at": 1}, False),
        ("aim", {"weapon": "gun", "at": 1}, True),
        ("aim", {"at": 1}, True),
        ("aim", {"weapon": [1], "at": 1}, True),
        ("look", {"weapon": "bow"}, True),
        ("mark", {"weapon": "bow"}, True),
    ],
)
async def test_a_key_tells_apart_what_is_replaced(
    gateway: type[GatewayHarness], type: str, data: Any, kept: bool
) -> None:
    firing = Range()
    elder = {"weapon": "bow", "at": 0}
    async with gateway(firing) as gw, gw.connect() as dev:
        await dev.send("range", "say")
        await dev.send("range", "aim", elder)
        await dev.send("range", type, data)
        firing.let(3)
        await gw.settle()
        assert firing.seen[1:] == ([elder, data] if kept else [data])


@pytest.mark.parametrize("data", [None, 1, "id", ["id"], {"id": None}, {"id": {}}])
async def test_what_has_no_key_waits_like_any_other(
    gateway: type[GatewayHarness], data: Any
) -> None:
    firing = Range()
    config = config_with(gateway={"max_async_queue": 2})
    async with gateway(firing, config=config) as gw, gw.connect() as dev:
        for _ in range(3):
            await dev.send("range", "mark", data)
        dev.expect_nothing()
        await dev.send("range", "mark", data)
        await dev.expect_error("RESOURCE_EXHAUSTED")
        assert outdated(gw) == {}


async def test_rooms_and_sessions_are_apart(gateway: type[GatewayHarness]) -> None:
    firing = Range()
    async with (
        gateway(firing) as gw,
        gw.connect("ann") as ann,
        gw.connect("ann") as other,
    ):
        for client in (ann, other):
            for room in ("r1", "r2"):
                await client.join(room)
                await client.send("range", "say")
                await client.send("range", "stand", room, room=room)
                await client.send("range", "mark", {"id": 1}, room=room)
        firing.let(20)
        await gw.settle()
        stood = [data for data in firing.seen if isinstance(data, str)]
        assert sorted(stood) == ["r1", "r1", "r2", "r2"]
        assert outdated(gw) == {}


async def test_a_full_queue_still_takes_the_newest(
    gateway: type[GatewayHarness],
) -> None:
    firing = Range()
    config = config_with(gateway={"max_async_queue": 2})
    async with gateway(firing, config=config) as gw, gw.connect() as dev:
        for type in ("say", "say", "look"):
            await dev.send("range", type, type)
        await dev.send("range", "look", "newest")
        dev.expect_nothing()
        await dev.send("range", "say")
        await dev.expect_error("RESOURCE_EXHAUSTED")
        firing.let(4)
        await gw.settle()
        assert firing.seen == ["say", "say", "newest"]


async def test_a_type_that_does_not_declare_it_loses_nothing(
    gateway: type[GatewayHarness],
) -> None:
    late = Late()
    late.gate.set()
    async with gateway(late) as gw, gw.connect() as dev:
        for number in range(60):
            dev.link.send_text(b'{"svc":"late","type":"work","data":%d}' % number)
        await gw.settle()
        assert late.started == list(range(60))
        assert not gw.metrics.outdated


# ------------------------------------------------------------------ numbers of frames

WRAP = 2**32


async def test_stale_and_duplicate_frames_do_not_reach_the_service(
    gateway: type[GatewayHarness],
) -> None:
    firing = Range()
    async with gateway(firing) as gw, gw.connect() as dev:
        await dev.join("arena")
        for seq in (WRAP - 2, WRAP - 1, WRAP - 1, 0, WRAP - 1, 0, 2, 1, 3):
            await dev.send_frame(RANGE, MOVE, str(seq).encode(), seq=seq)
        taken = [WRAP - 2, WRAP - 1, 0, 2, 3]
        assert firing.seen == [str(seq).encode() for seq in taken]
        assert outdated(gw) == {"duplicate": 2, "stale": 2}
        dev.expect_nothing()


async def test_a_frame_that_is_dropped_is_acknowledged(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway(Range()) as gw, gw.connect() as dev:
        await dev.join("arena")
        for seq in (5, 5, 4):
            await dev.send_frame(RANGE, MOVE, seq=seq, ack=True)
            await dev.send_frame(RANGE, MOVE, seq=seq)
        assert acks(dev) == [5, 5, 4]


async def test_frames_without_a_number_and_opcodes_that_do_not_declare_it_pass(
    gateway: type[GatewayHarness],
) -> None:
    firing = Range()
    async with gateway(firing) as gw, gw.connect() as dev:
        await dev.join("arena")
        await dev.send_frame(RANGE, MOVE, b"5", seq=5)
        for _ in range(2):
            await dev.send_binary(bytes([1, RANGE, MOVE, 0]) + b"none")
            await dev.send_frame(RANGE, SHOUT, b"5", seq=5)
        await dev.send_frame(RANGE, MOVE, b"5", seq=5)
        assert firing.seen == [b"5", b"none", b"5", b"none", b"5"]
        assert outdated(gw) == {"duplicate": 1}


async def test_sessions_opcodes_and_rooms_count_for_themselves(
    gateway: type[GatewayHarness],
) -> None:
    firing = Range()
    async with (
        gateway(firing) as gw,
        gw.connect("ann") as ann,
        gw.connect("ann") as other,
    ):
        for client in (ann, other):
            for room in ("r1", "r2"):
                await client.join(room)
                await client.send_frame(RANGE, MOVE, seq=5)
                await client.send_frame(RANGE, TURN, seq=5)
            await client.send_frame(RANGE, AFAR, seq=5)
        assert len(firing.seen) == 10
        assert outdated(gw) == {}
        await ann.send_frame(RANGE, AFAR, seq=5)
        assert outdated(gw) == {"duplicate": 1}


async def test_by_alias_or_not_a_room_is_the_same(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway(Range()) as gw, gw.connect() as dev:
        alias = (await dev.join("arena"))["data"]["alias"]
        await dev.send_frame(RANGE, MOVE, seq=5, alias=alias)
        await dev.send_frame(RANGE, MOVE, seq=5)
        assert outdated(gw) == {"duplicate": 1}


async def test_who_leaves_or_connects_anew_counts_from_anywhere(
    gateway: type[GatewayHarness],
) -> None:
    firing = Range()
    async with gateway(firing) as gw:
        async with gw.connect() as dev:
            await dev.join("arena")
            await dev.send_frame(RANGE, MOVE, b"1", seq=900)
            await dev.join("arena")
            await dev.send_frame(RANGE, MOVE, b"2", seq=3)
            await dev.leave("arena")
            await dev.join("arena")
            await dev.send_frame(RANGE, MOVE, b"3", seq=3)
        async with gw.connect() as dev:
            await dev.join("arena")
            await dev.send_frame(RANGE, MOVE, b"4", seq=1)
        assert firing.seen == [b"1", b"3", b"4"]


async def test_where_no_room_is_wanted_a_member_may_send_for_none(
    gateway: type[GatewayHarness],
) -> None:
    firing = Range()
    config = config_with(policy={"hot_requires_active_room": False})
    async with gateway(firing, config=config) as gw, gw.connect() as dev:
        for seq in (5, 5, 6):
            await dev.send_frame(RANGE, MOVE, b"%d" % seq, seq=seq)
        assert firing.seen == [b"5", b"6"]


@pytest.mark.parametrize("failure", [ProtocolError(ErrorCode.CONFLICT, "no"), OSError])
async def test_a_frame_that_was_refused_may_come_again_and_older_ones_not(
    gateway: type[GatewayHarness], failure: Any
) -> None:
    firing = Range()

    def refuse(frame: HotFrame) -> Actions:
        raise failure

    async with gateway(firing) as gw, gw.connect() as dev:
        await dev.join("arena")
        for first in (7, 0):
            firing.seen.clear()
            firing.answer_frame = refuse
            await dev.send_frame(RANGE, MOVE, b"1", seq=first)
            await dev.expect_error(ref=first)
            firing.answer_frame = lambda _: None
            for seq in (first - 1, first, first):
                await dev.send_frame(RANGE, MOVE, b"2", seq=seq % WRAP)
            assert firing.seen == [b"1", b"2"]
            await dev.leave("arena")
            await dev.join("arena")


async def test_a_malformed_frame_does_not_count(gateway: type[GatewayHarness]) -> None:
    firing = Range()
    async with gateway(firing) as gw, gw.connect() as dev:
        await dev.join("arena")
        await dev.send_frame(RANGE, LOAD, b"too long", seq=9)
        await dev.expect_error("BAD_REQUEST", ref=9)
        await dev.send_frame(RANGE, LOAD, b"1", seq=1)
        assert firing.seen == [b"1"]


class Watcher:
    """Observes."""

    wsprism_api = 1

    def __init__(self) -> None:
        self.seen: list[Any] = []

    @hookimpl
    def on_message(self, session: Session, message: Envelope) -> None:
        self.seen.append(message.data)

    @hookimpl
    def on_binary(self, session: Session, frame: HotFrame) -> None:
        self.seen.append(frame.payload)


async def test_observers_see_what_the_owner_saw(gateway: type[GatewayHarness]) -> None:
    firing, watcher = Range(), Watcher()
    async with gateway(firing, watcher) as gw, gw.connect() as dev:
        await dev.join("arena")
        for seq in (1, 1, 2):
            await dev.send_frame(RANGE, MOVE, b"%d" % seq, seq=seq)
            await dev.send("range", "look", seq, seq=seq)
        firing.let(3)
        await gw.settle()
        assert watcher.seen == [b"1", b"2", 1, 2]


# ------------------------------------------------------- numbers of text messages


async def test_stale_and_duplicate_text_messages_do_not_reach_the_service(
    gateway: type[GatewayHarness],
) -> None:
    firing = Range()
    firing.answer = done
    top = 2**53 - 1
    async with gateway(firing) as gw, gw.connect() as dev:
        firing.let(9)
        for seq in (0, 5, 5, 4, 6, top, 0):
            await dev.send("range", "step", seq, seq=seq, ack=True)
        await dev.send_fields({"svc": "range", "type": "step", "data": "unnumbered"})
        assert firing.seen == [0, 5, 6, top, "unnumbered"]
        assert answers(dev) == [
            ("done", 0, 0),
            ("done", 5, 5),
            ("ack", 5, {"dropped": "duplicate"}),
            ("ack", 4, {"dropped": "stale"}),
            ("done", 6, 6),
            ("done", top, top),
            ("ack", 0, {"dropped": "stale"}),
        ]
        assert outdated(gw) == {"duplicate": 1, "stale": 2}


async def test_text_numbers_start_anew_with_the_membership(
    gateway: type[GatewayHarness],
) -> None:
    firing = Range()
    firing.let(9)
    async with gateway(firing) as gw, gw.connect() as dev:
        for seq in (9, 1):
            await dev.join("r1")
            await dev.send("range", "walk", seq, seq=seq)
            await dev.send("range", "walk", "stale", seq=seq)
            await dev.leave("r1")
        assert firing.seen == [9, 1]


async def test_a_text_message_that_was_refused_may_come_again(
    gateway: type[GatewayHarness],
) -> None:
    firing = Range()

    def refuse(message: Envelope) -> Actions:
        raise ProtocolError(ErrorCode.CONFLICT, "no")

    firing.answer = refuse
    async with gateway(firing) as gw, gw.connect() as dev:
        await dev.join("r1")
        await dev.send("range", "walk", 1, seq=5)
        await dev.send("range", "walk", "meanwhile it counts", seq=5)
        firing.let(1)
        await dev.expect_error("CONFLICT", ref=5)
        firing.answer = done
        firing.let(1)
        await dev.send("range", "walk", "older", seq=3)
        await dev.send("range", "walk", 2, seq=5)
        assert firing.seen == [1, 2]
        assert outdated(gw) == {"duplicate": 1, "stale": 1}


async def test_one_that_is_refused_late_does_not_undo_a_newer_one(
    gateway: type[GatewayHarness],
) -> None:
    firing = Range()

    def refuse(message: Envelope) -> Actions:
        raise ProtocolError(ErrorCode.CONFLICT, "no")

    firing.answer = refuse
    async with gateway(firing) as gw, gw.connect() as dev:
        await dev.send("range", "step", seq=5)
        await dev.send("range", "step", seq=6)
        firing.let(1)
        await dev.expect_error("CONFLICT", ref=5)
        await dev.send("range", "step", seq=5)
        assert outdated(gw) == {"stale": 1}


async def test_what_found_no_place_in_the_queue_may_come_again(
    gateway: type[GatewayHarness],
) -> None:
    firing = Range()
    config = config_with(gateway={"max_async_queue": 1})
    async with gateway(firing, config=config) as gw, gw.connect() as dev:
        for seq in (1, 2, 3):
            await dev.send("range", "step", seq, seq=seq)
        await dev.expect_error("RESOURCE_EXHAUSTED", ref=3)
        firing.let(3)
        await gw.settle()
        await dev.send("range", "step", 3, seq=3)
        assert firing.seen == [1, 2, 3]


async def test_what_waits_gives_way_to_a_newer_number_alone(
    gateway: type[GatewayHarness],
) -> None:
    firing = Range()
    async with gateway(firing) as gw, gw.connect() as dev:
        for seq in (1, 3, 2, 3, 4, 1):
            await dev.send("range", "run", seq, seq=seq, ack=True)
        assert [(ref, data["dropped"]) for _, ref, data in answers(dev)] == [
            (2, "stale"),
            (3, "duplicate"),
            (3, "superseded"),
            (1, "stale"),
        ]
        firing.let(3)
        await gw.settle()
        assert firing.seen == [1, 4]
        assert answers(dev)[4:] == [("ack", 1, None), ("ack", 4, None)]


class Ejector(Range):
    """Ends the membership of whoever sends a message, as it is checked."""

    @hookimpl
    def on_start(self, gateway: Gateway) -> None:
        self.gateway = gateway

    @hookimpl
    def check_message(self, session: Session, message: Envelope) -> None:
        if message.room is not None:
            left = LeaveRoom(session.id, message.room)
            self.gateway.perform(left, tenant=session.tenant)


async def test_where_a_check_ends_the_membership_nothing_is_counted(
    gateway: type[GatewayHarness],
) -> None:
    firing = Ejector()
    firing.let(9)
    async with gateway(firing) as gw, gw.connect() as dev:
        for _ in range(2):
            await dev.join("r1")
            await dev.send("range", "walk", 1, seq=5)
        assert firing.seen == [1, 1]


# ----------------------------------------------------------------------------- memory


async def test_numbers_are_few_and_end_with_what_they_are_of(
    gateway: type[GatewayHarness],
) -> None:
    firing = Range()
    firing.let(9999)
    async with gateway(firing) as gw, gw.connect() as dev:
        session = gw.gateway.sessions.get(dev.authed["sid"])
        assert session is not None
        await dev.join("r1")
        membership = session.memberships["r1"]
        assert (session.newest, membership.newest) == (None, None)
        for seq in range(1, 50):
            for opcode in (MOVE, TURN, SHOUT, AFAR):
                await dev.send_frame(RANGE, opcode, seq=seq)
            await dev.send("range", "walk", seq=seq)
            await dev.send("range", "step", seq=seq, room=f"r{seq}")
        assert session.newest is not None
        assert membership.newest is not None
        assert (len(session.newest), len(membership.newest)) == (2, 3)
        await dev.leave("r1")
        await dev.join("r1")
        assert session.memberships["r1"].newest is None
