"""Rows A1 to A5: tickets that are no good, or no longer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import jwt
import pytest

from support.gateway_process import GatewayProcess, Gateways
from support.oracle import SLACK, Row
from support.peers import (
    Got,
    StreamPeer,
    TcpPeer,
    WebSocketPeer,
    handshake,
    read_to_end,
)
from support.publisher import Answer, Publisher, publishing
from support.tokens import (
    SECRET_KEY,
    jwk_of,
    jwks_of,
    letting_in,
    pem_of,
    raw_token,
    rsa_key,
    signed,
    token,
    write_pem,
)
from wsprism_core.clock import LoopClock
from wsprism_core.gateway import Gateway
from wsprism_core.plugins import PluginSet
from wsprism_core.testing import GatewayHarness
from wsprism_core.transports.tcp import TcpTransport
from wsprism_core.transports.websocket import WebSocketTransport

OTHER_KEY: Final = "f" * 32


FAILED: Final = "wsprism_jwks_fetches_total{outcome=failed,tenant=main}"
#: Seconds between two questions.
PAUSE: Final = 0.05


def now() -> int:
    return int(time.time())


def good(key: Any = SECRET_KEY, algorithm: str = "HS256", /, **said: Any) -> str:
    """Return a token that is good for a minute, by the clock of the gateway."""
    return token(key, algorithm, **{"exp": now() + 60, **said})


@pytest.fixture(scope="session")
def publisher() -> Iterator[Publisher]:
    with publishing() as one:
        yield one


@pytest.fixture(scope="session")
def evil() -> Iterator[Publisher]:
    """Where tokens want keys to be fetched from."""
    with publishing() as one:
        one.answers["/jwks"] = Answer(body=jwks_of(jwk_of(rsa_key(9), kid="evil")))
        yield one


@pytest.fixture
def process(
    gateways: Gateways,
    publisher: Publisher,
    tmp_path_factory: pytest.TempPathFactory,
) -> GatewayProcess:
    return gateways(_config(publisher, tmp_path_factory))


@pytest.fixture
def talkative(
    gateways: Gateways,
    publisher: Publisher,
    tmp_path_factory: pytest.TempPathFactory,
) -> GatewayProcess:
    """The same, and it logs all that it can."""
    return gateways(_config(publisher, tmp_path_factory), "--log-level", "debug")


_files: dict[str, str] = {}


def _config(
    publisher: Publisher, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """Return a secret and an RSA key for `main`, a published key for `other`."""
    if not _files:
        folder: Path = tmp_path_factory.mktemp("keys")
        _files["rsa"] = write_pem(folder, rsa_key())
    publisher.answers["/jwks"] = Answer(body=jwks_of(jwk_of(rsa_key(1), kid="k")))
    main = [
        {
            "algorithms": ["HS256", "RS256"],
            "issuer": "https://id.example",
            "audience": "wsprism",
            "leeway_s": 0,
            "keys": [
                {"kid": "k", "secret": SECRET_KEY},
                {"kid": "rsa", "file": _files["rsa"]},
            ],
        },
        {"algorithms": ["HS256"], "leeway_s": 0, "keys": [{"secret": OTHER_KEY}]},
    ]
    other = [
        {
            "algorithms": ["RS256"],
            "jwks_url": f"{publisher.url}/jwks",
            "jwks_retry_s": 3600,
        }
    ]
    return {
        "gateway": {"close_timeout_ms": 500},
        "tenants": [{"auth": {"jwt": main}}, {"auth": {"jwt": other}}],
    }


MAIN: Final = {"iss": "https://id.example", "aud": "wsprism"}


async def status(gateway: GatewayProcess, ticket: str, tenant: str = "main") -> int:
    """Return what the handshake with a ticket is answered with."""
    target = f"/v1/ws?tenant={tenant}&ticket={ticket}"
    peer = await WebSocketPeer.open(gateway.port, target=target, tls=None)
    head = await peer.read_head()
    peer.drop()
    return int(head.split()[1])


# ------------------------------------------------------------------------------- A1


def bad_tokens(evil: Publisher) -> dict[str, str]:
    """Return tokens that are no good, by what is wrong with them."""
    claims = {"sub": "ann", "exp": now() + 60, **MAIN}
    hmac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    unsigned = raw_token({"alg": "HS256", "kid": "rsa"}, claims)[:-1]

    def forged(secret: bytes) -> str:
        signature = hmac.sign(unsigned.encode(), secret)
        return unsigned + raw_token(b"", b"", signature)[1:]

    def said(**fields: Any) -> str:
        return good(**{"header": {"kid": "k"}, **MAIN, **fields})

    def headed(**header: Any) -> str:
        return good(rsa_key(9), "RS256", header=header, **MAIN)

    nested = raw_token(b'{"alg":' * 300, claims)
    return {
        **{f"alg {alg}": raw_token({"alg": alg}, claims) for alg in ("none", "nOnE")},
        "the public key as a secret": forged(pem_of(rsa_key())),
        "a JWK as a secret": forged(json.dumps(jwk_of(rsa_key())).encode()),
        "kid is a path": headed(kid="../../../../etc/passwd"),
        "kid is SQL": headed(kid="' OR 1=1 --"),
        "kid is a URL": headed(kid=f"{evil.url}/jwks"),
        "jku": headed(jku=f"{evil.url}/jwks", kid="evil"),
        "x5u": headed(x5u=f"{evil.url}/jwks"),
        "jwk": headed(jwk=jwk_of(rsa_key(9))),
        "crit": said(header={"crit": ["x"], "x": 1, "kid": "k"}),
        "no exp": said(without="exp"),
        "exp is text": said(exp=str(now() + 60)),
        "exp is NaN": signed({**claims, "exp": float("nan")}),
        "exp is huge": said(exp=10**15),
        "exp is past": said(exp=now() - 1),
        "nbf is ahead": said(nbf=now() + 60),
        "iat is ahead": said(iat=now() + 60),
        "wrong aud": said(aud="other"),
        "wrong iss": said(iss=f"{evil.url}/jwks"),
        "no signature": said().rpartition(".")[0] + ".",
        "no parts": "..",
        "a nested header": nested,
        "padding": said() + "=",
        "another key": good("0" * 32, **MAIN),
    }


async def test_a1_bad_tokens(process: GatewayProcess, evil: Publisher) -> None:
    tokens = bad_tokens(evil)
    async with Row(process, refusals={401: len(tokens)}) as row:
        for wrong, ticket in tokens.items():
            assert await status(process, ticket) == 401, wrong
    logged = json.dumps(row.entries)
    for wrong, ticket in tokens.items():
        assert len(ticket) < 10 or ticket not in logged, wrong
    assert not evil.asked


async def test_a1_the_same_in_good(process: GatewayProcess) -> None:
    """What shows that the row above is refused for what is wrong with it."""
    tickets = (
        good(header={"kid": "k"}, **MAIN),
        good(rsa_key(), "RS256", header={"kid": "rsa"}, **MAIN),
        good(OTHER_KEY),
    )
    async with Row(process, closes={1006: len(tickets)}):
        for ticket in tickets:
            assert await status(process, ticket) == 101


async def test_a1_five_megabytes(process: GatewayProcess) -> None:
    async with Row(process, refusals={414: 1, 1009: 1}) as row:
        peer = row.keep(await WebSocketPeer.connect(process.port))
        ticket = f"a.{'b' * 5_000_000}.c"
        with contextlib.suppress(ConnectionError):
            await peer.send_raw(handshake(f"/v1/ws?tenant=main&ticket={ticket}"))
        answer = await peer.read_all()
        assert not answer or answer.startswith(b"HTTP/1.1 414")
        second = row.keep(await WebSocketPeer.open(process.port, tls=None))
        auth = {"svc": "sys", "type": "auth", "data": {"ticket": ticket}}
        with contextlib.suppress(ConnectionError):
            await second.send("text", json.dumps(auth).encode())
        assert (await read_to_end(second))[-1].code == 1009


@pytest.mark.parametrize("size", [0, 16, 31])
def test_a1_a_short_secret_refuses_to_start(tmp_path: Path, size: int) -> None:
    from wsprism_core.options import RunOptions
    from wsprism_core.runner import RunError, prepare

    path = tmp_path / "wsprism.yaml"
    key = f"{{secret: {'x' * size!r}}}"
    section = f"jwt: [{{algorithms: [HS256], keys: [{key}]}}]"
    tenant = f"tenants: [{{id: acme, auth: {{{section}}}}}]\n"
    path.write_text(f"version: 1\n{tenant}", encoding="utf-8")
    with pytest.raises(RunError, match="at least 32 bytes") as caught:
        prepare(RunOptions(config=path, plugins=()))
    assert caught.value.exit_code == 2


# ------------------------------------------------------------------------------- A2


async def test_a2_no_claim_steers_a_request(
    process: GatewayProcess, publisher: Publisher, evil: Publisher
) -> None:
    """Neither `iss` nor a header; and unknown names ask for no more than one fetch."""
    before = publisher.asked["/jwks"]
    tickets = [
        good(rsa_key(9), "RS256", header={"kid": f"evil-{number}"}, iss=evil.url)
        for number in range(20)
    ]
    async with Row(process, refusals={401: len(tickets)}):
        for ticket in tickets:
            assert await status(process, ticket, "other") == 401
    assert not evil.asked
    assert publisher.asked["/jwks"] == before
    assert set(publisher.asked) <= {"/jwks", "/rotating"}


async def test_a2_the_same_name_in_two_tenants(process: GatewayProcess) -> None:
    of_main = good(header={"kid": "k"}, **MAIN)
    of_other = good(rsa_key(1), "RS256", header={"kid": "k"}, **MAIN)
    async with Row(process, refusals={401: 2}, closes={1006: 2}):
        assert await status(process, of_main, "other") == 401
        assert await status(process, of_other, "main") == 401
        assert await status(process, of_main, "main") == 101
        # The issuer of `other` has no audience, so it is for nobody with one.
        plain = good(rsa_key(1), "RS256", header={"kid": "k"})
        assert await status(process, plain, "other") == 101


async def test_a2_keys_rotate(gateways: Gateways, publisher: Publisher) -> None:
    publisher.answers["/rotating"] = Answer(body=jwks_of(jwk_of(rsa_key(2), kid="a")))
    issuer = {
        "algorithms": ["RS256"],
        "jwks_url": f"{publisher.url}/rotating",
        "jwks_retry_s": 1,
        "jwks_cache_s": 2,
    }
    gateway = gateways({"tenants": [{"auth": {"jwt": [issuer]}}]})
    old = good(rsa_key(2), "RS256", header={"kid": "a"})
    new = good(rsa_key(3), "RS256", header={"kid": "b"})
    asked: Counter[int] = Counter()

    async def until_asked(ticket: str, wanted: Callable[[int], bool]) -> None:
        """Ask again and again; how often that is, is the machine's business."""
        async with asyncio.timeout(20):
            while True:
                got = await status(gateway, ticket)
                asked[got] += 1
                if wanted(got):
                    return
                await asyncio.sleep(PAUSE)

    def is_down(got: int) -> bool:
        assert got == 101, "the keys of before stay"
        return bool(gateway.look().metrics.get(FAILED))

    async with Row(gateway, warnings=("jwks_not_fetched",)) as row:
        await until_asked(old, lambda got: got == 101)
        assert asked == {101: 1}
        publisher.answers["/rotating"] = Answer(
            body=jwks_of(jwk_of(rsa_key(3), kid="b"))
        )
        await until_asked(new, lambda got: got == 101)
        await until_asked(old, lambda got: got == 401)
        publisher.answers["/rotating"] = Answer(503)
        await until_asked(new, is_down)
        row.expect(refusals={401: asked[401]}, closes={1006: asked[101]})


