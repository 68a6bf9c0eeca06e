"""No ticket is in a recording, however it came."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from support.recorded import Oracle, Slow, recording, records
from support.tokens import SECRET_KEY, letting_in, token
from wsprism_core.client import ClientError, connect
from wsprism_core.plugins import PluginSet
from wsprism_core.protocol.codecs import JSON, MSGPACK
from wsprism_core.protocol.envelope import decode_json, decode_msgpack
from wsprism_core.recording.format import Kind, RecordingReader
from wsprism_core.recording.replayer import Replay, replay
from wsprism_core.recording.tickets import may_hold_ticket, without_ticket

SECRET = "key:ann-hunter2-0123456789"


def contents(path: Path) -> bytes:
    """Return everything that a file says, inflated, and the file itself."""
    with RecordingReader(path) as reader:
        header = repr(reader.header)
        said = [repr(record) for turn in reader.turns() for record in turn]
    return path.read_bytes() + "\n".join([header, *said]).encode()


async def again(path: Path) -> Replay:
    return await replay(path, plugins=PluginSet.load(["chat"], extra=[Oracle()]))


@pytest.mark.parametrize("codec", ["json", "msgpack"])
@pytest.mark.parametrize("scheme", ["ws", "tcp"])
async def test_a_refreshed_session(tmp_path: Path, scheme: str, codec: str) -> None:
    path = tmp_path / "a.rec"
    async with recording(path, "chat", Oracle()) as live:
        url = live.ws if scheme == "ws" else live.tcp
        async with connect(url, ticket=SECRET, codec=codec) as ann:
            authed = await ann.request("sys", "refresh", {"ticket": SECRET})
            assert authed["type"] == "authed"
            user = ann.authed["user"].removeprefix("user:")
            for wrong in (f"dev:{user}-not", "key:" + "0123456789", 7):
                with pytest.raises(Exception, match=r"AUTH_FAILED|BAD_REQUEST"):
                    await ann.request("sys", "refresh", {"ticket": wrong})
            await ann.join("r1")
            await ann.request("chat", "send", {"msg": "my ticket to ride"}, room="r1")
    said = contents(path)
    # The user's name is no secret, and the ticket is more than that.
    assert SECRET.encode() not in said
    assert b"key:" not in said
    assert b"my ticket to ride" in said
    result = await again(path)
    assert result.same, result


HIDDEN = "hunter2"
WAYS: dict[str, bytes] = {
    "a second sys.auth": JSON.encode(
        {"svc": "sys", "type": "auth", "data": {"ticket": HIDDEN, "resume": HIDDEN}}
    ),
    "a broken refresh": b'{"svc":"sys","type":"refresh","data":{"ticket":"hunter2"',
    "a field too many": b'{"svc":"sys","type":"refresh","ticket":"hunter2"}',
    "another version": b'{"v":2,"svc":"sys","type":"x","data":{"ticket":"hunter2"}}',
    "a bad room": b'{"svc":"sys","type":"x","room":" ","data":{"ticket":"hunter2"}}',
    "escaped": b'{"svc":"sys","type":"refresh","data":{"t\\u0069cket":"hunter2"}}',
    "a list": b'{"svc":"sys","type":"refresh","data":[{"ticket":"hunter2"}]}',
    "in a list": b'{"svc":"sys","type":"refresh","data":{"ticket":["hunter2"]}}',
    "beside a ping": b'{"svc":"sys","type":"ping","data":{"ticket":"hunter2"},"seq":9}',
    "no such type": b'{"svc":"sys","type":"x","data":{"ticket":"hunter2"},"seq":8}',
}


async def test_a_ticket_that_comes_in_any_other_way(tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    async with recording(path, "chat", Oracle()) as live:
        slow = Slow(live.tcp, "eve")
        for fields in WAYS.values():
            slow.send_bytes(fields)
        slow.send({"svc": "chat", "type": "nothing", "seq": 99})
        await slow.read_until(b'"ref":99')
        slow.close()
    assert HIDDEN.encode() not in contents(path)
    result = await again(path)
    assert result.same, result
    assert result.inputs >= len(WAYS)


@pytest.mark.parametrize("payload", WAYS.values(), ids=WAYS)
def test_what_may_hold_one_is_looked_at(payload: bytes) -> None:
    assert may_hold_ticket(payload)
    record = without_ticket(Kind.TEXT, 1, payload, lambda: 7)
    assert HIDDEN not in repr(record)


def test_what_is_kept_is_the_same_message() -> None:
    fields: dict[str, Any] = {
        "svc": "sys",
        "type": "refresh",
        "seq": 5,
        "flags": 4,
        "room": "r1",
        "data": {"ticket": HIDDEN},
    }
    for kind, codec, decode in (
        (Kind.TEXT, JSON, decode_json),
        (Kind.BINARY, MSGPACK, decode_msgpack),
    ):
        got_kind, connection, payload = without_ticket(
            kind, 3, codec.encode(fields), lambda: 7
        )
        assert (got_kind, connection) == (kind, 3)
        message = decode(payload)
        assert (message.svc, message.type, message.seq) == ("sys", "refresh", 5)
        assert (message.flags, message.room) == (4, "r1")
        assert message.data == {"ticket": "refresh-7"}


def test_a_message_of_a_service_is_kept_as_it_is() -> None:
    payload = b'{"svc":"cinema","type":"buy","data":{"ticket":"row 7"}}'
    assert without_ticket(Kind.TEXT, 1, payload, lambda: 7) == (Kind.TEXT, 1, payload)


async def test_a_slow_judge_is_waited_for(tmp_path: Path) -> None:
    """What comes while a ticket is judged in band is held, and recorded behind it."""
    path = tmp_path / "a.rec"
    async with recording(path, "chat", Oracle()) as live:
        slow = Slow(live.tcp, "eve", ticket="key:eve")
        slow.send({"svc": "sys", "type": "ping", "seq": 1, "data": {"client_ts": 5}})
        await slow.read_until(b'"client_ts":5')
        slow.close()
    kinds = [record[0] for record in records(path)]
    assert kinds.index(Kind.OPEN) < kinds.index(Kind.TEXT)
    result = await again(path)
    assert result.same, result


# ------------------------------------------------------------- what a ticket says


async def test_what_a_ticket_says_is_the_same_again(tmp_path: Path) -> None:
    """Its end, its rooms, and that it is revoked; of the ticket itself nothing."""
    path = tmp_path / "a.rec"
    now = int(time.time())
    issuer = {"algorithms": ["HS256"], "leeway_s": 0, "keys": [{"secret": SECRET_KEY}]}
    config = letting_in({"default": {"jwt": [issuer]}})
    ending = token(sub="ann", exp=time.time() + 2, rooms=["a", "b"])
    longer = token(sub="bob", exp=now + 3600, rooms=["b"], jti="t1")
    async with recording(path, "chat", config=config) as live:
        async with (
            connect(live.ws, ticket=ending) as ann,
            connect(live.tcp, ticket=token(sub="bob", exp=now + 60)) as bob,
        ):
            await ann.join("a")
            with pytest.raises(ClientError, match="NOT_ALLOWED"):
                await ann.join("c")
            await bob.join("a")
            await bob.request("sys", "refresh", {"ticket": longer})
            with pytest.raises(ClientError, match="NOT_ALLOWED"):
                await bob.join("c")
            async for _ in ann.events():
                pass
            assert ann.closed is not None
            assert ann.closed[0] == 4500
            live.gateway.revoke("default", ticket_id="t1")
            async for _ in bob.events():
                pass
            assert bob.closed is not None
            assert bob.closed[0] == 4503
    assert {Kind.REFRESHED, Kind.REVOKED} <= {Kind(one[0]) for one in records(path)}
    said = contents(path)
    for ticket in (ending, longer):
        assert ticket.rpartition(".")[2].encode() not in said
    # Where it runs again nobody has the keys.
    nowhere = letting_in({"default": {}})
    result = await replay(path, plugins=PluginSet.load(["chat"]), config=nowhere)
    assert result.same, result
