from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import pytest

from support.backplane_contract import BackplaneContract, text
from support.late_store import LateHistory, LateStore
from support.pure import ManualClock
from wsprism_core.backplane.memory import RESTING, MemoryBackplane
from wsprism_core.history.memory import MemoryStore
from wsprism_core.history.port import Remembered, Retention, StoreFull
from wsprism_core.realtime.channel import Receipt


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


class TestWithADurableStore(BackplaneContract):
    @pytest.fixture
    def store(self) -> LateStore:
        return LateStore()

    @pytest.fixture
    def backplane(self, store: LateStore) -> MemoryBackplane:
        self._store = store
        return MemoryBackplane(ManualClock(), store, idle_rooms=0)

    def settle(self) -> None:
        self._store.commit()

    def test_nothing_is_delivered_before_it_is_stored(
        self, backplane: MemoryBackplane, store: LateStore
    ) -> None:
        channel, ear = self.open(backplane)
        receipts: list[Receipt] = []
        channel.publish(text("a", dedup=("ann", "1")), receipts.append)
        channel.publish(text("b"), receipts.append)
        assert (ear.heard, receipts, channel.seq) == ([], [], 0)
        store.commit()
        assert ear.numbers == [1, 2]
        assert [receipt.seq for receipt in receipts] == [1, 2]

    def test_a_retry_of_what_waits_gets_the_same_receipt(
        self, backplane: MemoryBackplane, store: LateStore
    ) -> None:
        channel, ear = self.open(backplane)
        receipts: list[Receipt] = []
        for ack in ({"id": "a"}, {"id": "b"}):
            channel.publish(text(dedup=("ann", "1"), ack=ack), receipts.append)
        assert len(store.pending) == 1
        store.commit()
        assert [receipt.ack for receipt in receipts] == [{"id": "a"}] * 2
        assert len(ear.heard) == 1

    def test_what_cannot_be_stored_never_was(
        self, backplane: MemoryBackplane, store: LateStore
    ) -> None:
        channel, ear = self.open(backplane)
        receipts: list[Receipt] = []
        for _ in range(2):
            channel.publish(text(dedup=("ann", "1")), receipts.append)
        store.fail()
        assert [receipt.stored for receipt in receipts] == [False, False]
        assert ear.heard == []
        # The retry is the first of its kind.
        channel.publish(text(dedup=("ann", "1")), receipts.append)
        store.commit()
        assert (receipts[-1].stored, receipts[-1].seq, ear.numbers) == (True, 1, [1])

    def test_a_store_that_is_full_takes_nothing(
        self, backplane: MemoryBackplane, store: LateStore
    ) -> None:
        channel, _ = self.open(backplane)
        store.is_full = True
        with pytest.raises(StoreFull):
            channel.publish(text(dedup=("ann", "1")))
        store.is_full = False
        channel.publish(text(dedup=("ann", "1")))
        store.commit()
        assert channel.seq == 1

    def test_a_room_goes_on_where_it_was(
        self, backplane: MemoryBackplane, store: LateStore
    ) -> None:
        channel, _ = self.open(backplane)
        channel.publish(text())
        store.commit()
        epoch, n = channel.epoch, channel.enter("ann")
        channel.exit(n)
        channel.close()
        again, _ = self.open(backplane)
        assert (again.epoch, again.seq) == (epoch, 1)
        assert again.enter("ann") == n + 1

    def test_what_is_stored_after_everybody_went_is_kept(
        self, backplane: MemoryBackplane, store: LateStore
    ) -> None:
        channel, ear = self.open(backplane)
        channel.publish(text())
        channel.close()
        store.commit()
        assert ear.heard == []
        assert self.open(backplane)[0].seq == 1

    def test_who_comes_while_something_is_stored_hears_it(
        self, backplane: MemoryBackplane, store: LateStore
    ) -> None:
        channel, _ = self.open(backplane)
        receipts: list[Receipt] = []
        channel.publish(text(dedup=("ann", "1")), receipts.append)
        channel.close()
        again, ear = self.open(backplane)
        again.publish(text(dedup=("ann", "1")), receipts.append)
        assert (again.seq, ear.heard) == (0, [])
        store.commit()
        # Its number is above the one that the newcomer was told, so it is his too.
        assert ear.numbers == [1]
        assert [receipt.seq for receipt in receipts] == [1, 1]

    def test_a_room_is_let_go_of_once_all_is_stored(
        self, backplane: MemoryBackplane, store: LateStore
    ) -> None:
        channel, _ = self.open(backplane)
        for n in range(2):
            channel.publish(text(n))
        channel.close()
        history = store.open("acme", "lobby")
        store.pending.popleft()(True)
        assert not history.is_closed
        store.pending.popleft()(False)
        assert history.is_closed

    def test_a_publisher_may_let_go_of_the_room_when_it_is_told(
        self, backplane: MemoryBackplane, store: LateStore
    ) -> None:
        channel, _ = self.open(backplane)
        channel.publish(text(), lambda receipt: channel.close())
        store.commit()
        assert store.open("acme", "lobby").is_closed
        assert self.open(backplane)[0].seq == 1


def test_a_room_of_a_durable_store_is_not_read_again_at_once() -> None:
    store = LateStore()
    backplane = MemoryBackplane(ManualClock(), store)
    ears = TestWithADurableStore()
    for n in range(RESTING + 1):
        channel, _ = ears.open(backplane, room=f"r{n}")
        channel.publish(text(dedup=("ann", "1")))
        store.commit()
        channel.close()
    closed = [store.open("acme", f"r{n}").is_closed for n in range(RESTING + 1)]
    assert closed == [True] + [False] * RESTING
    again, ear = ears.open(backplane, room="r1")
    again.publish(text(dedup=("ann", "1")))
    assert (again.seq, ear.heard, len(store.pending)) == (1, [], 0)


def test_coming_and_going_reads_no_receipts() -> None:
    class Unread(LateHistory):
        __slots__ = ()

        def receipts(self) -> Sequence[Remembered]:
            raise AssertionError

    store = LateStore()
    store._rooms["acme", "lobby"] = Unread(store, "e")
    ears = TestWithADurableStore()
    channel, _ = ears.open(MemoryBackplane(ManualClock(), store))
    channel.exit(channel.enter("ann"))
    with pytest.raises(AssertionError):
        channel.publish(text(dedup=("ann", "1")))
    channel.close()