# ------------------------------------------------------------------------------- A3


ONE_TIME: Final = {"connect_tickets": {"enabled": True}}


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Gateway, int, int]]:
    """Yield a gateway on real sockets with one-time tickets, and its ports."""
    websocket, tcp = WebSocketTransport(port=0), TcpTransport(port=0)
    gateway = Gateway(
        letting_in({"main": ONE_TIME, "other": ONE_TIME}),
        PluginSet.load(["chat"]),
        LoopClock(asyncio.get_running_loop()),
        transports=[websocket, tcp],
    )
    await gateway.start()
    try:
        ports = [int(one.address.rpartition(":")[2]) for one in (websocket, tcp)]
        yield gateway, ports[0], ports[1]
    finally:
        await gateway.stop()


async def ask(port: int, ticket: str, tenant: str = "main") -> int:
    target = f"/v1/ws?tenant={tenant}&ticket={ticket}"
    peer = await WebSocketPeer.open(port, target=target, tls=None)
    head = await peer.read_head()
    peer.drop()
    return int(head.split()[1])


async def test_a3_of_a_hundred_at_once_one_gets_in() -> None:
    async with serving() as (gateway, port, _):
        ticket = gateway.issue_ticket("main", "ann")
        answers = await asyncio.gather(*(ask(port, ticket) for _ in range(100)))
        assert sorted(answers) == [101] + [401] * 99
        assert gateway.metrics.tickets["main", "good"] == 1


