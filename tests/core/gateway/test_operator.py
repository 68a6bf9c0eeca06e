"""Publishing, broadcasting and kicking, from the request to what clients get."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from support.late_store import LateStore
from support.waiting import until
from support.watched import Watched, watched
from wsprism_core import JoinRoom
from wsprism_core.client import Client, connect

SAID = {"svc": "lab", "type": "said"}
POSTED = {"svc": "lab", "type": "posted"}


async def next_of(client: Client, name: str) -> dict[str, Any]:
    """Return the next message of a service and type; others wait."""
    async with asyncio.timeout(10):
        return (await anext(client.messages(name))).envelope


async def closed(client: Client) -> tuple[int, str]:
    """Return code and reason of the close, once it is there."""
    async with asyncio.timeout(10):
        async for _ in client.events():
            pass
    assert client.closed is not None
    return client.closed


# --------------------------------------------------------------------------- publish


async def test_a_user_gets_it_on_each_connection() -> None:
    async with (
        watched() as it,
        connect(it.ws, ticket="dev:ann") as one,
        connect(it.ws, ticket="dev:ann") as two,
        connect(it.ws, ticket="dev:bob") as bob,
    ):
        done = await it.do("publish", user="user:ann", data={"n": 1}, **SAID)
        assert done == {"delivered": 2, "seq": None, "ts": None}
        for client in (one, two):
            assert (await next_of(client, "lab.said"))["data"] == {"n": 1}
        await it.do("publish", user="user:bob", data=2, **SAID)
        # What came first for him is his own.
        assert (await next_of(bob, "lab.said"))["data"] == 2


async def test_several_users_get_it_once_each() -> None:
    async with (
        watched() as it,
        connect(it.ws, ticket="dev:ann") as ann,
        connect(it.ws, ticket="dev:bob") as bob,
    ):
        users = ["user:ann", "user:bob", "user:ann", "user:nobody"]
        assert (await it.do("publish", users=users, data=1, **SAID))["delivered"] == 2
        await it.do("publish", users=["user:ann", "user:bob"], data=2, **SAID)
        for client in (ann, bob):
            got = [(await next_of(client, "lab.said"))["data"] for _ in range(2)]
            assert got == [1, 2]


async def test_a_room_gets_it_in_the_order_of_its_own() -> None:
    async with watched() as it, connect(it.ws, ticket="dev:ann") as ann:
        await ann.join("lobby")
        await ann.request("lab", "post", "from a client", room="lobby")
        done = await it.do("publish", room="lobby", data="from outside", **POSTED)
        assert (done["delivered"], done["seq"]) == (1, 2)
        await ann.request("lab", "post", "after", room="lobby")
        got = [await next_of(ann, "lab.posted") for _ in range(3)]
        assert [(one["seq"], one["data"]) for one in got] == [
            (1, "from a client"),
            (2, "from outside"),
            (3, "after"),
        ]
        assert got[1]["ts"] == done["ts"]
        assert got[1]["room"] == "lobby"


async def test_a_type_without_numbers_gets_none() -> None:
    async with watched() as it, connect(it.ws, ticket="dev:ann") as ann:
        await ann.join("lobby")
        done = await it.do("publish", room="lobby", **SAID)
        assert done == {"delivered": 1, "seq": None, "ts": None}
        assert "data" not in await next_of(ann, "lab.said")
        nobody = await it.do("publish", room="empty", **SAID)
        assert nobody["delivered"] == 0


async def test_a_quiet_audience_is_counted() -> None:
    async with watched() as it, connect(it.ws, ticket="dev:ann") as ann:
        (session,) = it.gateway.sessions
        api = it.gateway.api_of("lab")
        api.perform(JoinRoom(session.id, "lobby", quiet=True), tenant="default")
        done = await it.do("publish", room="lobby", **SAID)
        assert done["delivered"] == 1
        await next_of(ann, "lab.said")


async def test_a_retry_is_not_sent_again() -> None:
    async with watched() as it, connect(it.ws, ticket="dev:ann") as ann:
        await ann.join("lobby")
        wanted = {"room": "lobby", "data": 1, "id": "job-7", **POSTED}
        first = await it.do("publish", **wanted)
        again = await it.do("publish", **wanted)
        assert first["delivered"] == 1
        assert again == {**first, "delivered": 0}
        await it.do("publish", room="lobby", data=2, **POSTED)
        assert [(await next_of(ann, "lab.posted"))["data"] for _ in range(2)] == [1, 2]


async def test_who_comes_back_finds_what_was_published_meanwhile() -> None:
    async with watched() as it:
        async with connect(it.ws, ticket="dev:ann") as ann:
            epoch = (await ann.join("lobby"))["data"]["epoch"]
            await it.do("publish", room="lobby", data=1, **POSTED)
            await next_of(ann, "lab.posted")
        done = await it.do("publish", room="lobby", data=2, **POSTED)
        assert (done["delivered"], done["seq"]) == (0, 2)
        async with connect(it.ws, ticket="dev:ann") as ann:
            answer = await ann.join("lobby", epoch=epoch, seq=1)
            assert answer["data"]["recovered"] is True
            missed = await next_of(ann, "lab.posted")
            assert (missed["seq"], missed["data"]) == (2, 2)


@pytest.mark.parametrize("room", ["lobby", "empty"])
async def test_what_cannot_be_stored_is_no_answer_that_it_was_sent(room: str) -> None:
    store = LateStore()
    async with watched(store=store) as it, connect(it.ws, ticket="dev:ann") as ann:
        await ann.join("lobby")
        body = orjson.dumps({"room": room, "data": 1, "id": "job-7", **POSTED})
        # The disk fails, while the operator waits.
        asked = asyncio.ensure_future(it.send("/v1/publish", body))
        assert await until(lambda: bool(store.pending))
        store.fail()
        failed = await asked
        # So much waits for it that no more is taken.
        store.is_full = True
        full = await it.send("/v1/publish", body)
        for answer, reason in (failed, "could not be"), (full, "too much waits"):
            assert answer.status == 503
            assert reason in orjson.loads(answer.body)["error"]
        assert it.gateway.metrics.admin_actions == {("publish", "failed"): 2}
        # Nobody got it, and a retry with the same id is sent.
        store.is_full = False
        asked = asyncio.ensure_future(it.send("/v1/publish", body))
        assert await until(lambda: bool(store.pending))
        store.commit()
        assert orjson.loads((await asked).body)["seq"] == 1


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ({"room": "a", "user": "b", **SAID}, "exactly one of room, user and users"),
        ({**SAID}, "exactly one of room, user and users"),
        ({"user": "a", "id": "1", **SAID}, "id is for rooms"),
        ({"user": "a", "svc": "none", "type": "x"}, "no service 'none'; there are:"),
        ({"user": "a", "svc": "lab", "type": "do"}, "declares no type 'do'"),
        ({"user": "a", "svc": "sys", "type": "kicked"}, "no service 'sys'"),
        ({"room": "a b", **SAID}, "room: "),
        ({"room": "a\n", **SAID}, "room: "),
        ({"room": "x" * 129, **SAID}, "room: "),
        ({"users": [], **SAID}, "users: "),
        ({"users": ["u"] * 1001, **SAID}, "users: "),
        ({"user": 1, **SAID}, "user: "),
        ({"user": "", **SAID}, "user: "),
        ({"user": "a", "tenant": "other", **SAID}, "no tenant 'other'; there are:"),
    ],
)
async def test_what_cannot_be_published_is_said(
    wanted: dict[str, Any], reason: str
) -> None:
    async with watched() as it:
        assert reason in await it.why_not("publish", **wanted)


@pytest.mark.parametrize("target", [{"user": "user:ann"}, {"room": "lobby"}])
async def test_what_is_larger_than_its_lane_is_sent_to_nobody(
    target: dict[str, str],
) -> None:
    async with (
        watched() as it,
        connect(it.ws, ticket="dev:ann", codec="msgpack") as ann,
    ):
        await ann.join("lobby")
        # Below the bound of a body, and above it as MessagePack: 3 bytes become 9.
        data = [0.5] * 15_000
        reason = await it.why_not("publish", data=data, **SAID, **target)
        assert "larger than the lane" in reason
        await it.do("publish", data=1, **SAID, **target)
        assert (await next_of(ann, "lab.said"))["data"] == 1


# -------------------------------------------------------------------- tenants, all


async def test_which_tenant_is_meant_must_be_clear() -> None:
    async with watched(tenants=("acme", "umbrella")) as it:
        for action, wanted in (
            ("publish", {"user": "user:ann", **SAID}),
            ("broadcast", SAID),
            ("kick", {"user": "user:ann"}),
        ):
            reason = await it.why_not(action, **wanted)
            assert reason == "say which tenant: acme, umbrella"


async def test_tenants_get_nothing_of_each_other() -> None:
    async with (
        watched(tenants=("acme", "umbrella")) as it,
        connect(it.ws, tenant="acme", ticket="dev:ann") as ann,
        connect(it.ws, tenant="umbrella", ticket="dev:ann") as other,
    ):
        for client in (ann, other):
            await client.join("lobby")
        for target in ({"user": "user:ann"}, {"room": "lobby"}):
            done = await it.do("publish", tenant="acme", **target, **SAID)
            assert done["delivered"] == 1
        assert await it.do("broadcast", tenant="acme", **SAID) == {"delivered": 1}
        assert await it.do("kick", tenant="acme", user="user:ann") == {"kicked": 1}
        await it.do("publish", tenant="umbrella", user="user:ann", data="own", **SAID)
        assert (await next_of(other, "lab.said"))["data"] == "own"


async def test_everybody_gets_a_broadcast_encoded_once() -> None:
    async with (
        watched() as it,
        connect(it.ws, ticket="dev:ann") as ann,
        connect(it.ws, ticket="dev:bob", codec="msgpack") as bob,
    ):
        done = await it.do("broadcast", data="soon", **SAID)
        assert done == {"delivered": 2}
        for client in (ann, bob):
            message = await next_of(client, "lab.said")
            assert message["data"] == "soon"
            assert "room" not in message


# ------------------------------------------------------------------------------ kick


async def kicked(it: Watched, client: Client, **wanted: Any) -> tuple[int, str, str]:
    """Kick somebody; return code and reason of the close, and what he was told."""
    assert await it.do("kick", **wanted) == {"kicked": 1}
    told = (await next_of(client, "sys.kicked"))["data"]["reason"]
    return *await closed(client), told


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({}, 4502),
        ({"reconnect": True}, 4005),
        ({"code": 4501}, 4501),
        ({"code": 4005}, 4005),
        ({"code": 4005, "reconnect": True}, 4005),
    ],
)
async def test_a_kick_says_whether_to_come_back(
    wanted: dict[str, Any], code: int
) -> None:
    async with watched() as it, connect(it.ws, ticket="dev:ann") as ann:
        end = await kicked(it, ann, user="user:ann", reason="bye", **wanted)
        assert end == (code, "bye", "bye")
        assert len(it.gateway.sessions) == 0


async def test_one_session_is_kicked_by_its_id() -> None:
    async with (
        watched(tenants=("acme", "umbrella")) as it,
        connect(it.ws, tenant="acme", ticket="dev:ann"),
        connect(it.ws, tenant="acme", ticket="dev:ann") as two,
    ):
        newest = list(it.gateway.sessions)[-1]
        end = await kicked(it, two, sid=newest.id)
        assert end[:2] == (4502, "kicked by an operator")
        assert len(it.gateway.sessions) == 1
        assert await it.do("kick", sid=newest.id) == {"kicked": 0}


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ({}, "exactly one of sid and user"),
        ({"sid": "1", "user": "u"}, "exactly one of sid and user"),
        ({"sid": "1", "tenant": "default"}, "leave tenant out"),
        ({"user": "u", "code": 1000}, "code: "),
        ({"user": "u", "code": 4502, "reconnect": True}, "not to come back"),
        ({"user": "u", "reason": ""}, "reason: "),
        ({"user": "u", "reason": "x" * 121}, "reason: "),
        ({"user": "u", "reconnect": 1}, "reconnect: "),
    ],
)
async def test_what_is_no_kick_is_said(wanted: dict[str, Any], reason: str) -> None:
    async with watched() as it:
        assert reason in await it.why_not("kick", **wanted)
