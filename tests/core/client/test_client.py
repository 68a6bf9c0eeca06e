"""The client against a real gateway, on each transport and in each codec."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from support.served import Served
from support.services import ANYWHERE, LAB, RELAY
from wsprism_core import Actions, CloseCode, Envelope, Kick, Push, PushFrame, Session
from wsprism_core.client import (
    BufferFull,
    Client,
    ClientError,
    ConnectionClosed,
    TextEvent,
    connect,
)


def push(count: int) -> Callable[[Session, Envelope], Actions]:
    """Return what answers a message with numbered pushes."""
    return lambda session, _: [
        Push("said", number, session=session.id) for number in range(count)
    ]


async def ended(client: Client) -> None:
    """Wait for the end of a connection, and take what is left."""
    async for _ in client.events():
        pass


@pytest.mark.parametrize("codec", ["json", "msgpack"])
async def test_requests_events_and_frames(url: str, codec: str) -> None:
    async with (
        connect(url, ticket="dev:ann", codec=codec) as ann,
        connect(url, ticket="dev:bob", tenant="default", codec=codec) as bob,
    ):
        assert ann.authed["user"] == "user:ann"
        assert ann.authed["services"]["lab"] == LAB
        assert ann.closed is None

        reply = await ann.request("lab", "echo", {"a": [1, None, "ü"]})
        assert (reply["type"], reply["data"]) == ("echoed", {"a": [1, None, "ü"]})

        await ann.join("r1")
        joined = await bob.join("r1")
        assert (joined["type"], joined["data"]["count"]) == ("joined", 2)
        alias = joined["data"]["alias"]

        await bob.send("lab", "say", "hi", room="r1")
        said = await anext(ann.messages("lab.said"))
        assert (said.name, said.room, said.data) == ("lab.said", "r1", "hi")

        await bob.send_frame(LAB, RELAY, b"move", seq=7, alias=alias)
        frame = (await anext(ann.frames(LAB, RELAY))).frame
        assert (frame.payload, frame.seq, frame.sender) == (b"move", 7, 2)

        came = await anext(ann.messages("room.presence"))
        assert came.data["joined"] == [{"n": 2, "user": "user:bob"}]
        await bob.leave("r1")
        left = await anext(ann.messages("room.presence"))
        assert left.data["left"] == [{"n": 2}]


async def test_joining_from_where_one_was(url: str) -> None:
    async with connect(url, ticket="dev") as client:
        epoch = (await client.join("r1"))["data"]["epoch"]
        again = (await client.join("r1", epoch=epoch, seq=0))["data"]
        assert again["recovered"] is True
        other = (await client.join("r1", epoch="another", seq=0))["data"]
        assert (other["recovered"], other["reason"]) == (False, "epoch_changed")
        with pytest.raises(ClientError, match=r"seq"):
            await client.join("r1", epoch=epoch)


async def test_a_refused_request(url: str) -> None:
    async with connect(url, ticket="dev") as client:
        with pytest.raises(ClientError) as caught:
            await client.request("nope", "nothing")
        assert caught.value.code == "BAD_REQUEST"
        assert str(caught.value) == "BAD_REQUEST: no such service"
        assert caught.value.retry_after_ms is None
        await client.request("sys", "ping")


async def test_what_answers_nothing_is_an_event(url: str) -> None:
    async with connect(url, ticket="dev") as client:
        await client.send("nope", "nothing")
        await client.send_raw_text('{"svc":"lab","type":"echo","seq":1,"data":2}')
        await client.send_frame(LAB, ANYWHERE, seq=3, ack=True)
        await client.send_frame(99, 1, seq=4)
        events = client.events()
        error = await anext(events)
        assert isinstance(error, TextEvent)
        assert (error.name, error.data["code"]) == ("sys.error", "BAD_REQUEST")
        echoed = await anext(client.messages("lab.echoed"))
        assert (echoed.envelope["ref"], echoed.data) == (1, 2)
        ack = await anext(client.frames(opcode=0))
        assert (ack.frame.svc_id, ack.frame.seq) == (LAB, 3)
        error = await anext(events)
        assert isinstance(error, TextEvent)
        assert error.envelope["ref"] == 4


async def test_answers_find_who_asked_in_any_order(served: Served, url: str) -> None:
    async with connect(url, ticket="dev") as client:
        late = asyncio.ensure_future(client.request("late", "work", 1))
        while not served.late.started:
            await client.request("sys", "ping")
        echoes = await asyncio.gather(
            *(client.request("lab", "echo", number) for number in range(100))
        )
        assert [echo["data"] for echo in echoes] == [*range(100)]
        assert not late.done()
        served.late.gate.set()
        assert (await late)["data"] == 1


async def test_an_error_about_a_frame_is_no_answer_to_a_request(
    served: Served, url: str
) -> None:
    async with connect(url, ticket="dev") as client:
        waiting = asyncio.ensure_future(client.request("late", "work"))
        while not served.late.started:
            await client.request("sys", "ping")
        for seq in range(10):
            await client.send_frame(99, 1, seq=seq)
        errors = client.messages("sys.error")
        refs = [(await anext(errors)).envelope["ref"] for _ in range(10)]
        assert refs == [*range(10)]
        served.late.gate.set()
        await waiting


async def test_an_answer_that_does_not_come_in_time(served: Served, url: str) -> None:
    async with connect(url, ticket="dev") as client:
        with pytest.raises(
            TimeoutError, match=r"no answer to late\.work within 0.01 s"
        ):
            await client.request("late", "work", timeout=0.01)
        served.late.gate.set()
        # The answer that comes later is nobody's, and no event.
        await client.request("late", "work")
        await client.send("lab", "echo")
        event = await anext(client.events())
        assert isinstance(event, TextEvent)
        assert event.name == "lab.echoed"


async def test_what_cannot_be_sent(url: str) -> None:
    async with connect(url, ticket="dev") as client:
        for data in (object(), b"bytes", float("nan"), {1: 2}):
            with pytest.raises(ValueError, match=r"."):
                await client.send("lab", "echo", data)
            with pytest.raises(ValueError, match=r"."):
                await client.request("lab", "echo", data)
        with pytest.raises(ValueError, match="needs a seq"):
            await client.send_frame(LAB, ANYWHERE, ack=True)
        with pytest.raises(ValueError, match="does not fit"):
            await client.send_frame(256, 1)
        await client.request("lab", "echo")


# ----------------------------------------------------------------------- the buffer


async def test_what_nobody_takes_waits_and_nothing_is_lost(
    served: Served, url: str
) -> None:
    served.lab.todo = push(50)
    async with connect(url, ticket="dev", max_events=5) as client:
        await client.send("lab", "do")
        with pytest.raises(TimeoutError, match="take the events that wait"):
            await client.request("lab", "echo", timeout=0.05)
        events = client.messages("lab.said")
        assert [(await anext(events)).data for _ in range(50)] == [*range(50)]
        await client.request("sys", "ping")


async def test_iterators_take_only_their_own(served: Served, url: str) -> None:
    served.lab.todo = lambda session, _: [
        Push("said", 1, session=session.id),
        PushFrame(ANYWHERE, b"2", session=session.id),
        Push("echoed", 3, session=session.id),
        PushFrame(RELAY, b"4", session=session.id),
        Push("said", 5, session=session.id),
    ]
    async with connect(url, ticket="dev") as client:
        await client.request("lab", "do")
        assert (await anext(client.messages("lab.echoed", "x"))).data == 3
        assert (await anext(client.frames(LAB, ANYWHERE))).frame.payload == b"2"
        assert (await anext(client.frames())).frame.payload == b"4"
        assert (await anext(client.messages())).data == 1
        assert (await anext(client.messages())).data == 5


async def test_what_can_never_arrive_is_an_error_and_no_standstill(
    served: Served, url: str
) -> None:
    served.lab.todo = push(10)
    async with connect(url, ticket="dev", max_events=5) as client:
        waiting = asyncio.ensure_future(anext(client.messages("lab.echoed")))
        await client.send("lab", "do")
        with pytest.raises(BufferFull, match=r"5 events wait .* with events\(\)"):
            await waiting
        for _ in range(10):
            await anext(client.events())


# ------------------------------------------------------------------------- the end


async def test_a_connection_that_the_gateway_closes(served: Served, url: str) -> None:
    served.lab.todo = lambda session, _: [
        Push("said", 1, session=session.id),
        Kick("out", session=session.id, code=CloseCode.BANNED),
    ]
    async with connect(url, ticket="dev") as client:
        waiting = asyncio.ensure_future(client.request("late", "work"))
        while not served.late.started:
            await client.request("sys", "ping")
        await client.send("lab", "do")
        with pytest.raises(ConnectionClosed) as caught:
            await waiting
        assert (caught.value.code, caught.value.reason) == (4501, "out")
        assert not caught.value.reconnect
        assert str(caught.value) == "closed 4501: out"
        assert client.closed == (4501, "out")
        # What had arrived is still there.
        names = {event.name async for event in client.messages()}
        assert names == {"lab.said", "sys.kicked"}
        for attempt in (
            client.request("sys", "ping"),
            client.send("sys", "ping"),
            client.send_frame(LAB, ANYWHERE),
            client.send_raw_text("{}"),
        ):
            with pytest.raises(ConnectionClosed, match="4501: out"):
                await attempt
        assert repr(client) == "<Client user:dev@default closed 4501 out>"


async def test_a_connection_that_is_lost(served: Served, url: str) -> None:
    async with connect(url, ticket="dev") as client:
        (session,) = served.gateway.sessions
        session.link.abort()  # type: ignore[attr-defined]
        await ended(client)
        assert client.closed is not None
        assert client.closed[0] == 1006
        assert ConnectionClosed(*client.closed).reconnect


async def test_closing(served: Served, url: str) -> None:
    async with connect(url, ticket="dev") as client:
        waiting = asyncio.ensure_future(client.request("late", "work"))
        while not served.late.started:
            await client.request("sys", "ping")
        assert repr(client) == "<Client user:dev@default open>"
        await client.close(1000, "enough")
        assert client.closed is not None
        assert client.closed[0] == 1000
        with pytest.raises(ConnectionClosed):
            await waiting
        await ended(client)
        await client.close()
    assert served.lab.events[-1] == ("close", "user:dev", 1000, "enough")


async def test_closing_while_nobody_takes_the_events(served: Served, url: str) -> None:
    served.lab.todo = push(50)
    async with connect(url, ticket="dev", max_events=5) as client:
        await client.send("lab", "do")
        with pytest.raises(TimeoutError):
            await client.request("lab", "echo", timeout=0.05)
    assert client.closed is not None
    assert client.closed[0] == 1000
    assert [event.data async for event in client.messages()] == [*range(5)]


async def test_a_task_that_is_cancelled_closes(served: Served, url: str) -> None:
    connected = asyncio.Event()

    async def main() -> None:
        async with connect(url, ticket="dev") as client:
            connected.set()
            await ended(client)

    task = asyncio.ensure_future(main())
    await connected.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert served.lab.events[-1][:3] == ("close", "user:dev", 1000)


@pytest.mark.parametrize(
    ("code", "may"),
    [
        *((code, True) for code in (1001, 1005, 1006, 4001, 4321)),
        *((code, False) for code in (1000, 1008, 4502, 4999)),
    ],
)
def test_whether_to_come_back(code: int, may: bool) -> None:
    assert ConnectionClosed(code, "").reconnect is may
    assert str(ConnectionClosed(code, "")) == f"closed {code}"