async def test_a3_twice_or_in_another_tenant() -> None:
    async with serving() as (gateway, port, _):
        ticket = gateway.issue_ticket("main", "ann")
        assert await ask(port, ticket, "other") == 401
        assert await ask(port, ticket) == 101
        assert await ask(port, ticket) == 401


async def test_a3_too_late(gateway: type[GatewayHarness]) -> None:
    async with gateway(config=letting_in({"main": ONE_TIME})) as gw:
        ticket = gw.gateway.issue_ticket("main", "ann")
        await gw.advance(30)
        await (await gw.dial(ticket=ticket)).expect_closed(4503)


# ------------------------------------------------------------------------------- A4


async def test_a4_a_ticket_shows_nowhere(talkative: GatewayProcess) -> None:
    """By whatever way it comes, and whether it is good or bad."""
    gateway = talkative
    tickets: list[str] = []

    def another(**fields: Any) -> str:
        fields = {"header": {"kid": "k"}, **MAIN, "jti": str(len(tickets)), **fields}
        tickets.append(good(**fields))
        return tickets[-1]

    expired = {"exp": now() - 5}
    twice = f"ticket={another()}&ticket={tickets[-1]}"
    said = []
    for query, header in (
        (f"ticket={another(**expired)}", "x: y"),
        (f"ticket={another(aud='other')}", "x: y"),
        (twice, "x: y"),
        ("", f"Authorization: Bearer {another(**expired)}"),
        ("", f"Sec-WebSocket-Protocol: {another()}"),
    ):
        target = f"/v1/ws?tenant=main&{query}"
        peer = await WebSocketPeer.open(gateway.port, header, target=target, tls=None)
        answer = await peer.read_all()
        assert answer.startswith(b"HTTP/1.1 40")
        said.append(answer)
        peer.drop()
    for kind in (WebSocketPeer, TcpPeer):
        for ticket in (another(**expired), another()):
            other = await open_peer(kind, gateway)
            auth = {"ticket": ticket, "tenant": "main"}
            await other.send("text", envelope("auth", auth))
            first = await other.frame()
            said.append(first.payload)
            if b'"authed"' in first.payload:
                stale = {"ticket": another(**expired)}
                await other.send("text", envelope("refresh", stale))
                said.append((await other.frame()).payload)
                await other.close(1000, "")
            said += [got.payload for got in await read_to_end(other)]
            other.drop()
    logged = gateway.logged()
    assert "ticket_refused" in [entry["event"] for entry in logged]
    text = f"{json.dumps(logged)} {gateway.look().metrics} {said}"
    assert len(tickets) == 11
    for ticket in tickets:
        _, payload, signature = ticket.split(".")
        assert payload not in text
        assert signature not in text


