"""What every backplane must do; a third-party one runs it by inheriting the class."""

from __future__ import annotations

import pytest

from wsprism_core.backplane.port import Backplane
from wsprism_core.realtime.channel import (
    Channel,
    FramePublication,
    Publication,
    Receipt,
    TextPublication,
)


class Ear:
    """A gateway's side of a channel that writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[object] = []
        self.numbers: list[int | None] = []
        self.failure: ValueError | None = None

    def check(self, publication: Publication) -> None:
        if self.failure is not None:
            raise self.failure

    def published(self, publication: Publication, receipt: Receipt) -> None:
        if self.failure is not None:
            raise self.failure
        self.heard.append((publication, receipt.seq))
        self.numbers.append(receipt.seq)

    def entered(self, n: int, user: str) -> None:
        self.heard.append(("entered", n, user))

    def exited(self, n: int) -> None:
        self.heard.append(("exited", n))


class Named(Ear):
    """A gateway's side of a channel that signs a list when it hears something."""

    def __init__(self, name: str, order: list[str]) -> None:
        super().__init__()
        self._name = name
        self._order = order

    def published(self, publication: Publication, receipt: Receipt) -> None:
        self._order.append(self._name)


def text(data: object = "hi", **options: object) -> TextPublication:
    return TextPublication("chat", "msg", data, recoverable=True, **options)  # type: ignore[arg-type]


