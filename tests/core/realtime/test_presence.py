from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wsprism_core.realtime.presence import PresenceBatch


def test_those_who_were_there_hear_of_joins_and_leaves() -> None:
    batch = PresenceBatch()
    batch.enter(7, "user:ann")
    batch.exit(3)
    assert batch.news().as_data() == {
        "joined": [{"n": 7, "user": "user:ann"}],
        "left": [{"n": 3}],
    }


def test_nobody_hears_of_who_came_and_went_meanwhile() -> None:
    batch = PresenceBatch()
    batch.enter(7, "user:ann")
    batch.exit(7)
    assert not batch.news()


def test_a_newcomer_hears_only_what_came_after_it() -> None:
    batch = PresenceBatch()
    batch.enter(1, "user:ann")
    batch.enter(2, "user:bob")
    batch.enter(3, "user:cid")
    places = dict(batch.newcomers())
    assert batch.news(places[2]).as_data() == {
        "joined": [{"n": 3, "user": "user:cid"}],
        "left": [],
    }
    assert not batch.news(places[3])


def test_a_newcomer_that_saw_another_newcomer_hears_that_it_left() -> None:
    batch = PresenceBatch()
    batch.enter(1, "user:ann")
    batch.enter(2, "user:bob")
    batch.exit(1)
    places = dict(batch.newcomers())
    assert batch.news(places[2]).left == [{"n": 1}]
    assert batch.news().left == []


changes = st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=40)


@given(start=st.sets(st.integers(100, 105)), changes=changes)
def test_every_member_ends_up_with_the_true_list(
    start: set[int], changes: list[tuple[bool, int]]
) -> None:
    """Each keeps what its `joined` said, applies the news, and is right."""
    batch = PresenceBatch()
    present = dict.fromkeys(start)
    views = {n: set(start) for n in start}
    number = 200
    for joins, which in changes:
        if joins or not present:
            number += 1
            batch.enter(number, f"user:{number}")
            present[number] = None
            views[number] = set(present)
        else:
            gone = list(present)[which % len(present)]
            batch.exit(gone)
            del present[gone]
            del views[gone]
    places = dict(batch.newcomers())
    for n, view in views.items():
        news = batch.news(places.get(n, PresenceBatch.BEFORE))
        joined = {row["n"] for row in news.joined}
        left = {row["n"] for row in news.left}
        assert n not in joined
        assert not joined & view
        assert left <= view
        assert (view | joined) - left == set(present)


def test_much_news_is_told_in_pages() -> None:
    batch = PresenceBatch()
    for n in range(7):
        batch.enter(n, f"user:{n}")
    for n in (20, 21, 22):
        batch.exit(n)
    pages = list(batch.news().pages(3))
    assert [(len(page.joined), len(page.left)) for page in pages] == [
        (3, 3),
        (3, 0),
        (1, 0),
    ]
    assert [row["n"] for page in pages for row in page.joined] == list(range(7))
    assert list(PresenceBatch().news().pages(3)) == []
