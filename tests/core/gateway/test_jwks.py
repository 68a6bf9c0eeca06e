"""Key sets that are fetched: never oftener than they may be, stale while they must."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from support.certificates import write_certificate
from support.publisher import Answer, Publisher, publishing
from support.tokens import ec_key, jwk_of, jwks_of, letting_in, token, write_pem
from wsprism_core.auth_config import JwtConfig
from wsprism_core.config import Config
from wsprism_core.gateway.gateway import Gateway
from wsprism_core.gateway.jwks import MAX_BYTES, KeySet, fetch_url
from wsprism_core.metrics import Metrics
from wsprism_core.plugins import PluginSet
from wsprism_core.policy.jwt import Head, Issuer
from wsprism_core.testing import VirtualClock
from wsprism_core.transports.memory import MemoryTransport

URL = "https://id.example/jwks?key=hush"
OLD, NEW = Head("ES256", "old"), Head("ES256", "new")


class Source:
    """Publishes keys by their names, where it is up; answers when it is told to."""

    def __init__(self, *kids: str) -> None:
        self.kids: tuple[str, ...] = kids
        self.fetches = 0
        self.urls: set[str] = set()
        self.problem: Exception | None = None
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def fetch(self, url: str) -> bytes:
        self.fetches += 1
        self.urls.add(url)
        await self.go_on.wait()
        if self.problem is not None:
            raise self.problem
        return jwks_of(*(jwk_of(ec_key("ES256"), kid=kid) for kid in self.kids))


class Bench:
    def __init__(self, source: Source) -> None:
        self.clock = VirtualClock()
        self.metrics = Metrics()
        config = JwtConfig.model_validate({"algorithms": ["ES256"], "jwks_url": URL})
        self.issuer = Issuer("acme", config, [])
        self.keys = KeySet(
            self.issuer,
            tenant="acme",
            url=URL,
            cache=300,
            retry=10,
            fetch=source.fetch,
            clock=self.clock,
            metrics=self.metrics,
        )

    def known(self) -> list[str | None]:
        return [key.kid for key in self.issuer.fetched]


async def test_keys_are_fetched_once_and_used_for_their_time() -> None:
    source = Source("old")
    bench = Bench(source)
    assert bench.keys.is_due(OLD)
    await bench.keys.refresh()
    assert bench.known() == ["old"]
    bench.clock.advance(299)
    assert not bench.keys.is_due(OLD)
    bench.clock.advance(1)
    assert bench.keys.is_due(OLD)
    source.kids = ("new",)
    await bench.keys.refresh()
    assert bench.known() == ["new"], "what was taken away is gone"
    assert source.urls == {URL}
    assert bench.metrics.jwks_fetches == {("acme", "fetched"): 2}


async def test_a_name_that_is_not_known_fetches_them_but_not_too_often() -> None:
    source = Source("old")
    bench = Bench(source)
    await bench.keys.refresh()
    bench.clock.advance(9.9)
    assert not bench.keys.is_due(NEW)
    bench.clock.advance(0.1)
    assert bench.keys.is_due(NEW)
    assert not bench.keys.is_due(OLD)
    assert not bench.keys.is_due(Head("ES256", None))
    assert not bench.keys.is_due(Head("HS256", "new"))
    source.kids = ("old", "new")
    await bench.keys.refresh()
    assert bench.known() == ["old", "new"]
    bench.clock.advance(100)
    assert not bench.keys.is_due(NEW)


@pytest.mark.parametrize(
    ("problem", "outcome"),
    [
        (OSError("down"), "failed"),
        (TimeoutError(), "failed"),
        (ValueError("large"), "failed"),
        (None, "unusable"),
    ],
)
async def test_while_they_cannot_be_had_those_of_before_stay(
    problem: Exception | None, outcome: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = Source("old")
    bench = Bench(source)
    await bench.keys.refresh()
    bench.clock.advance(300)
    source.problem = problem
    if problem is None:
        source.kids = ("k",) * 65
    await bench.keys.refresh()
    assert bench.known() == ["old"]
    assert bench.metrics.jwks_fetches["acme", outcome] == 1
    assert not bench.keys.is_due(OLD), "it is asked again after a while"
    bench.clock.advance(10)
    assert bench.keys.is_due(OLD)
    (record,) = (one for one in caplog.records if one.levelname == "WARNING")
    assert record.__dict__["fields"]["url"] == "https://id.example/jwks"
    assert "hush" not in str([one.__dict__ for one in caplog.records])


async def test_however_many_ask_it_is_one_fetch() -> None:
    source = Source("old")
    source.go_on.clear()
    bench = Bench(source)
    asking = [asyncio.ensure_future(bench.keys.refresh()) for _ in range(20)]
    await asyncio.sleep(0)
    assert bench.keys.is_due(NEW), "whoever comes now waits for it as well"
    assert not bench.keys.is_due(Head("RS256", "new"))
    asking[0].cancel()
    source.go_on.set()
    await asyncio.gather(*asking, return_exceptions=True)
    assert source.fetches == 1
    assert bench.known() == ["old"]


async def test_a_fetch_that_is_under_way_ends_with_the_gateway() -> None:
    source = Source("old")
    source.go_on.clear()
    bench = Bench(source)
    asking = asyncio.ensure_future(bench.keys.refresh())
    await asyncio.sleep(0)
    await bench.keys.stop()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await bench.keys.stop()


# ---------------------------------------------------------------------- on a gateway


async def test_a_handshake_waits_for_keys_that_are_not_there_yet() -> None:
    source = Source("new")
    issuer = {"algorithms": ["ES256"], "jwks_url": URL}
    config = letting_in({"acme": {"jwt": [issuer]}, "other": {}})
    transport, clock = MemoryTransport(), VirtualClock()
    gateway = Gateway(
        config,
        PluginSet.load([]),
        clock,
        transports=[transport],
        fetch=source.fetch,
    )
    source.go_on.clear()
    await gateway.start()
    ticket = token(ec_key("ES256"), "ES256", header={"kid": "new"})
    dialled = [transport.connect(tenant="acme", ticket=ticket) for _ in range(3)]
    # What no issuer can have signed waits for nothing.
    for other in (token(), "x", token(ec_key("ES384"), "ES384")):
        transport.connect(tenant="acme", ticket=other)
    transport.connect(tenant="other", ticket=ticket)
    refused = {("acme", "unknown"): 3, ("other", "unknown"): 1}
    assert gateway.metrics.tickets == refused
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(gateway.sessions) == 0
    source.go_on.set()
    for _ in range(20):
        await asyncio.sleep(0)
    assert source.fetches == 1
    assert source.urls == {URL}
    assert len(gateway.sessions) == len(dialled)
    assert gateway.metrics.tickets["acme", "good"] == 3
    await gateway.stop()


async def test_keys_that_were_fetched_stay_good_over_a_reload(tmp_path: Path) -> None:
    def config(**changes: object) -> Config:
        keys = [{"file": write_pem(tmp_path, ec_key("ES256", 1))}]
        issuer = {"algorithms": ["ES256"], "jwks_url": URL, "keys": keys, **changes}
        return letting_in({"acme": {"jwt": [issuer]}})

    source = Source("new")
    transport = MemoryTransport()
    gateway = Gateway(
        config(),
        PluginSet.load([]),
        VirtualClock(),
        transports=[transport],
        fetch=source.fetch,
    )
    await gateway.start()
    ticket = token(ec_key("ES256"), "ES256", header={"kid": "new"})

    async def let_in() -> bool:
        before = len(gateway.sessions)
        transport.connect(tenant="acme", ticket=ticket)
        for _ in range(20):
            await asyncio.sleep(0)
        return len(gateway.sessions) > before

    assert await let_in()
    source.problem = OSError("down")
    # Nothing is changed; its own section is; and its address is.
    for again, is_good in (
        (config(), True),
        (config(leeway_s=7), True),
        (config(jwks_url=URL + "2"), False),
    ):
        gateway.reload(again)
        assert await let_in() is is_good
    await gateway.stop()


# -------------------------------------------------------------------- over the network


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    with publishing() as one:
        one.answers["/keys"] = Answer(body=b'{"keys":[]}')
        one.answers["/keys?a=b"] = Answer(body=b"query")
        one.answers["/elsewhere"] = Answer(302, location="/keys")
        one.answers["/large"] = Answer(body=b"x" * (MAX_BYTES + 1))
        yield one


async def test_what_stands_there_is_read(publisher: Publisher) -> None:
    assert await fetch_url(f"{publisher.url}/keys") == b'{"keys":[]}'


async def test_no_proxy_is_asked(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert await fetch_url(f"{publisher.url}/keys?a=b") == b"query"


@asynccontextmanager
async def answering(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[int]:
    """Listen, and answer each connection so; yield the port."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    "begun", [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\n"]
)
async def test_whoever_answers_without_an_end_is_given_up_and_holds_nothing(
    begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = asyncio.Event()

    async def trickle(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(begun)
        while True:
            # A byte now and then, as long as somebody is there.
            try:
                async with asyncio.timeout(0.02):
                    if not await reader.read(4096):
                        break
            except TimeoutError:
                writer.write(b"x")
            except OSError:
                break
        writer.close()
        gone.set()

    monkeypatch.setattr("wsprism_core.gateway.jwks.TIMEOUT", 0.2)
    async with answering(trickle) as port:
        bench = Bench(Source())
        bench.keys._fetch, bench.keys._url = fetch_url, f"http://127.0.0.1:{port}/"
        await bench.keys.refresh()
        assert bench.metrics.jwks_fetches == {("acme", "failed"): 1}
        async with asyncio.timeout(10):
            await gone.wait()


@pytest.mark.parametrize(
    "said", [b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\n" + b"x" * 99_999]
)
async def test_what_is_no_http_is_an_error(said: bytes) -> None:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        writer.close()

    async with answering(say) as port:
        with pytest.raises(ValueError, match="ProtocolError"):
            await fetch_url(f"http://127.0.0.1:{port}/")


async def test_its_certificate_has_to_be_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    files = write_certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(files.certificate, files.key)
    async with answering(say, tls) as port:
        with pytest.raises(ssl.SSLCertVerificationError):
            await fetch_url(f"https://localhost:{port}/")
        monkeypatch.setenv("SSL_CERT_FILE", str(files.certificate))
        assert await fetch_url(f"https://localhost:{port}/") == b"{}"


@pytest.mark.parametrize("path", ["/missing", "/elsewhere", "/large"])
async def test_what_is_no_key_set_is_an_error(publisher: Publisher, path: str) -> None:
    with pytest.raises((OSError, ValueError)):
        await fetch_url(publisher.url + path)
    assert publisher.asked == {path: 1}


async def test_nobody_there_is_an_error() -> None:
    with pytest.raises(ConnectionRefusedError):
        await fetch_url("http://127.0.0.1:1/")
