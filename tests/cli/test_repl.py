from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from support.command_line import install_only
from wsprism_cli.render import Line
from wsprism_cli.repl import converse
from wsprism_cli.shortforms import HELP
from wsprism_core import HotFrame
from wsprism_core.client import (
    Client,
    ClientError,
    ConnectionClosed,
    Event,
    FrameEvent,
    TextEvent,
)


class FakeClient:
    """Writes down what is sent; what arrives is put in by the test."""

    def __init__(self, **authed: Any) -> None:
        self.authed: dict[str, Any] = {"services": {"game": 1, "chat": 2}, **authed}
        self.closed: tuple[int, str] | None = None
        self.sent: list[tuple[Any, ...]] = []
        self.arriving: asyncio.Queue[Event | None] = asyncio.Queue()
        self.refusal: Exception | None = None
        self.epoch: str | None = None
        self.forbidden: str | None = None

    async def send(
        self, svc: str, type: str, data: Any = None, *, room: str | None = None
    ) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.sent.append((svc, type, data, room))

    async def request(
        self, svc: str, type: str, data: Any = None, *, room: str | None = None
    ) -> dict[str, Any]:
        await self.send(svc, type, data, room=room)
        answer: dict[str, Any] = {"alias": 7, "members": []}
        if self.epoch is not None:
            answer |= {"epoch": self.epoch, "seq": 0}
        return {"svc": "sys", "type": "joined", "ref": 1, "room": room, "data": answer}

    async def join(self, room: str, **since: Any) -> dict[str, Any]:
        self.sent.append(("join", room, since))
        if room == self.forbidden:
            raise ClientError("NOT_ALLOWED", "no")
        data = {"alias": 9, "epoch": since["epoch"], "seq": 3, "recovered": True}
        return {"svc": "sys", "type": "joined", "ref": 2, "room": room, "data": data}

    async def send_raw_text(self, text: str) -> None:
        self.sent.append((text,))

    async def send_frame(
        self, svc_id: int, opcode: int, payload: bytes, **options: Any
    ) -> None:
        self.sent.append((svc_id, opcode, payload, options))

    async def events(self) -> AsyncIterator[Event]:
        while (event := await self.arriving.get()) is not None:
            yield event

    def end(self, code: int, reason: str) -> None:
        self.closed = code, reason
        self.arriving.put_nowait(None)


class Desk:
    """A conversation under way."""

    def __init__(self, *lines: str, wait: float = 0.0, stays: bool = False) -> None:
        self.client = FakeClient()
        self.shown: list[str] = []
        self.has_ended = asyncio.Event()
        self.has_shown = asyncio.Event()
        self._lines = lines
        self._stays = stays
        self._wait = wait

    async def run(self) -> int:
        client = cast("Client", self.client)
        return await converse(client, self._typed(), self._show, wait=self._wait)

    async def _typed(self) -> AsyncIterator[str]:
        for line in self._lines:
            yield line
        if self._stays:
            await asyncio.Event().wait()
        self.has_ended.set()

    def _show(self, line: Line) -> None:
        self.shown.append("".join(piece.text for piece in line))
        self.has_shown.set()


@pytest.fixture(autouse=True)
def _nothing_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    install_only(monkeypatch)


async def test_lines_go_out_in_their_order() -> None:
    desk = Desk("chat.send hello", "", "/leave", "/raw x", '{"svc":"a","type":"b"}')
    assert await desk.run() == 0
    assert desk.client.sent == [
        ("chat", "send", {"msg": "hello"}, None),
        ("room", "leave", None, None),
        ("x",),
        ('{"svc":"a","type":"b"}',),
    ]
    assert desk.shown == []


async def test_a_frame_goes_to_a_room_that_was_just_joined() -> None:
    desk = Desk("/join lobby", "/hot 1 2 hi lobby seq=3 ack", "/hot 1 1")
    assert await desk.run() == 0
    assert desk.client.sent == [
        ("room", "join", None, "lobby"),
        (1, 2, b"hi", {"seq": 3, "alias": 7, "ack": True}),
        (1, 1, b"", {"seq": None, "alias": None, "ack": False}),
    ]
    assert desk.shown == ['< sys.joined room=lobby {"alias":7,"members":[]}']


