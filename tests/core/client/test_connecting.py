"""How a connection begins, or does not."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import struct
import subprocess
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from support.served import Served, serving
from wsprism_core.client import ConnectionClosed, HandshakeRefused, connect
from wsprism_core.protocol.framing import (
    FrameDecoder,
    decode_close,
    encode_close,
    encode_frame,
)
from wsprism_core.protocol.layout import FrameKind

AUTHED = (
    b'{"v":1,"svc":"sys","type":"authed","data":{"user":"u","tenant":"t","x":1},"y":2}'
)


@asynccontextmanager
async def listening(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """Listen with a server of the test's own; yield its port."""
    handlers: list[asyncio.Task[None] | None] = []

    async def handle(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        handlers.append(asyncio.current_task())
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.gather(*filter(None, handlers))


# ------------------------------------------------------------------------------ URLs


@pytest.mark.parametrize("rest", ["", "/", "/v1/ws", "/v1/ws?sid=x"])
async def test_the_path_may_be_left_out(served: Served, rest: str) -> None:
    async with connect(served.ws + rest, ticket="dev", tenant="default") as client:
        assert client.authed["tenant"] == "default"


async def test_a_tenant_goes_where_it_belongs() -> None:
    async with serving(tenants=("acme", "globex")) as served:
        for url in (served.ws, served.tcp):
            async with connect(url, ticket="dev", tenant="globex") as client:
                assert client.authed["tenant"] == "globex"
        async with connect(f"{served.ws}?tenant=acme", ticket="dev") as client:
            assert client.authed["tenant"] == "acme"


async def test_a_lost_session_goes_on(url: str) -> None:
    async with connect(url, ticket="dev", tenant="default") as client:
        n = (await client.join("lobby"))["data"]["n"]
        client._link.abort()
        token = client.authed["resume"]
        async with connect(url, ticket="dev", resume=token) as again:
            assert again.authed["resumed"] is True
            assert again.authed["sid"] == client.authed["sid"]
            (room,) = again.authed["rooms"]
            assert (room["room"], room["n"]) == ("lobby", n)
        async with connect(url, ticket="dev", resume=token) as late:
            assert late.authed["resumed"] is False


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1",
        "127.0.0.1:1",
        "",
        "tcp://127.0.0.1",
        "tcp://:1",
        "tcp://127.0.0.1:1/v1/ws",
        "tcp://127.0.0.1:1?tenant=x",
    ],
)
async def test_a_url_that_is_none(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL"):
        async with connect(url, ticket="dev"):
            pass


async def test_a_codec_that_is_none() -> None:
    with pytest.raises(ValueError, match="no codec 'xml', but json, msgpack"):
        async with connect("ws://127.0.0.1:1", ticket="dev", codec="xml"):
            pass


# ------------------------------------------------------------------- who is refused


async def test_a_refused_handshake(served: Served) -> None:
    for ticket, tenant, status, reason in (
        ("bad", None, 401, "the ticket is not good"),
        ("dev", "nobody", 400, "unknown tenant"),
    ):
        with pytest.raises(HandshakeRefused) as caught:
            async with connect(served.ws, ticket=ticket, tenant=tenant):
                pass
        assert (caught.value.status, caught.value.reason) == (status, reason)
        assert str(caught.value) == f"refused {status}: {reason}"
        assert caught.value.retry_after is None
        assert not caught.value.reconnect


async def test_a_gateway_that_drains_says_when_to_come_back(served: Served) -> None:
    draining = asyncio.ensure_future(served.gateway.drain())
    with pytest.raises(HandshakeRefused) as caught:
        async with connect(served.ws, ticket="dev"):
            pass
    await draining
    assert caught.value.status == 503
    assert caught.value.retry_after == 2
    assert caught.value.reconnect


async def test_a_refused_first_message(served: Served) -> None:
    for ticket, reason in (("bad", "the ticket is not good"), (None, "the ticket")):
        with pytest.raises(ConnectionClosed) as caught:
            async with connect(served.tcp, ticket=ticket):
                pass
        assert caught.value.code == 4503
        assert caught.value.reason.startswith(reason)
        assert not caught.value.reconnect


@pytest.mark.parametrize("scheme", ["ws", "tcp"])
async def test_where_nobody_listens(unused_tcp_port: int, scheme: str) -> None:
    with pytest.raises(ConnectionRefusedError):
        async with connect(f"{scheme}://127.0.0.1:{unused_tcp_port}", ticket="dev"):
            pass


@pytest.mark.parametrize("scheme", ["ws", "tcp"])
async def test_somebody_who_never_answers(scheme: str) -> None:
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with listening(silent) as port:
        with pytest.raises(TimeoutError, match=r"within 0\.05 s"):
            async with connect(
                f"{scheme}://127.0.0.1:{port}", ticket="dev", open_timeout=0.05
            ):
                pass


async def test_an_answer_that_is_no_handshake() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: tea\r\n\r\n")
        await reader.read()

    async with listening(plain) as port:
        with pytest.raises(HandshakeRefused) as caught:
            async with connect(f"ws://127.0.0.1:{port}", ticket="dev"):
                pass
    assert caught.value.status == 0
    assert str(caught.value).startswith("refused: ")


# ----------------------------------------------------------- a gateway that is faulty


class Says:
    """A server that lets everybody in and then sends some bytes.

    Attributes:
        got: What came behind the first message.
    """

    def __init__(self, *frames: bytes) -> None:
        self.got = b""
        self._frames = frames

    async def __call__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        (length,) = struct.unpack(">I", await reader.readexactly(4))
        await reader.readexactly(length)
        for frame in self._frames:
            writer.write(frame)
        self.got = await reader.read()


TEXT, CLOSE = FrameKind.TEXT, FrameKind.CLOSE


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([encode_frame(TEXT, b"{")], 1002),
        ([encode_frame(FrameKind.BINARY, b"\x09")], 1002),
        ([encode_frame(TEXT, b'{"svc":"a","type":"b"}') + bytes(4)], 1002),
        ([b"\xff\xff\xff\xff\x01"], 1009),
        ([encode_frame(CLOSE, b"")], 1002),
        ([encode_frame(CLOSE, encode_close(1012, "restart"))], 1012),
    ],
)
async def test_nonsense_ends_the_connection(frames: list[bytes], code: int) -> None:
    server = Says(encode_frame(TEXT, AUTHED), *frames)
    async with (
        listening(server) as port,
        connect(f"tcp://127.0.0.1:{port}", ticket="dev") as client,
    ):
        assert client.authed["x"] == 1
        async for _ in client.events():
            pass
        assert client.closed is not None
        assert client.closed[0] == code
    ((kind, payload),) = FrameDecoder(1000).feed(server.got)
    assert (kind, decode_close(payload)[0]) == (CLOSE, code)