async def open_peer(kind: type[StreamPeer], gateway: GatewayProcess) -> StreamPeer:
    if kind is TcpPeer:
        return await TcpPeer.connect(gateway.tcp_port)
    return await WebSocketPeer.open(gateway.port, tls=None)


def envelope(type: str, data: object) -> bytes:
    return json.dumps({"svc": "sys", "type": type, "data": data}).encode()


# ------------------------------------------------------------------------------- A5


async def until_close(peer: StreamPeer) -> tuple[Got, float]:
    """Return the close, and when it came."""
    while (got := await peer.frame()).kind not in ("close", "end"):
        pass
    return got, time.time()


async def test_a5_a_ticket_expires_while_connected(process: GatewayProcess) -> None:
    async with Row(process, closes={4500: 2}) as row:
        expires = time.time() + 1.5
        peers = []
        for _ in range(2):
            ticket = good(OTHER_KEY, exp=expires)
            target = f"/v1/ws?tenant=main&ticket={ticket}"
            peer = await WebSocketPeer.open(process.port, target=target, tls=None)
            peers.append(row.keep(peer))
            assert b'"authed"' in (await peer.frame()).payload
        # One of them gets more time.
        later = expires + 1
        renewed = {"ticket": good(OTHER_KEY, exp=later)}
        await peers[1].send("text", envelope("refresh", renewed))
        assert b'"authed"' in (await peers[1].frame()).payload
        for peer, end in zip(peers, (expires, later), strict=True):
            got, at = await until_close(peer)
            assert got.code == 4500
            assert 0 <= at - end <= 1 + SLACK
            await peer.close(4500, "")


