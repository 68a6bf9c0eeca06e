"""The fault proxy does what it is told, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest

from support.fault_proxy import FaultProxy
from support.waiting import until


@dataclass
class Ends:
    """A server that keeps what it hears, and a client of it through the proxy."""

    proxy: FaultProxy
    heard: list[bytes]
    server: asyncio.StreamWriter
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    ended: asyncio.Event
    error: list[BaseException]

    async def heard_all(self, data: bytes) -> None:
        assert await until(lambda: b"".join(self.heard) == data)


Connect = Callable[[], Awaitable[Ends]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    serving: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
    heard: list[bytes] = []
    ended = asyncio.Event()
    error: list[BaseException] = []
    opened: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(writer)
        serving.put_nowait(writer)
        try:
            while data := await reader.read(65_536):
                heard.append(data)
        except ConnectionError as failure:
            error.append(failure)
        ended.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, FaultProxy(server.sockets[0].getsockname()[1]) as proxy:

        async def connected() -> Ends:
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            opened.append(writer)
            other = await serving.get()
            return Ends(proxy, heard, other, reader, writer, ended, error)

        yield connected
        for one in opened:
            one.close()


async def test_it_passes_everything_on_both_ways(connect: Connect) -> None:
    ends = await connect()
    ends.writer.write(b"up" * 100_000)
    ends.server.write(b"down" * 100_000)
    assert await ends.reader.readexactly(400_000) == b"down" * 100_000
    await ends.heard_all(b"up" * 100_000)
    assert (ends.proxy.bytes_up, ends.proxy.bytes_down) == (200_000, 400_000)


async def test_it_passes_on_one_end_and_the_other_way_goes_on(
    connect: Connect,
) -> None:
    ends = await connect()
    ends.writer.write_eof()
    await ends.ended.wait()
    ends.server.write(b"still here")
    assert await ends.reader.readexactly(10) == b"still here"


async def test_what_is_late_comes_in_order(connect: Connect) -> None:
    ends = await connect()
    ends.proxy.up.delay, ends.proxy.up.jitter = 0.05, 0.1
    loop = asyncio.get_running_loop()
    began = loop.time()
    for number in range(50):
        ends.writer.write(b"%d," % number)
        await asyncio.sleep(0)
    await ends.heard_all(b"".join(b"%d," % number for number in range(50)))
    assert loop.time() - began >= 0.05


async def test_a_delay_is_no_throttle(connect: Connect) -> None:
    ends = await connect()
    ends.proxy.up.delay = 0.1
    ends.proxy.up.segment_size = 1_000
    loop = asyncio.get_running_loop()
    began = loop.time()
    ends.writer.write(bytes(100_000))
    await ends.heard_all(bytes(100_000))
    # One after the other, a hundred of them would take ten seconds.
    assert loop.time() - began < 2.0


async def test_it_chops(connect: Connect) -> None:
    ends = await connect()
    ends.proxy.up.segment_size = 1
    ends.proxy.up.bytes_per_second = 200
    ends.writer.write(b"abcdefgh")
    await ends.heard_all(b"abcdefgh")
    assert max(map(len, ends.heard)) < 8


async def test_a_throttled_way_is_felt_at_its_other_end(connect: Connect) -> None:
    ends = await connect()
    ends.proxy.down.bytes_per_second = 20_000
    ends.server.transport.set_write_buffer_limits(high=0)
    loop = asyncio.get_running_loop()
    began = loop.time()
    ends.server.write(bytes(10_000))
    await ends.reader.readexactly(10_000)
    assert 0.4 <= loop.time() - began < 2.0
    ends.server.write(bytes(10_000_000))
    drained = asyncio.ensure_future(ends.server.drain())
    done, _ = await asyncio.wait([drained], timeout=0.1)
    assert not done
    drained.cancel()


async def test_a_dead_way_swallows_bytes_and_the_end(connect: Connect) -> None:
    ends = await connect()
    ends.proxy.up.is_dead = ends.proxy.down.is_dead = True
    ends.writer.write(b"into the void")
    ends.server.write(b"likewise")
    ends.writer.close()
    await ends.writer.wait_closed()
    assert not await until(ends.ended.is_set, timeout=0.1)
    assert ends.heard == []


async def test_one_way_may_be_dead_alone(connect: Connect) -> None:
    ends = await connect()
    ends.proxy.down.is_dead = True
    ends.server.write(b"nobody hears it")
    ends.writer.write(b"heard")
    await ends.heard_all(b"heard")
    assert ends.proxy.bytes_down == 0


async def test_it_resets_both_sides(connect: Connect) -> None:
    ends = await connect()
    ends.writer.write(b"x")
    await ends.heard_all(b"x")
    await ends.proxy.reset()
    with pytest.raises(ConnectionResetError):
        await ends.reader.readexactly(1)
    await ends.ended.wait()
    assert [type(error) for error in ends.error] == [ConnectionResetError]


async def test_it_drops_both_sides_without_a_reset(connect: Connect) -> None:
    ends = await connect()
    ends.writer.write(b"x")
    await ends.heard_all(b"x")
    await ends.proxy.drop()
    assert await ends.reader.read(1) == b""
    await ends.ended.wait()
    assert ends.error == []


async def test_a_server_that_is_not_there_is_an_end(connect: Connect) -> None:
    async with FaultProxy(1) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        assert await reader.read(1) == b""
        writer.close()
