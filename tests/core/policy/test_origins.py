from __future__ import annotations

import pytest

from wsprism_core.policy.origins import OriginPolicy

POLICY = OriginPolicy(["https://good.com", "https://*.good.com", "http://dev:8080"])


@pytest.mark.parametrize(
    "origin",
    [
        "https://good.com",
        "https://GOOD.com",
        "https://app.good.com",
        "https://a.b.good.com",
        "http://dev:8080",
    ],
)
def test_allowed(origin: str) -> None:
    assert POLICY.allows([origin])


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.com",
        "null",
        "",
        "https://good.com.evil.com",
        "https://evilgood.com",
        "http://good.com",
        "https://good.com:8443",
        "https://.good.com",
        "https://evil.com/.good.com",
        "https://evil.com?.good.com",
        "https://evil.com#.good.com",
        "https://user@evil.com:1.good.com",
        "http://dev:8081",
    ],
)
def test_refused(origin: str) -> None:
    assert not POLICY.allows([origin])


def test_two_headers_are_refused() -> None:
    assert not POLICY.allows(["https://good.com", "https://good.com"])


def test_no_header_is_no_browser_page() -> None:
    assert POLICY.allows([])


def test_without_a_list_any_origin_passes() -> None:
    assert OriginPolicy(None).allows(["https://anywhere.com"])


def test_an_empty_list_refuses_every_page() -> None:
    assert not OriginPolicy([]).allows(["https://good.com"])