@pytest.mark.parametrize("first", [b"{", b'{"v":2,"svc":"sys","type":"authed"}'])
async def test_nonsense_from_the_beginning(first: bytes) -> None:
    async with listening(Says(encode_frame(TEXT, first))) as port:
        with pytest.raises(ConnectionClosed, match="1002: the gateway sent nonsense"):
            async with connect(f"tcp://127.0.0.1:{port}", ticket="dev"):
                pass


async def test_a_gateway_that_answers_no_close(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsprism_core.client.client.CLOSE_SECONDS", 0.05)
    server = Says(encode_frame(TEXT, AUTHED))
    async with listening(server) as port:
        async with connect(f"tcp://127.0.0.1:{port}", ticket="dev") as client:
            pass
        assert client.closed is not None
    assert server.got == encode_frame(CLOSE, encode_close(1000, ""))


async def test_one_close_of_each_side_is_enough() -> None:
    rest: list[bytes] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1024)
        writer.write(encode_frame(TEXT, AUTHED))
        writer.write(await reader.read(1024))
        rest.append(await reader.read())

    async with listening(echo) as port:
        async with connect(f"tcp://127.0.0.1:{port}", ticket="dev") as client:
            await client.close(1001, "bye")
        assert client.closed == (1001, "bye")
    assert rest == [b""]


async def test_a_second_answer_is_an_event() -> None:
    async def twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1024)
        writer.write(encode_frame(TEXT, AUTHED))
        ((_, payload),) = FrameDecoder(1000).feed(await reader.read(1024))
        answer = {"svc": "a", "type": "b", "ref": json.loads(payload)["seq"]}
        writer.write(2 * encode_frame(TEXT, json.dumps(answer).encode()))
        await reader.read()

    async with (
        listening(twice) as port,
        connect(f"tcp://127.0.0.1:{port}", ticket="dev") as client,
    ):
        answer = await client.request("a", "b")
        assert (await anext(client.messages())).envelope == answer


async def test_pings_are_answered() -> None:
    got: list[bytes] = []

    async def pings(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1024)
        writer.write(encode_frame(TEXT, AUTHED) + encode_frame(FrameKind.PONG, b""))
        writer.write(encode_frame(FrameKind.PING, b"hello"))
        got.append(await reader.read(1024))
        writer.write(encode_frame(CLOSE, encode_close(1001, "bye")))
        got.append(await reader.read())

    async with (
        listening(pings) as port,
        connect(f"tcp://127.0.0.1:{port}", ticket="dev") as client,
    ):
        async for _ in client.events():
            pass
    assert got == [
        encode_frame(FrameKind.PONG, b"hello"),
        encode_frame(CLOSE, encode_close(1001, "")),
    ]


# ------------------------------------------------------------------------------- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
        " -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
        f" -keyout {path} -out {path}"
    )
    try:
        subprocess.run(command.split(), check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs openssl to make a certificate")
    return path


async def test_tls(certificate: Path) -> None:
    mine = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    mine.load_cert_chain(certificate)
    trusting = ssl.create_default_context(cafile=certificate)
    async with serving(tls=mine) as served:
        for url in (served.ws, served.tcp.replace("tls:", "tcp:")):
            async with connect(url, ticket="dev", tls=trusting) as client:
                await client.request("lab", "echo")
        with pytest.raises(ssl.SSLCertVerificationError):
            async with connect(served.ws, ticket="dev"):
                pass


# ---------------------------------------------------------------------------- tickets


async def test_a_ticket_shows_nowhere(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    good, bad = "dev:sesame", "open-sesame"
    seen = ""
    for url in (served.ws, served.tcp):
        async with connect(url, ticket=good) as client:
            seen += repr(client)
            await client.request("sys", "refresh", {"ticket": good})
        try:
            async with connect(url, ticket=bad):
                pass
        except (HandshakeRefused, ConnectionClosed) as error:
            seen += f"{error!r} {error} {traceback.format_exc()}"
    logged = " ".join(f"{record.__dict__}" for record in caplog.records)
    assert "user:sesame" in seen
    assert "session_opened" in logged
    for ticket in (good, bad):
        assert ticket not in seen
        assert ticket not in logged
