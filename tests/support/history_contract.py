"""What every store of history must do; a third-party one inherits the class."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from wsprism_core.history.port import (
    HistoryStore,
    NewMessage,
    Retention,
    RoomHistory,
)
from wsprism_core.history.retention import ENVELOPE_BYTES


def message(
    data: object = "hi", *, ts: int = 1_000, id: str | None = None
) -> NewMessage:
    dedup = None if id is None else ("ann", id)
    return NewMessage(
        ts, "chat", "msg", data, dedup, None if id is None else {"id": id}
    )


class Told:
    """What a room's history has told of its messages, in order."""

    def __init__(self) -> None:
        self.numbers: list[int | None] = []
        self._more = asyncio.Event()

    def __call__(self, seq: int | None) -> None:
        self.numbers.append(seq)
        self._more.set()

    async def all(self, count: int) -> list[int | None]:
        async with asyncio.timeout(10):
            while len(self.numbers) < count:
                self._more.clear()
                await self._more.wait()
        return self.numbers


class HistoryContract:
    """A subclass provides the fixture `new_store`."""

    @pytest.fixture
    def new_store(self) -> Callable[[Retention], HistoryStore]:
        raise NotImplementedError

    @pytest.fixture
    def retention(self) -> Retention:
        return Retention()

    @pytest_asyncio.fixture
    async def store(
        self, new_store: Callable[[Retention], HistoryStore], retention: Retention
    ) -> AsyncIterator[HistoryStore]:
        store = new_store(retention)
        await store.start()
        yield store
        await store.stop()

    async def fill(self, room: RoomHistory, count: int, data: str = "xx") -> None:
        told = Told()
        for n in range(count):
            room.append(message(data, ts=1_000 + n * 1_000), told)
        await told.all(count)

    async def test_an_empty_room_holds_nothing(self, store: HistoryStore) -> None:
        room = store.open("acme", "lobby")
        assert (room.seq, room.oldest, room.numbers) == (0, 1, 0)
        assert 0 < len(room.epoch) <= 32
        assert list(room.read(limit=10)) == []
        assert list(room.receipts()) == []

    async def test_numbers_are_given_in_order(self, store: HistoryStore) -> None:
        room, told = store.open("acme", "lobby"), Told()
        for n in range(100):
            room.append(message(n), told)
        assert await told.all(100) == list(range(1, 101))
        assert (room.seq, room.oldest) == (100, 1)
        assert [one.data for one in room.read(limit=100)] == list(range(100))

    async def test_what_is_kept_is_what_was_said(self, store: HistoryStore) -> None:
        room, told = store.open("acme", "lobby"), Told()
        for data in (
            {"msg": 'käse \\ " \n \0 ☃'},
            None,
            [1.5, -1, True],
            "",
            2**53 - 1,
        ):
            room.append(NewMessage(7, "svc", "type", data), told)
        await told.all(5)
        found = room.read(limit=9)
        assert [one.data for one in found] == [
            {"msg": 'käse \\ " \n \0 ☃'},
            None,
            [1.5, -1, True],
            "",
            2**53 - 1,
        ]
        assert {(one.ts, one.svc, one.type) for one in found} == {(7, "svc", "type")}

    async def test_pages_go_both_ways(self, store: HistoryStore) -> None:
        room = store.open("acme", "lobby")
        await self.fill(room, 10)

        def page(limit: int, **where: int) -> list[int]:
            return [one.seq for one in room.read(limit=limit, **where)]

        assert page(3) == [8, 9, 10]
        assert page(3, before=8) == [5, 6, 7]
        assert page(3, before=2) == [1]
        assert page(3, before=1) == []
        assert page(3, before=99) == [8, 9, 10]
        assert page(3, after=0) == [1, 2, 3]
        assert page(3, after=8) == [9, 10]
        assert page(3, after=10) == page(3, after=99) == []
        assert page(9, after=3, before=6) == [4, 5]

    async def test_rooms_and_tenants_are_apart(self, store: HistoryStore) -> None:
        rooms = [store.open("a", "x"), store.open("a", "y"), store.open("b", "x")]
        for count, room in enumerate(rooms, 1):
            await self.fill(room, count)
        assert [room.seq for room in rooms] == [1, 2, 3]
        assert [len(room.read(limit=9)) for room in rooms] == [1, 2, 3]

    @pytest.mark.parametrize("retention", [Retention(messages=3)])
    async def test_what_is_kept_has_a_size(self, store: HistoryStore) -> None:
        room, told = store.open("acme", "lobby"), Told()
        assert room.size_since(0) == 0
        for data in ("", "x", "xx", "語"):
            room.append(message(data), told)
        await told.all(4)
        sizes = [ENVELOPE_BYTES + size for size in (3, 4, 5)]
        assert [room.size_since(after) for after in range(5)] == [
            sum(sizes),
            sum(sizes),
            sum(sizes[1:]),
            sizes[2],
            0,
        ]

    async def test_what_json_cannot_say_changes_nothing(
        self, store: HistoryStore
    ) -> None:
        room, told = store.open("acme", "lobby"), Told()
        with pytest.raises(ValueError):  # noqa: PT011 - each store has its own words
            room.append(message({1, 2}), told)
        room.append(message("fine"), told)
        assert await told.all(1) == [1]

    @pytest.mark.parametrize("retention", [Retention(messages=3)])
    async def test_so_many_messages_are_kept(self, store: HistoryStore) -> None:
        room = store.open("acme", "lobby")
        await self.fill(room, 10)
        assert (room.seq, room.oldest) == (10, 8)
        assert [one.seq for one in room.read(limit=50)] == [8, 9, 10]
        assert [one.seq for one in room.read(after=2, limit=50)] == [8, 9, 10]

    @pytest.mark.parametrize("retention", [Retention(messages=0)])
    async def test_none_may_be_kept(self, store: HistoryStore) -> None:
        room = store.open("acme", "lobby")
        await self.fill(room, 3)
        assert (room.seq, room.oldest) == (3, 4)
        assert list(room.read(limit=50)) == []

    @pytest.mark.parametrize("retention", [Retention(bytes=1_000)])
    async def test_so_many_bytes_are_kept(self, store: HistoryStore) -> None:
        room = store.open("acme", "lobby")
        await self.fill(room, 10, "x" * 200)
        assert 1 <= len(room.read(limit=50)) <= 5
        assert room.oldest == room.read(limit=50)[0].seq
        # One that is larger than all that is kept is forgotten at once.
        await self.fill(room, 1, "x" * 2_000)
        assert room.oldest == room.seq + 1

    @pytest.mark.parametrize("retention", [Retention(bytes=1_000)])
    async def test_bytes_are_counted_and_not_characters(
        self, store: HistoryStore
    ) -> None:
        room = store.open("acme", "lobby")
        # In JSON 302 bytes each, and an envelope's 128: two of them fit.
        await self.fill(room, 10, "語" * 100)
        assert [one.seq for one in room.read(limit=50)] == [9, 10]

    @pytest.mark.parametrize("retention", [Retention(age=3)])
    async def test_what_is_too_old_is_forgotten(self, store: HistoryStore) -> None:
        room = store.open("acme", "lobby")
        await self.fill(room, 10)
        assert [one.seq for one in room.read(limit=50)] == [7, 8, 9, 10]

    async def test_what_is_forgotten_is_gone_and_numbers_go_on(
        self, store: HistoryStore
    ) -> None:
        room, told = store.open("acme", "lobby"), Told()
        await self.fill(room, 3)
        room.append(message("on its way"), told)
        room.forget()
        room.append(message("after"), told)
        assert await told.all(2) == [4, 5]
        assert (room.seq, room.oldest) == (5, 5)
        assert [one.data for one in room.read(limit=9)] == ["after"]
        assert [one.seq for one in room.read(after=0, limit=9)] == [5]
        room.forget()
        assert (room.seq, room.oldest) == (5, 6)
        assert list(room.read(limit=9)) == []