async def test_a5_what_waits_for_an_expired_session_is_dropped(
    process: GatewayProcess,
) -> None:
    async with Row(process, closes={4500: 1, 1000: 1}) as row:
        ticket = good(OTHER_KEY, sub="user:stalled", exp=time.time() + 1.5)
        target = f"/v1/ws?tenant=main&ticket={ticket}"
        stalled = row.keep(
            await WebSocketPeer.open(process.port, target=target, tls=None)
        )
        assert b'"authed"' in (await stalled.frame()).payload
        sender = await row.connect("sender")
        flood = {"user": "user:stalled", "counts": {"bulk": 200}, "size": 10_000}
        message = {"svc": "probe", "type": "flood", "data": flood}
        await sender.send("text", json.dumps(message).encode())
        closed = {"4500": row.before.closes["4500"] + 1}
        await process.settles(closes=closed, within=2.5 + SLACK)
        assert not process.look().waiting.get("user:stalled")
        came = [got for got in await read_to_end(stalled) if got.kind == "text"]
        assert len(came) < 200
        await sender.close(1000, "")
        await read_to_end(sender)


async def test_a5_a_ticket_is_revoked_while_connected() -> None:
    async with serving() as (gateway, port, tcp_port):
        peers: list[StreamPeer] = []
        for number in range(3):
            user = "bob" if number == 2 else "ann"
            ticket = gateway.issue_ticket("main", user)
            if number == 1:
                peer: StreamPeer = await TcpPeer.connect(tcp_port)
                auth = {"ticket": ticket, "tenant": "main"}
                await peer.send("text", envelope("auth", auth))
            else:
                target = f"/v1/ws?tenant=main&ticket={ticket}"
                peer = await WebSocketPeer.open(port, target=target, tls=None)
            assert b'"authed"' in (await peer.frame()).payload
            peers.append(peer)
        began = time.time()
        assert gateway.revoke("main", user="ann") == 2
        for peer in peers[:2]:
            got, at = await until_close(peer)
            assert got == ("close", b"the ticket was revoked", 4503)
            assert at - began <= 1 + SLACK
            await peer.close(4503, "")
        await peers[2].send("text", envelope("ping", {"client_ts": 1}))
        assert b'"pong"' in (await peers[2].frame()).payload
        for peer in peers:
            peer.drop()
