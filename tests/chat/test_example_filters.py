from __future__ import annotations

from typing import Any

import pytest

from wsprism_chat.example_filters import urls, words
from wsprism_chat.filters import Allow, FilterInput, Reject, Rewrite, Shadow


def text(msg: str) -> FilterInput:
    return FilterInput("acme", "r1", "user:ann", msg, False)


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("darn", "****"),
        ("Oh DARN, darn!", "Oh ****, ****!"),
        ("a+b is a word", "*** is a word"),
        ("darning is a craft", None),
        ("", None),
    ],
)
def test_whole_words_become_stars(said: str, heard: str | None) -> None:
    check = words({"words": ["darn", "a+b"]})
    verdict = check(text(said))
    assert verdict == (Allow() if heard is None else Rewrite(heard))


def test_words_may_refuse_or_shadow() -> None:
    rejecting = words({"words": ["darn"], "action": "reject"})
    assert isinstance(rejecting(text("darn")), Reject)
    assert words({"words": ["darn"], "action": "shadow"})(text("darn")) == Shadow()


@pytest.mark.parametrize(
    "said",
    [
        "no link at all",
        "http://example.com",
        "see https://EXAMPLE.com/path?q=1#x and www.example.com",
        "https://docs.example.com:8443/",
        "a.b://",
    ],
)
def test_links_to_hosts_that_are_named_pass(said: str) -> None:
    assert urls({"hosts": ["example.com"]})(text(said)) == Allow()


@pytest.mark.parametrize(
    "said",
    [
        "http://evil.com",
        "https://example.com.evil.com",
        "https://evilexample.com",
        "https://example.com@evil.com/",
        "https://evil.com\\@example.com",
        "javascript://example.com/%0aalert(1) and http://evil.com",
        "www.evil.com",
        "http://[::1",
        "HTTP://EVIL.COM",
        "fine http://example.com but http://evil.com",
    ],
)
def test_any_other_link_is_refused(said: str) -> None:
    assert isinstance(urls({"hosts": ["example.com"]})(text(said)), Reject)


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (words, {}),
        (words, {"words": []}),
        (words, {"words": [""]}),
        (words, {"words": ["x"], "action": "burn"}),
        (urls, {}),
        (urls, {"hosts": "example.com"}),
        (urls, {"hosts": [], "more": 1}),
    ],
)
def test_wrong_options_are_told(make: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^\w+(\.\d+)?: "):
        make(options)
