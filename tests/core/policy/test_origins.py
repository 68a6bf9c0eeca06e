from __future__ import annotations

import pytest

from wsprism_core.policy.origins import (
    OriginPolicy,
    check_origin_pattern,
    is_loopback,
)

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
        "https://a..good.com",
        "https://*.good.com",
        "https://a.good.com.",
        "https://a.good.com/",
        "https://a\xe9.good.com",
        "https://a.good.com\n",
        "https://evilgood.com.good.com:443",
    ],
)
def test_refused(origin: str) -> None:
    assert not POLICY.allows([origin])


@pytest.mark.parametrize(
    ("pattern", "compared"),
    [
        ("https://App.Good.com", "https://app.good.com"),
        ("https://*.good.com:8443", "https://*.good.com:8443"),
        ("http://[::1]:5173", "http://[::1]:5173"),
        ("chrome-extension://abcdefgh", "chrome-extension://abcdefgh"),
    ],
)
def test_a_pattern_is_compared_in_lower_case(pattern: str, compared: str) -> None:
    assert check_origin_pattern(pattern) == compared


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [
        # Every one of these would allow nobody, or more than it seems to.
        ("*", "https://app.example.com"),
        ("null", "https://app.example.com"),
        ("good.com", "https://app.example.com"),
        ("*.good.com", "https://app.example.com"),
        ("https://*", "https://app.example.com"),
        ("https://*good.com", "https://app.example.com"),
        ("https://a.*.good.com", "https://app.example.com"),
        ("https://*.*.good.com", "https://app.example.com"),
        ("https://good.com/", "no path"),
        ("https://good.com/app", "no path"),
        ("https://me@good.com", "https://app.example.com"),
        ("https://g\xf6\xf6d.com", "https://app.example.com"),
        ("https://good.com:443", "'https://good.com'"),
        ("http://*.good.com:80", r"'http://\*.good.com'"),
        ("", "https://app.example.com"),
    ],
)
def test_a_pattern_that_no_browser_sends_is_refused(pattern: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        OriginPolicy([pattern])


def test_two_headers_are_refused() -> None:
    assert not POLICY.allows(["https://good.com", "https://good.com"])


def test_no_header_is_no_browser_page() -> None:
    assert POLICY.allows([])


def test_without_a_list_any_origin_passes() -> None:
    assert OriginPolicy(None).allows(["https://anywhere.com"])


def test_an_empty_list_refuses_every_page() -> None:
    assert not OriginPolicy([]).allows(["https://good.com"])


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost",
        "http://localhost:3000",
        "https://app.localhost:8443",
        "http://127.0.0.1:8080",
        "http://127.1.2.3",
        "http://[::1]:5173",
    ],
)
def test_with_development_tickets_pages_of_this_machine_pass(origin: str) -> None:
    assert OriginPolicy(None, loopback_only=True).allows([origin])


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example",
        "http://evil.example:127",
        "http://notlocalhost",
        "file://localhost",
    ],
)
def test_with_development_tickets_no_other_page_does(origin: str) -> None:
    assert not OriginPolicy(None, loopback_only=True).allows([origin])


def test_with_development_tickets_a_configured_list_counts() -> None:
    policy = OriginPolicy(["https://good.com"], loopback_only=True)
    assert policy.allows(["https://good.com"])
    assert not policy.allows(["http://localhost"])


def test_with_development_tickets_no_header_is_no_browser_page() -> None:
    assert OriginPolicy(None, loopback_only=True).allows([])


@pytest.mark.parametrize(
    ("host", "is_one"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("localhost", True),
        ("LOCALHOST", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example.com", False),
        ("127.0.0.1.example.com", False),
        ("", False),
    ],
)
def test_loopback(host: str, is_one: bool) -> None:
    assert is_loopback(host) is is_one