async def test_a_frame_to_a_room_that_one_is_not_in_is_not_sent() -> None:
    desk = Desk("/hot 1 2 hi lobby")
    assert await desk.run() == 0
    assert desk.client.sent == []
    assert desk.shown == ["? you are not in the room lobby; first: /join lobby"]


async def test_what_is_not_understood_is_told_and_the_next_line_counts() -> None:
    desk = Desk("hello", "party.create")
    assert await desk.run() == 0
    assert desk.shown == ["? not understood; try chat.send hello, or /help"]
    assert desk.client.sent == [("party", "create", None, None)]


@pytest.mark.parametrize(
    ("refusal", "shown"),
    [
        (ClientError("NOT_ALLOWED", "no \x1b[2J"), r"? NOT_ALLOWED: no \x1b[2J"),
        (ConnectionClosed(1006, "lost"), "? closed 1006: lost"),
        (TimeoutError("no answer"), "? no answer"),
        (ValueError("too big"), "? too big"),
    ],
)
async def test_what_cannot_be_sent_is_told(refusal: Exception, shown: str) -> None:
    desk = Desk("/join lobby")
    desk.client.refusal = refusal
    assert await desk.run() == 0
    assert desk.shown == [shown]


async def test_help_is_shown() -> None:
    desk = Desk("/help")
    assert await desk.run() == 0
    assert desk.shown == HELP.splitlines()


async def test_nothing_counts_behind_quit() -> None:
    desk = Desk("/quit", "party.create", wait=3600.0)
    assert await desk.run() == 0
    assert desk.client.sent == []


async def test_what_arrives_is_shown_while_nobody_types() -> None:
    desk = Desk(stays=True)
    put = desk.client.arriving.put_nowait
    put(TextEvent({"svc": "chat", "type": "msg", "room": "r", "data": {"msg": "hi"}}))
    put(TextEvent({"svc": "sys", "type": "joined", "room": "r", "data": {"alias": 7}}))
    put(FrameEvent(HotFrame(1, 2, 0, b"go", alias=7, sender=3)))
    desk.client.end(1001, "draining")
    assert await desk.run() == 1
    assert desk.shown == [
        '< chat.msg room=r {"msg":"hi"}',
        '< sys.joined room=r {"alias":7}',
        '< game.2 hot room=r from=3 2 bytes "go"',
        "closed: 1001 going away: draining",
    ]


async def test_after_the_last_line_it_listens_for_a_while() -> None:
    desk = Desk("party.create", wait=3600.0)
    running = asyncio.ensure_future(desk.run())
    await desk.has_ended.wait()
    desk.client.arriving.put_nowait(TextEvent({"svc": "party", "type": "state"}))
    await desk.has_shown.wait()
    assert not running.done()
    desk.client.end(4001, "")
    assert await running == 1
    assert desk.shown == ["< party.state", "closed: 4001 slow consumer"]


async def test_and_then_it_ends() -> None:
    assert await Desk("party.create", wait=0.001).run() == 0


async def test_no_task_is_left_behind() -> None:
    before = asyncio.all_tasks()
    assert await Desk(wait=0.001).run() == 0
    assert asyncio.all_tasks() == before


# ------------------------------------------------------------------------ coming back


#: What is typed last waits for this.
LAST = "m9"


class Away:
    """A conversation whose connection is lost, and another one that is found."""

    def __init__(
        self, found: FakeClient | None, *lines: str, until: str = "nothing"
    ) -> None:
        self.lost = FakeClient()
        self.lost.epoch = "e1"
        self.rooms = ["lobby"]
        self.shown: list[str] = []
        self._found = found
        self._lines = lines
        self._until = until
        self._is_time = asyncio.Event()

    async def run(self) -> int:
        return await converse(
            cast("Client", self.lost), self._typed(), self._show, back=self._back
        )

    async def _typed(self) -> AsyncIterator[str]:
        for room in self.rooms:
            yield f"/join {room}"
        self.lost.arriving.put_nowait(said(1))
        self.lost.end(1006, "")
        # What comes next is typed when that is shown which is waited for.
        await self._is_time.wait()
        for line in self._lines:
            yield line

    async def _back(self, lost: Client) -> Client | None:
        assert lost is cast("Client", self.lost)
        return cast("Client", self._found)

    def _show(self, line: Line) -> None:
        self.shown.append("".join(piece.text for piece in line))
        if self._until in self.shown[-1]:
            self._is_time.set()