class BackplaneContract:
    """Two gateways share a backplane and a room.

    Subclasses provide the fixture `backplane`, and `settle` if theirs needs a moment.
    """

    @pytest.fixture
    def backplane(self) -> Backplane:
        raise NotImplementedError

    def settle(self) -> None:
        """Let everything arrive that is under way."""

    def open(
        self, backplane: Backplane, room: str = "lobby", tenant: str = "acme"
    ) -> tuple[Channel, Ear]:
        ear = Ear()
        return backplane.open(tenant, room, ear), ear

    def test_what_one_gateway_publishes_reaches_both(
        self, backplane: Backplane
    ) -> None:
        (one, ear), (_, other) = self.open(backplane), self.open(backplane)
        one.publish(text())
        self.settle()
        assert ear.heard == other.heard == [(text(), 1)]

    def test_the_room_has_one_order_whoever_publishes(
        self, backplane: Backplane
    ) -> None:
        (one, ear), (two, other) = self.open(backplane), self.open(backplane)
        for n in range(6):
            (one, two)[n % 2].publish(text(n))
        self.settle()
        assert ear.heard == other.heard
        assert ear.numbers == [1, 2, 3, 4, 5, 6]
        assert one.seq == two.seq == 6

    def test_the_publisher_is_the_first_to_hear(self, backplane: Backplane) -> None:
        order: list[str] = []

        def named(name: str) -> Channel:
            return backplane.open("acme", "lobby", Named(name, order))

        named("other")
        channel = named("own")
        channel.publish(text())
        self.settle()
        assert order == ["own", "other"]

    def test_what_is_not_recoverable_takes_no_number(
        self, backplane: Backplane
    ) -> None:
        channel, ear = self.open(backplane)
        channel.publish(TextPublication("chat", "typing", None))
        channel.publish(FramePublication(1, 2, b"jump"))
        channel.publish(text())
        self.settle()
        assert ear.numbers == [None, None, 1]

    def test_the_publisher_is_told_number_time_and_its_own_words(
        self, backplane: Backplane
    ) -> None:
        channel, _ = self.open(backplane)
        receipts: list[Receipt] = []
        channel.publish(text(ack={"id": "m1"}), receipts.append)
        self.settle()
        (receipt,) = receipts
        assert receipt.seq == 1
        assert receipt.ts is not None
        assert receipt.ack == {"id": "m1"}

    def test_a_retry_is_not_sent_again_and_gets_the_first_receipt(
        self, backplane: Backplane
    ) -> None:
        (one, ear), (two, _) = self.open(backplane), self.open(backplane)
        receipts: list[Receipt] = []
        one.publish(text(dedup=("ann", "1"), ack={"id": "a"}), receipts.append)
        two.publish(text(dedup=("ann", "1"), ack={"id": "b"}), receipts.append)
        two.publish(text(dedup=("bob", "1"), ack={"id": "c"}), receipts.append)
        self.settle()
        assert [r.ack for r in receipts] == [{"id": "a"}, {"id": "a"}, {"id": "c"}]
        assert [r.seq for r in receipts] == [1, 1, 2]
        assert len(ear.heard) == 2

    def test_what_was_published_is_known_by_its_id(self, backplane: Backplane) -> None:
        (one, ear), (two, _) = self.open(backplane), self.open(backplane)
        receipts: list[Receipt] = []
        assert not one.repeats(("ann", "1"), receipts.append)
        one.publish(text(dedup=("ann", "1"), ack={"id": "a"}))
        # It may be on its way still; whoever asks is told once it is there.
        assert one.repeats(("ann", "1"), receipts.append)
        self.settle()
        assert two.repeats(("ann", "1"), receipts.append)
        assert two.repeats(("ann", "1"))
        assert not two.repeats(("bob", "1"), receipts.append)
        assert [(one.seq, one.ack) for one in receipts] == [(1, {"id": "a"})] * 2
        assert len(ear.heard) == 1

    def test_what_others_say_makes_no_retry_a_new_message(
        self, backplane: Backplane
    ) -> None:
        channel, ear = self.open(backplane)
        channel.publish(text(dedup=("ann", "1")))
        for n in range(1_100):
            channel.publish(text(dedup=("bob", str(n))))
        self.settle()
        channel.publish(text(dedup=("ann", "1")))
        self.settle()
        assert len(ear.heard) == 1_101

    def test_the_size_of_what_came_later(self, backplane: Backplane) -> None:
        channel, _ = self.open(backplane)
        assert channel.size_since(0) == 0
        for n in (10, 100, 1_000):
            channel.publish(text("x" * n))
        self.settle()
        sizes = [channel.size_since(after) for after in range(4)]
        assert sizes[3] == 0
        # In JSON a text is two longer, and an envelope is some more.
        assert sizes[0] - sizes[1] < sizes[1] - sizes[2] == sizes[2] - 900
        assert sizes[2] > 1_002

    def test_what_cannot_be_encoded_changes_nothing(self, backplane: Backplane) -> None:
        channel, ear = self.open(backplane)
        ear.failure = ValueError("no")
        receipts: list[Receipt] = []
        with pytest.raises(ValueError, match="no"):
            channel.publish(text(dedup=("ann", "1")), receipts.append)
        ear.failure = None
        channel.publish(text(dedup=("ann", "1")), receipts.append)
        self.settle()
        assert [r.seq for r in receipts] == [1]

    def test_rooms_and_tenants_are_apart(self, backplane: Backplane) -> None:
        channel, _ = self.open(backplane)
        _, other_room = self.open(backplane, room="arena")
        _, other_tenant = self.open(backplane, tenant="other")
        channel.publish(text())
        channel.enter("ann")
        self.settle()
        assert other_room.heard == other_tenant.heard == []

    def test_members_of_both_gateways_are_in_one_directory(
        self, backplane: Backplane
    ) -> None:
        (one, _), (two, other) = self.open(backplane), self.open(backplane)
        ann, bob = one.enter("ann"), two.enter("bob")
        self.settle()
        assert ann != bob
        assert dict(one.members()) == dict(two.members()) == {ann: "ann", bob: "bob"}
        one.exit(ann)
        self.settle()
        assert dict(two.members()) == {bob: "bob"}
        assert other.heard == [
            ("entered", ann, "ann"),
            ("entered", bob, "bob"),
            ("exited", ann),
        ]

    def test_member_numbers_are_not_reused(self, backplane: Backplane) -> None:
        channel, _ = self.open(backplane)
        first = channel.enter("ann")
        channel.exit(first)
        assert channel.enter("ann") > first

    def test_a_closed_channel_hears_nothing_more(self, backplane: Backplane) -> None:
        (one, _), (two, ear) = self.open(backplane), self.open(backplane)
        two.close()
        one.publish(text())
        self.settle()
        assert ear.heard == []

    def test_what_is_forgotten_is_gone_for_every_gateway(
        self, backplane: Backplane
    ) -> None:
        channel, _ = self.open(backplane)
        other, _ = self.open(backplane)
        channel.publish(text(1))
        self.settle()
        channel.forget()
        other.publish(text(2))
        self.settle()
        for one in (channel, other):
            found = one.history(before=None, after=0, limit=9)
            assert [row["seq"] for row in found] == [2]
            assert (one.seq, one.oldest) == (2, 2)

    def test_history_pages_both_ways(self, backplane: Backplane) -> None:
        channel, _ = self.open(backplane)
        for n in range(1, 8):
            channel.publish(text(n))
        self.settle()

        def numbers(before: int | None, after: int | None, limit: int) -> list[int]:
            found = channel.history(before=before, after=after, limit=limit)
            return [row["seq"] for row in found]

        assert numbers(None, None, 3) == [5, 6, 7]
        assert numbers(5, None, 3) == [2, 3, 4]
        assert numbers(None, 2, 3) == [3, 4, 5]
        assert numbers(None, None, 0) == []
        (row,) = channel.history(before=2, after=None, limit=1)
        assert row["data"] == 1
        assert set(row) == {"svc", "type", "room", "seq", "ts", "data"}

    def test_a_room_keeps_its_past_while_nobody_is_there(
        self, backplane: Backplane
    ) -> None:
        channel, _ = self.open(backplane)
        channel.publish(text())
        self.settle()
        epoch = channel.epoch
        channel.close()
        again, _ = self.open(backplane)
        assert (again.epoch, again.seq) == (epoch, 1)

    def test_epochs_are_short_and_differ(self, backplane: Backplane) -> None:
        (one, _), (two, _) = self.open(backplane), self.open(backplane, room="arena")
        assert one.epoch != two.epoch
        assert 0 < len(one.epoch) <= 32
