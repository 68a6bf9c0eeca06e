"""Rows A9, A11 and F2: what is bounded, who is an operator, and how it ends."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final
from unittest.mock import Mock

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    negative_data_rejection,
    positive_data_acceptance,
)

from support.command_line import wsprism
from support.gateway_process import GatewayProcess, Gateways
from support.listener import Listener
from support.oracle import FULL, MANY, SLACK, Row
from support.peers import Stream, WebSocketPeer, handshake
from support.raw_http import parse_answer, plain
from support.waiting import until
from wsprism_core.client import Client, ConnectionClosed, HandshakeRefused, connect
from wsprism_core.gateway.admin_routes import OPENAPI_PATH, admin_routes
from wsprism_core.gateway.inspector import Inspector
from wsprism_core.gateway.openapi import openapi
from wsprism_core.gateway.operator import Operator
from wsprism_core.gateway.ticket_office import TicketOffice

GRACE: Final = 3.0
CLOSE: Final = 1.0
ROOM: Final = "lobby"
#: Members who publish until they are told to come back, and who never stop.
POLITE, STUBBORN = 8, 2
#: Messages of each publisher that are acknowledged before the signal comes.
UNDER_WAY: Final = 20


@pytest.fixture
def draining_gateway(
    tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[GatewayProcess]:
    """Return a gateway that a test may end."""
    settings = {
        "drain_grace_ms": round(1000 * request.param),
        "close_timeout_ms": round(1000 * CLOSE),
    }
    gateway = GatewayProcess(tmp_path, {"gateway": settings})
    yield gateway
    # One that has ended is told in vain.
    gateway.stop()


# ------------------------------------------------------------------------------- A9

MOST_ROOMS: Final = 50
BOUNDED: Final = {
    "gateway": {"max_idle_rooms": 0},
    "tenants": [{"limits": {"max_rooms_per_user": MOST_ROOMS}}],
}
MANY_NAMES: Final = 100_000 if FULL else 2_000


async def join_without_end(gateway: GatewayProcess) -> None:
    """Join rooms as long as it is let, and then on."""
    before = gateway.look().metrics.get(EXHAUSTED, 0)
    async with Listener(await gateway.connect("everywhere")) as one:
        for number in range(MANY_NAMES):
            await one.send("room", "join", room=f"r{number}")
            if number < MOST_ROOMS:
                await one.until("sys.joined", number + 1)
        # Of so many refusals most are counted and not told.
        await one.send("probe", "echo")
        await one.until("probe.echoed")
        look = gateway.look()
        assert look.metrics["wsprism_rooms{}"] == MOST_ROOMS
        assert look.metrics[EXHAUSTED] - before == MANY_NAMES - MOST_ROOMS
        await one.leave()


EXHAUSTED: Final = "wsprism_errors_total{code=RESOURCE_EXHAUSTED,tenant=main}"


async def test_a9_joins_without_end(gateways: Gateways) -> None:
    gateway = gateways(BOUNDED)
    await join_without_end(gateway)
    async with Row(gateway, closes={1000: 1}, fast_enough=MANY):
        await join_without_end(gateway)


async def test_a9_no_session_is_in_rooms_without_end(gateways: Gateways) -> None:
    # The tenant has no limit, as by default; the session has.
    bounded = {"gateway": {"max_idle_rooms": 0, "max_rooms_per_session": MOST_ROOMS}}
    gateway = gateways(bounded)
    await join_without_end(gateway)
    async with Row(gateway, closes={1000: 1}, fast_enough=MANY):
        await join_without_end(gateway)


async def enter_and_leave(gateway: GatewayProcess) -> None:
    """Be in many rooms, one after the other, that nobody is in again."""
    async with Listener(await gateway.connect("visitor")) as one:
        for number in range(MANY_NAMES):
            await one.send("room", "join", room=f"once-{number}")
            await one.send("room", "leave", room=f"once-{number}")
            if number % 50 == 49:
                await one.until("sys.left", number + 1)
        assert gateway.look().metrics["wsprism_rooms{}"] == 0
        await one.leave()


async def test_a9_rooms_that_are_never_used_again(gateways: Gateways) -> None:
    gateway = gateways(BOUNDED)
    await enter_and_leave(gateway)
    async with Row(gateway, closes={1000: 1}, fast_enough=MANY):
        await enter_and_leave(gateway)


async def use_odd_names(gateway: GatewayProcess, first: int) -> None:
    """Put names that nobody has had before wherever a client may put one."""
    for number in range(first, first + 20):
        async with Listener(await gateway.connect(f"odd{number}")) as one:
            await one.send(f"svc{number}", "x")
            await one.send("chat", f"type{number}", room=f"room{number}")
            await one.send("probe", "echo", {f"key{number}": 1})
            # Hot frames of services and opcodes that there are not.
            await one.peer.send("binary", bytes([1, number % 250 + 5, 99, 0]))
            await one.until("probe.echoed")
            await one.peer.close(3000 + number, f"reason{number}")
            await one.until_end()
        early = await WebSocketPeer.open(gateway.port, tls=None)
        await early.close(3000 + number, f"reason{number}")
        assert (await early.frame()).code == 3000 + number
        early.drop()
        for target in (f"/v1/ws?tenant=t{number}&ticket=x", f"/path{number}"):
            stream = await Stream.connect(gateway.port)
            await stream.send_raw(handshake(target))
            assert parse_answer(await stream.read_all()).status in (400, 404)
            stream.drop()


async def test_a9_names_of_clients_are_no_labels(gateways: Gateways) -> None:
    gateway = gateways(BOUNDED)
    await use_odd_names(gateway, 0)
    await gateway.settles(closes={"other": 20})
    before = set(gateway.look().metrics)
    await use_odd_names(gateway, 20)
    await gateway.settles(closes={"other": 40})
    assert set(gateway.look().metrics) == before


# ------------------------------------------------------------------------------ A11

KEY: Final = "k3y-0123456789abcdef"
AUTHORIZED: Final = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture(scope="module")
def operated(gateways: Gateways) -> GatewayProcess:
    """Return a gateway that has operators, and somebody in a room."""
    admin = {"listen": "127.0.0.1:0", "api_key": KEY}
    return gateways({"gateway": {"admin": admin, "warnings_per_second": 1_000}})


SCHEMA: Final = schemathesis.openapi.from_dict(
    openapi(
        admin_routes(
            Mock(Inspector), Mock(Operator), Mock(TicketOffice), Mock(), Mock()
        )
    )
)
OPERATIONS: Final = {
    found.ok().label: found.ok()
    for found in SCHEMA.get_all_operations()
    if isinstance(found, Ok)
}


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a11_schemathesis_finds_no_5xx(
    operated: GatewayProcess, operation: str, mode: GenerationMode
) -> None:
    address = f"http://127.0.0.1:{operated.admin_port}"

    # Not by its pytest plugin, which pytest 9 has left behind.
    @given(case=OPERATIONS[operation].as_strategy(generation_mode=mode))
    @settings(
        max_examples=300 if FULL else 20,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    def ask(case: schemathesis.Case[Any]) -> None:
        answer = case.call_and_validate(
            base_url=address,
            headers=AUTHORIZED,
            # What it makes up is of services and tenants that there are not, and what
            # it leaves out (the key) is put in here.
            excluded_checks=[positive_data_acceptance, negative_data_rejection],
        )
        assert answer.status_code < 500

    ask()


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "192.0.2.1"])
def test_a11_without_a_key_it_listens_for_nobody_else(
    tmp_path: Path, host: str
) -> None:
    file = tmp_path / "wsprism.yaml"
    file.write_text(
        "version: 1\n"
        f"gateway: {{listen: '127.0.0.1:0', admin: {{listen: '{host}:0'}}}}\n"
        "tenants: [{id: acme}]\n"
    )
    for options in ((), ("--dev",)):
        with wsprism("run", "--config", str(file), *options) as process:
            said, error = process.communicate(timeout=20)
        assert process.returncode == 2
        assert "the admin listener needs a key, gateway.admin.api_key" in error
        assert "listening" not in said + error


async def test_a11_nothing_is_read_or_done_without_the_key(
    operated: GatewayProcess,
) -> None:
    start = operated.log_size
    requests = [
        plain(path, method, "Content-Length: 0", *fields)
        for path in ("/v1/admin/overview", OPENAPI_PATH, "/v1/kick", "/metrics")
        for method in ("GET", "POST", "DELETE")
        for fields in ((), (f"Authorization: Bearer {KEY[:-1]}",))
    ]
    for request in requests:
        stream = await Stream.connect(operated.admin_port)
        await stream.send_raw(request)
        assert parse_answer(await stream.read_all()).status == 401, request
        stream.drop()
    entries = operated.logged(start)
    refused = [entry for entry in entries if entry["event"] == "refused"]
    assert [entry["status"] for entry in refused] == [401] * len(requests)
    assert KEY[:-1] not in str(operated.logged())


# ------------------------------------------------------------------------------- F2


class Member:
    """Publishes to the room as fast as it is acknowledged, and keeps what it gets.

    Attributes:
        acked: The numbers of its messages that were acknowledged.
        got: The numbers of what it got of the room, in order.
        hint: When it was told to come back, in milliseconds; None before.
    """

    def __init__(self, client: Client, *, is_stubborn: bool) -> None:
        self.client = client
        self.acked: list[int] = []
        self.got: list[int] = []
        self.hint: int | None = None
        self._is_stubborn = is_stubborn

    async def run(self) -> None:
        """Go on until the connection is closed."""
        await self.client.join(ROOM)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read())
            tasks.create_task(self._publish())

    async def _publish(self) -> None:
        try:
            while self._is_stubborn or self.hint is None:
                said = {"msg": "x" * 200}
                answer = await self.client.request("chat", "send", said, room=ROOM)
                self.acked.append(answer["data"]["seq"])
        except ConnectionClosed:
            pass

    async def _read(self) -> None:
        async for message in self.client.messages():
            if message.name == "chat.msg":
                self.got.append(message.envelope["seq"])
            elif message.name == "sys.draining":
                self.hint = message.data["reconnect_in_ms"]


async def load(
    gateway: GatewayProcess, stack: AsyncExitStack
) -> tuple[list[Member], asyncio.Task[None]]:
    """Return members who publish, and the task that ends with all of them."""
    members = []
    for number in range(POLITE + STUBBORN):
        url = f"ws://127.0.0.1:{gateway.port}/v1/ws"
        client = await stack.enter_async_context(
            connect(url, tenant="main", ticket=f"dev:m{number}")
        )
        members.append(Member(client, is_stubborn=number >= POLITE))

    async def run_all() -> None:
        async with asyncio.TaskGroup() as tasks:
            for member in members:
                tasks.create_task(member.run())

    task = asyncio.create_task(run_all())
    assert await until(lambda: all(len(one.acked) >= UNDER_WAY for one in members))
    return members, task


async def stalled(gateway: GatewayProcess, stack: AsyncExitStack) -> None:
    """Let somebody into the room who reads nothing from then on."""
    peer = await gateway.connect("sleeper")
    await peer.send("text", b'{"svc":"room","type":"join","room":"lobby"}')
    await peer.frame()
    stack.callback(peer.drop)


def check_nothing_is_lost(members: list[Member]) -> None:
    polite = [one for one in members if not one._is_stubborn]
    acked = {seq for one in polite for seq in one.acked}
    for one in members:
        first, last = one.got[0], one.got[-1]
        assert one.got == list(range(first, last + 1)), "gap-free, in order, once"
        # Whoever stopped when he was told so had all his answers before anybody was
        # closed: nobody may lack one of his messages.
        assert {seq for seq in acked if seq >= first} <= set(one.got)
        assert set(one.acked) <= set(one.got), "what it was told is stored, it has"


async def asked(gateway: GatewayProcess, path: str) -> tuple[int, bytes]:
    stream = await Stream.connect(gateway.port)
    await stream.send_raw(plain(path))
    answer = parse_answer(await stream.read_all())
    stream.drop()
    return answer.status, answer.body


@pytest.mark.parametrize("draining_gateway", [GRACE], indirect=True)
async def test_f2_a_drain_loses_nothing_that_was_acknowledged(
    draining_gateway: GatewayProcess,
) -> None:
    gateway = draining_gateway
    async with AsyncExitStack() as stack:
        await stalled(gateway, stack)
        members, task = await load(gateway, stack)
        gateway.tell(signal.SIGTERM)
        began = time.monotonic()
        assert await until(lambda: any(one.hint is not None for one in members))
        # At once: nobody is closed yet, and nobody is sent here any more.
        assert await asked(gateway, "/readyz") == (503, b"draining\n")
        assert (await asked(gateway, "/healthz"))[0] == 200
        with pytest.raises(HandshakeRefused) as refused:
            await stack.enter_async_context(
                connect(
                    f"ws://127.0.0.1:{gateway.port}/v1/ws",
                    tenant="main",
                    ticket="dev:late",
                )
            )
        assert (refused.value.status, refused.value.reconnect) == (503, True)
        assert refused.value.retry_after is not None
        await task
        code = await asyncio.to_thread(gateway.ended)
        took = time.monotonic() - began
    assert code == 0
    assert GRACE / 2 < took < GRACE + CLOSE + SLACK
    check_nothing_is_lost(members)
    hints = [one.hint for one in members if one.hint is not None]
    assert len(hints) == len(members)
    assert all(0 <= hint <= 1000 * GRACE for hint in hints)
    assert len(set(hints)) > len(hints) / 2
    assert {one.client.closed for one in members} == {(1001, "draining")}


@pytest.mark.parametrize("draining_gateway", [3600.0], indirect=True)
async def test_f2_a_second_signal_is_faster_and_loses_nothing(
    draining_gateway: GatewayProcess,
) -> None:
    gateway = draining_gateway
    async with AsyncExitStack() as stack:
        await stalled(gateway, stack)
        members, task = await load(gateway, stack)
        gateway.tell(signal.SIGTERM)
        polite = members[:POLITE]
        assert await until(lambda: all(one.hint is not None for one in members))
        before = [len(one.acked) for one in members[POLITE:]]
        # Some go on for as long as they are let.
        assert await until(
            lambda: all(
                len(one.acked) > count + UNDER_WAY
                for one, count in zip(members[POLITE:], before, strict=True)
            )
        )
        assert all(one.client.closed is None for one in polite)
        gateway.tell(signal.SIGTERM)
        began = time.monotonic()
        await task
        code = await asyncio.to_thread(gateway.ended)
        took = time.monotonic() - began
    assert code == 0
    assert took < CLOSE + SLACK
    check_nothing_is_lost(members)
    assert {one.client.closed for one in members} == {(1001, "draining")}
    # All were closed in the same turn, so that all have the same.
    assert len({one.got[-1] for one in members}) == 1
