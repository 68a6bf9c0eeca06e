from __future__ import annotations

from itertools import count

import pytest

from support.backplane_contract import BackplaneContract, text
from support.pure import ManualClock
from wsprism_core.backplane.memory import MemoryBackplane
from wsprism_core.history.memory import MemoryStore
from wsprism_core.history.port import Retention


def new_backplane(messages: int = 100, **options: int) -> MemoryBackplane:
    epochs = count()
    store = MemoryStore(
        lambda: f"e{next(epochs)}", lambda tenant, room: Retention(messages=messages)
    )
    return MemoryBackplane(ManualClock(), store, **options)


class TestMemoryBackplane(BackplaneContract):
    @pytest.fixture
    def backplane(self) -> MemoryBackplane:
        return new_backplane()

    def test_history_is_bounded(self) -> None:
        channel, _ = self.open(new_backplane(messages=3))
        for n in range(9):
            channel.publish(text(n))
        found = channel.history(before=None, after=None, limit=50)
        assert [row["seq"] for row in found] == [7, 8, 9]

    def test_remembered_ids_are_bounded(self) -> None:
        channel, ear = self.open(new_backplane(dedup_window=2))
        for id in ("1", "2", "3", "1"):
            channel.publish(text(dedup=("ann", id)))
        assert len(ear.heard) == 4

    def test_idle_rooms_are_bounded_and_begin_anew(self) -> None:
        backplane = new_backplane(idle_rooms=1)
        epochs = []
        for room in ("a", "b"):
            channel, _ = self.open(backplane, room=room)
            channel.publish(text())
            epochs.append(channel.epoch)
            channel.close()
        again, _ = self.open(backplane, room="b")
        assert again.epoch == epochs[1]
        forgotten, _ = self.open(backplane, room="a")
        assert forgotten.epoch not in epochs
        assert forgotten.seq == 0

    def test_a_room_without_a_past_is_forgotten_at_once(self) -> None:
        backplane = new_backplane()
        channel, _ = self.open(backplane)
        epoch = channel.epoch
        channel.close()
        assert self.open(backplane)[0].epoch != epoch

    async def test_starting_and_stopping_need_nothing(self) -> None:
        backplane = new_backplane()
        await backplane.start()
        await backplane.stop()
