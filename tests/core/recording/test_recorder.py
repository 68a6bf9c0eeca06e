"""What is recorded of connections in memory, and what harms no gateway."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from support.peers import Stream
from support.recorded import kinds, recording, records
from support.services import Lab
from wsprism_core import (
    Delivery,
    Inbound,
    Kick,
    Outbound,
    Pull,
    Push,
    Service,
    Session,
    hookimpl,
)
from wsprism_core.client import connect
from wsprism_core.config import Config
from wsprism_core.gateway import Gateway
from wsprism_core.gateway.admin import AdminGuard, AdminListener
from wsprism_core.plugins import PluginSet
from wsprism_core.protocol.codecs import JSON, load_json
from wsprism_core.protocol.layout import FrameKind
from wsprism_core.recording.format import Kind
from wsprism_core.recording.recorder import Recorder
from wsprism_core.recording.replayer import Replay, replay
from wsprism_core.testing import config_with
from wsprism_core.transports.memory import MemoryClient, MemoryLink, MemoryTransport
from wsprism_core.transports.posting import PostTransport

CONFIG = config_with(gateway={"auth_timeout_ms": 20, "writer_send_timeout_ms": 100})

#: Pings at once, and waits for no pong.
HASTY = config_with(gateway={"ping_interval_ms": 80, "pong_timeout_ms": 40})


class Memory:
    """A recorded gateway on links in memory."""

    def __init__(self, path: Path, *plugins: object, config: Config) -> None:
        loaded = PluginSet.load([], extra=plugins)
        self.recorder = Recorder(config, loaded, has_file=False)
        self.transport = MemoryTransport()
        self.admin = PostTransport(port=0)
        self.gateway = Gateway(
            config,
            loaded,
            self.recorder.clock,
            transports=[self.transport],
            development=True,
            admin=AdminListener(self.admin, AdminGuard(None)),
            chance=self.recorder.chance,
            boundary=self.recorder,
        )
        self.recorder.open(path.open("wb", buffering=0), max_bytes=1 << 30)

    def connect(self, user: str) -> MemoryClient:
        return self.transport.connect(ticket=f"dev:{user}")

    async def turns(self, count: int = 3) -> None:
        for _ in range(count):
            await asyncio.sleep(0)


@asynccontextmanager
async def in_memory(
    path: Path, *plugins: object, config: Config = CONFIG
) -> AsyncIterator[Memory]:
    memory = Memory(path, *plugins, config=config)
    await memory.gateway.start()
    try:
        yield memory
    finally:
        await memory.gateway.stop()
        memory.recorder.close()


async def again(path: Path, *plugins: object, config: Config = CONFIG) -> Replay:
    return await replay(path, plugins=PluginSet.load([], extra=plugins), config=config)


def say(client: MemoryClient, type: str, data: Any = None, **fields: Any) -> None:
    message = {"svc": "lab", "type": type, "data": data, **fields}
    client.send_text(JSON.encode(message))


async def test_a_socket_that_fills_up_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    async with in_memory(path, Lab()) as memory:
        ann = memory.connect("ann")
        await memory.turns()
        ann.capacity = 0
        for number in range(5):
            say(ann, "echo", number, seq=number)
        await memory.turns()
        ann.received()
        await memory.turns()
        say(ann, "echo", "the end")
        await memory.turns()
        ann.received()
        ann.send_ping(b"x")
        ann.send_pong()
        ann.close()
    assert kinds(path) >= {
        Kind.PAUSE,
        Kind.RESUME,
        Kind.FULL,
        Kind.HEARD,
        Kind.CONTROL,
        Kind.PONG,
    }
    result = await again(path, Lab())
    assert result.same, result


async def test_a_socket_that_is_full_from_the_start(tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    async with in_memory(path, Lab()) as memory:
        link = memory.connect("ann")
        link.capacity = 10
        await memory.turns()
        link.received()
        await memory.turns()
        say(link, "echo", "hi")
        await memory.turns()
    result = await again(path, Lab())
    assert result.same, result


async def test_who_sends_no_ticket_in_time_moves_nothing_on(tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    async with in_memory(path, Lab()) as memory:
        late, ann = memory.transport.connect(), memory.connect("ann")
        async with asyncio.timeout(5):
            while late.ended is None:
                late.received()
                await memory.turns()
        say(ann, "nothing", seq=1)  # the error has the next trace id
        await memory.turns()
    result = await again(path, Lab())
    assert result.same, result


async def test_a_reader_that_reads_nothing_is_cut_at_the_same_moment(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.rec"
    async with in_memory(path, Lab()) as memory:
        ann = memory.connect("ann")
        ann.received()
        ann.capacity = 0
        for number in range(3):
            say(ann, "echo", number)
            await memory.turns()
        async with asyncio.timeout(5):
            while len(memory.gateway.sessions):
                await memory.turns()
    assert kinds(path) >= {Kind.UNSENT, Kind.CLOSE}
    result = await again(path, Lab())
    assert result.same, result


async def test_a_pong_that_waits_for_its_turn_is_waited_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.rec"
    asked = 0

    def is_behind(link: MemoryLink) -> bool:
        nonlocal asked
        asked += 1
        return asked < 4

    with monkeypatch.context() as patch:
        patch.setattr(MemoryLink, "is_behind", is_behind)
        async with in_memory(path, Lab(), config=HASTY) as memory:
            ann = memory.connect("ann")
            async with asyncio.timeout(5):
                while asked < 3:
                    await memory.turns()
                # It is heard, and so in the replay: nobody has given it up.
                say(ann, "echo", "hi")
                while asked < 4 or len(memory.gateway.sessions):
                    await memory.turns()
    assert [one for one in records(path) if one[0] == Kind.BEHIND] == [
        (Kind.BEHIND, 1)
    ] * 3
    result = await again(path, Lab(), config=HASTY)
    assert result.same, result


class Librarian:
    """Lets sessions pull from a shelf that its async handler names."""

    wsprism_api = 1
    name = "books"

    def __init__(self, *shelf: str) -> None:
        self.shelf = list(shelf)

    @hookimpl
    def register_services(self) -> Service:
        return Service(
            name="books",
            inbound=(Inbound(name="read"),),
            outbound=(Outbound(name="page", delivery=Delivery.PULLED),),
        )

    @hookimpl
    async def on_message(self, session: Session) -> Any:
        return [Pull("page", self, session=session.id) for _ in range(2)]

    def pull(self, session: Session, budget: int) -> Any:
        return [Push("page", self.shelf.pop(0))], bool(self.shelf)


async def test_what_is_pulled_from_outside_is_an_input(tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    async with in_memory(path, Librarian("one", "two", "three")) as memory:
        ann = memory.connect("ann")
        ann.send_text(JSON.encode({"svc": "books", "type": "read"}))
        await memory.turns(10)
        heard = b"".join(payload for _, payload in ann.received())
        assert heard.index(b"one") < heard.index(b"two") < heard.index(b"three")
    assert Kind.PULLED in kinds(path)
    # Its shelf is empty now, and nobody looks at it.
    result = await again(path, Librarian())
    assert result.same, result
    assert result.warnings == ()


class Bouncer(Lab):
    """Sends some users away as soon as they are in."""

    @hookimpl
    def on_open(self, session: Session) -> Any:
        if session.user == "user:eve":
            return [Push("said", "no", session=session.id), Kick("no", session.id)]
        return None


async def test_a_session_that_ends_while_it_opens(tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    async with in_memory(path, Bouncer()) as memory:
        eve, ann = memory.connect("eve"), memory.connect("ann")
        data = {"ticket": "dev:eve"}
        late = memory.transport.connect()
        late.send_text(JSON.encode({"svc": "sys", "type": "auth", "data": data}))
        say(ann, "echo", "hi")
        await memory.turns()
        for gone in (eve, late):
            frames = [kind for kind, _ in gone.received()]
            assert frames[-1] is FrameKind.CLOSE
    closes = [record[1] for record in records(path) if record[0] == Kind.CLOSE]
    assert closes == [1, 3]
    result = await again(path, Bouncer())
    assert result.same, result
    # A build that lets her stay differs.
    result = await again(path, Lab())
    assert not result.same
    assert result.first is not None
    assert result.first.session == "1"


class Rash(Lab):
    """Ends the session that posts, and then has something to say to the room."""

    @hookimpl
    async def on_message(  # type: ignore[override]
        self, session: Session, message: Any
    ) -> Any:
        self.gateway.perform(Kick("enough", session.id), tenant="default")
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        return super().on_message(session, message)


async def test_a_session_that_is_kicked_while_its_handler_is_under_way(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.rec"
    async with in_memory(path, Rash()) as memory:
        ann, bob = memory.connect("ann"), memory.connect("bob")
        for one in (ann, bob):
            one.send_text(JSON.encode({"svc": "room", "type": "join", "room": "r1"}))
        await memory.turns()
        say(ann, "post", "last words", room="r1")
        await memory.turns(10)
        heard = b"".join(payload for _, payload in bob.received())
        assert b"last words" in heard
    result = await again(path, Rash())
    assert result.same, result


# ------------------------------------------------------------------ what harms nobody


class Full(io.RawIOBase):
    """A disk with room for a little."""

    def __init__(self, room: int) -> None:
        self.room = room

    def write(self, data: Any, /) -> int:
        if len(data) > self.room:
            raise OSError(28, "No space left on device")
        self.room -= len(data)
        return len(data)


async def talk_until_it_stops(live: Any) -> None:
    async with connect(live.ws, ticket="dev:ann") as ann:
        await ann.join("r1")
        count = 0
        while not live.recorder.stopped:
            count += 1
            await ann.request("lab", "echo", f"{count:x}" * 8_000)
            live.recorder._flush()
        # The gateway goes on.
        await ann.request("lab", "echo", "still here")


@pytest.mark.parametrize(
    ("room", "max_bytes", "reason"),
    [(5_000, 1 << 30, "error"), (1 << 30, 5_000, "max_bytes")],
)
async def test_a_recording_that_ends_leaves_the_gateway_alone(
    caplog: pytest.LogCaptureFixture, room: int, max_bytes: int, reason: str
) -> None:
    async with recording(Full(room), Lab(), max_bytes=max_bytes) as live:
        await talk_until_it_stops(live)
        metrics = live.gateway.metrics
        assert live.recorder.stopped == reason
        assert dict(metrics.recordings_stopped) == {reason: 1}
        assert 0 < metrics.recorded_bytes <= 5_000
    stops = [one for one in caplog.records if one.message == "recording_stopped"]
    assert [one.levelno for one in stops] == [logging.ERROR]


async def test_a_recording_of_the_largest_size_is_replayed(tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    async with recording(path, Lab(), max_bytes=3_000) as live:
        await talk_until_it_stops(live)
    assert path.stat().st_size <= 3_000
    result = await again(path, Lab())
    assert (result.same, result.ended) == (True, "max_bytes")


async def test_a_disk_slower_than_the_traffic_ends_the_recording(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with recording(Full(1 << 30), Lab()) as live:
        monkeypatch.setattr(live.recorder._writer, "put", lambda raw: False)
        await talk_until_it_stops(live)
        assert live.recorder.stopped == "too_slow"


async def test_what_was_recorded_is_written_before_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsprism_core.recording.recorder.FLUSH_SECONDS", 0.01)
    path = tmp_path / "a.rec"
    async with recording(path, Lab()) as live:

        def is_written() -> bool:
            if live.gateway.metrics.recorded_bytes < 100:  # no header yet
                return False
            return any(record[0] == Kind.TEXT for record in records(path))

        async with connect(live.ws, ticket="dev:ann") as ann:
            await ann.request("lab", "echo", "hi")
            async with asyncio.timeout(5):
                while not is_written():
                    await ann.request("sys", "ping")
    # A kill would have left as much.
    assert (await again(path, Lab())).same


async def operate(memory: Memory, action: str, **wanted: Any) -> None:
    """Do what an operator wants."""
    body = JSON.encode(wanted)
    stream = await Stream.connect(memory.admin.port)
    head = (
        f"POST /v1/{action} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    )
    await stream.send_raw("\r\n".join([*head, "", ""]).encode() + body)
    answer = await stream.read_all()
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    stream.drop()


async def test_what_operators_did_is_done_again(tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    async with in_memory(path, Lab()) as memory:
        ann = memory.connect("ann")
        await memory.turns()
        message = {"svc": "lab", "type": "posted", "room": "lobby"}
        # Nobody is there yet, but it counts.
        await operate(memory, "publish", data=1, id="job-1", **message)
        ann.send_text(JSON.encode({"svc": "room", "type": "join", "room": "lobby"}))
        await memory.turns()
        for _ in range(2):
            await operate(memory, "publish", data=2, id="job-2", **message)
        await operate(memory, "broadcast", svc="lab", type="said", data="all")
        await operate(memory, "publish", user="user:ann", svc="lab", type="said")
        await memory.turns()
        got = [load_json(payload) for _, payload in ann.received()]
        assert [one.get("seq") for one in got if one["type"] == "posted"] == [2]
        await operate(memory, "kick", user="user:ann")
        await memory.turns()
        ann.received()
    assert Kind.ACTIONS in kinds(path)
    result = await again(path, Lab())
    assert result.same, result