def said(seq: int) -> TextEvent:
    data = {"msg": f"m{seq}"}
    return TextEvent(
        {"svc": "chat", "type": "msg", "room": "lobby", "seq": seq, "data": data}
    )


async def test_a_session_that_goes_on_shows_what_was_missed_once() -> None:
    room = {"room": "lobby", "alias": 8, "epoch": "e1", "seq": 3, "recovered": True}
    found = FakeClient(resumed=True, rooms=[room])
    for seq in 1, 2, 3, 9:
        found.arriving.put_nowait(said(seq))
    away = Away(found, "/hot 1 1 x lobby", until=LAST)
    assert await away.run() == 0
    assert away.shown[1:] == [
        '< chat.msg room=lobby seq=1 {"msg":"m1"}',
        "closed: 1006 no close frame",
        "back, with what was missed",
        '< chat.msg room=lobby seq=2 {"msg":"m2"}',
        '< chat.msg room=lobby seq=3 {"msg":"m3"}',
        '< chat.msg room=lobby seq=9 {"msg":"m9"}',
    ]
    assert found.sent == [(1, 1, b"x", {"seq": None, "alias": 8, "ack": False})]


async def test_what_cannot_be_had_any_more_is_told() -> None:
    room = {"room": "lobby", "alias": 8, "epoch": "e2", "seq": 3, "recovered": False}
    found = FakeClient(resumed=True, rooms=[{**room, "reason": "epoch_changed"}])
    away = Away(found, until="epoch_changed")
    assert await away.run() == 0
    assert away.shown[-1] == (
        "? not all that was missed can be had of lobby: epoch_changed"
    )


async def test_a_new_session_joins_from_where_the_old_one_was() -> None:
    found = FakeClient(resumed=False)
    found.arriving.put_nowait(said(9))
    away = Away(found, "/hot 1 1 x lobby", until=LAST)
    assert await away.run() == 0
    assert found.sent[0] == ("join", "lobby", {"epoch": "e1", "seq": 1})
    assert found.sent[1][3]["alias"] == 9
    assert away.shown[-3:] == [
        "back, as a new session",
        '< sys.joined room=lobby {"alias":9,"epoch":"e1","seq":3,"recovered":true}',
        '< chat.msg room=lobby seq=9 {"msg":"m9"}',
    ]


async def test_a_room_that_refuses_one_keeps_nobody_out_of_the_next() -> None:
    found = FakeClient(resumed=False)
    found.forbidden = "lobby"
    found.arriving.put_nowait(said(9))
    away = Away(found, "/hot 1 1 x garden", "/hot 1 1 x lobby", until=LAST)
    away.rooms.append("garden")
    assert await away.run() == 0
    assert [sent[:2] for sent in found.sent[:2]] == [
        ("join", "lobby"),
        ("join", "garden"),
    ]
    assert found.sent[2][3]["alias"] == 9
    assert "? lobby: NOT_ALLOWED: no" in away.shown
    assert away.shown[-1].startswith("? you are not in the room lobby")


async def test_of_a_connection_that_was_lost_nothing_is_kept() -> None:
    there: list[weakref.ref[FakeClient]] = []
    kept: list[int] = []

    def another() -> Client:
        client = FakeClient(resumed=True, rooms=[])
        client.end(1006, "")
        there.append(weakref.ref(client))
        return cast("Client", client)

    async def back(lost: Client) -> Client | None:
        gc.collect()
        kept.append(sum(one() is not None for one in there))
        return another() if len(there) < 5 else None

    async def nothing() -> AsyncIterator[str]:
        await asyncio.Event().wait()
        yield ""

    assert await converse(another(), nothing(), lambda line: None, back=back) == 1
    # The one that is lost just now, and the first, which is an argument.
    assert kept == [1, 2, 2, 2, 2]


async def test_where_there_is_no_coming_back_it_ends() -> None:
    away = Away(None)
    assert await away.run() == 1
    assert away.shown[-1] == "closed: 1006 no close frame"
