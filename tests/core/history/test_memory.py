from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest

from support.history_contract import HistoryContract
from wsprism_core.history.memory import MemoryStore
from wsprism_core.history.port import HistoryStore, Retention


class TestMemoryStore(HistoryContract):
    @pytest.fixture
    def new_store(self) -> Callable[[Retention], HistoryStore]:
        epochs = count()

        def make(retention: Retention) -> HistoryStore:
            return MemoryStore(
                lambda: f"e{next(epochs)}", lambda tenant, room: retention
            )

        return make

    async def test_a_room_begins_anew(self, store: HistoryStore) -> None:
        room = store.open("acme", "lobby")
        await self.fill(room, 3)
        room.close()
        again = store.open("acme", "lobby")
        assert again.seq == 0
        assert again.epoch != room.epoch
