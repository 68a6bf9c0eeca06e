from __future__ import annotations

from collections import Counter
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from wsprism_chat import filters
from wsprism_chat.filters import (
    FILTER_FAILURES,
    FILTERED,
    FILTERS_GROUP,
    Allow,
    Filter,
    FilterChain,
    FilterInput,
    Passed,
    Reject,
    Rewrite,
    Shadow,
    load_filters,
)
from wsprism_core import ErrorCode, ProtocolError

HELLO = FilterInput("acme", "r1", "user:ann", "hello", False)


def chain(*verdicts: Any, **options: Any) -> FilterChain:
    """Return a chain of filters, each with one answer; an exception is raised."""

    def answering(verdict: Any) -> Filter:
        def check(given: FilterInput) -> Any:
            if isinstance(verdict, Exception):
                raise verdict
            return verdict(given) if callable(verdict) else verdict

        return check

    return FilterChain(
        [(f"f{n}", answering(one)) for n, one in enumerate(verdicts)], **options
    )


def test_a_chain_of_none_is_nothing() -> None:
    assert not chain()
    assert chain().run(HELLO) == Passed("hello")


def test_each_filter_sees_what_the_ones_before_left() -> None:
    seen: list[str] = []

    def louder(given: FilterInput) -> Rewrite:
        seen.append(given.text)
        return Rewrite(f"{given.text}!")

    assert chain(louder, Allow(), louder).run(HELLO) == Passed("hello!!")
    assert seen == ["hello", "hello!"]


def test_a_refusal_ends_it_and_says_why() -> None:
    asked: list[FilterInput] = []
    with pytest.raises(ProtocolError) as refused:
        chain(Reject("no such words"), asked.append).run(HELLO)
    assert (refused.value.code, refused.value.msg) == (
        ErrorCode.NOT_ALLOWED,
        "no such words",
    )
    assert asked == []


def test_a_shadow_stays_whatever_follows() -> None:
    assert chain(Shadow(), Rewrite("x"), Allow()).run(HELLO) == Passed("x", shadow=True)


@pytest.mark.parametrize(
    "failure", [RuntimeError("x"), None, "allow", Rewrite(""), Rewrite("x" * 11)]
)
def test_a_filter_that_fails_lets_nothing_pass_unless_told_so(
    failure: Any, caplog: pytest.LogCaptureFixture
) -> None:
    counts: Counter[str] = Counter()
    count = lambda name: counts.update([name])  # noqa: E731
    with pytest.raises(ProtocolError) as refused:
        chain(failure, max_length=10, count=count).run(HELLO)
    assert refused.value.code is ErrorCode.INTERNAL
    open_ = chain(failure, Rewrite("next"), failure="allow", max_length=10, count=count)
    assert open_.run(HELLO) == Passed("next")
    assert counts == {FILTER_FAILURES: 2, FILTERED: 1}


def test_what_did_not_pass_as_it_was_is_counted() -> None:
    counts: Counter[str] = Counter()
    count = lambda name: counts.update([name])  # noqa: E731
    chain(Allow(), count=count).run(HELLO)
    assert not counts
    chain(Rewrite("x"), Shadow(), count=count).run(HELLO)
    with pytest.raises(ProtocolError):
        chain(Shadow(), Reject("no"), count=count).run(HELLO)
    assert counts == {FILTERED: 2}


def test_filters_are_loaded_in_the_order_of_their_names() -> None:
    options: dict[str, dict[str, Any]] = {
        "words": {"words": ["x"]},
        "urls": {"hosts": []},
    }
    assert [name for name, _ in load_filters(["urls", "words"], options)] == [
        "urls",
        "words",
    ]
    assert load_filters([], {}) == []


@pytest.mark.parametrize(
    ("names", "options", "told"),
    [
        (["wrods"], {}, "no filter 'wrods'; installed are urls, words"),
        ([], {"words": {}}, "filter_options has 'words', which filters does not name"),
        (["words"], {}, "filter_options.words: words: Field required"),
        (["urls"], {"urls": {"host": []}}, "filter_options.urls: hosts: Field"),
    ],
)
def test_what_cannot_be_loaded_is_told(
    names: list[str], options: dict[str, dict[str, Any]], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        load_filters(names, options)


def test_two_of_a_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    twice = [EntryPoint("words", "x:y", FILTERS_GROUP)] * 2
    monkeypatch.setattr(filters, "entry_points", lambda group: twice)
    with pytest.raises(ValueError, match="2 distributions offer a filter 'words'"):
        load_filters(["words"], {})
