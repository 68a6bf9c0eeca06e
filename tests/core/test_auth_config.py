from __future__ import annotations

from pathlib import Path

import pytest

from support.tokens import SECRET_KEY
from wsprism_core.auth_config import AuthConfig
from wsprism_core.config import ConfigError
from wsprism_core.settings.file import load_config

KEY = f"keys: [{{secret: {SECRET_KEY}}}]"


def auth(tmp_path: Path, section: str) -> AuthConfig:
    path = tmp_path / "wsprism.yaml"
    text = f"version: 1\ntenants:\n  - id: acme\n    auth: {section}\n"
    path.write_text(text, encoding="utf-8")
    return load_config(path, environ={}).tenants[0].auth


def problem(tmp_path: Path, section: str) -> str:
    with pytest.raises(ConfigError) as caught:
        auth(tmp_path, section)
    (only,) = caught.value.problems
    # Which line it is, depends on how the section is written.
    return only.partition("tenants[0].auth")[2]


def jwt_problem(tmp_path: Path, section: str) -> str:
    return problem(tmp_path, f"{{jwt: [{section}]}}").removeprefix(".jwt[0]")


def test_the_defaults(tmp_path: Path) -> None:
    nothing = auth(tmp_path, "{}")
    assert not nothing.has_source
    assert nothing.jwt == []
    connect = nothing.connect_tickets
    assert (connect.enabled, connect.ttl_ms, connect.max_pending) == (
        False,
        30_000,
        10_000,
    )
    (issuer,) = auth(tmp_path, f"{{jwt: [{{algorithms: [HS256], {KEY}}}]}}").jwt
    assert (issuer.issuer, issuer.audience, issuer.jwks_url) == (None, None, None)
    assert (issuer.jwks_cache_s, issuer.jwks_retry_s, issuer.leeway_s) == (300, 10, 5)
    assert (issuer.user_claim, issuer.rooms_claim) == ("sub", "rooms")


@pytest.mark.parametrize(
    "section",
    [
        f"{{jwt: [{{algorithms: [HS256], {KEY}}}]}}",
        "{connect_tickets: {enabled: true}}",
    ],
)
def test_a_source_of_tickets(tmp_path: Path, section: str) -> None:
    assert auth(tmp_path, section).has_source


@pytest.mark.parametrize(
    ("section", "said"),
    [
        (f"{{{KEY}}}", ".algorithms: Field required"),
        (f"{{algorithms: [], {KEY}}}", ".algorithms: List should have at least 1"),
        (f"{{algorithms: [none], {KEY}}}", ".algorithms[0]: Input should be 'HS256'"),
        ("{algorithms: [HS256]}", ": needs keys, a jwks_url, or both"),
        (
            "{algorithms: [HS256], jwks_url: 'https://id.example/jwks'}",
            ": jwks_url needs an algorithm of RS, ES or EdDSA",
        ),
        (
            "{algorithms: [RS256], keys: [{kid: a}]}",
            ".keys[0]: needs one of secret, secret_env and file, and only one",
        ),
        (
            f"{{algorithms: [HS256], keys: [{{file: a, secret: {SECRET_KEY}}}]}}",
            ".keys[0]: needs one of secret, secret_env and file, and only one",
        ),
        (
            f"{{algorithms: [HS256], leeway_s: -1, {KEY}}}",
            ".leeway_s: Input should be greater than or equal to 0",
        ),
        (
            f"{{algorithms: [HS256], isuer: a, {KEY}}}",
            ".isuer: unknown key; did you mean 'issuer'?",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(
    tmp_path: Path, section: str, said: str
) -> None:
    assert jwt_problem(tmp_path, section).startswith(said)


def test_a_secret_has_32_bytes_and_is_not_shown(tmp_path: Path) -> None:
    short = SECRET_KEY[:31]
    section = f"{{algorithms: [HS256], keys: [{{secret: {short}}}]}}"
    said = jwt_problem(tmp_path, section)
    assert said.startswith(".keys[0].secret: must have at least 32 bytes")
    assert short not in said
    config = auth(tmp_path, f"{{jwt: [{{algorithms: [HS256], {KEY}}}]}}")
    assert SECRET_KEY not in repr(config)
    assert SECRET_KEY not in config.model_dump_json()


@pytest.mark.parametrize(
    "url",
    [
        "https://id.example/jwks",
        "http://127.0.0.1:1/jwks",
        "http://[::1]/",
        "http://localhost",
    ],
)
def test_where_keys_may_be_published(tmp_path: Path, url: str) -> None:
    section = f"{{jwt: [{{algorithms: [RS256], jwks_url: '{url}'}}]}}"
    assert auth(tmp_path, section).jwt[0].jwks_url == url


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://id.example/jwks", "must be an https:// address"),
        ("http://127.0.0.1.evil.example/", "must be an https:// address"),
        ("file:///etc/passwd", "must be an https:// address"),
        ("ftp://127.0.0.1/", "must be an https:// address"),
        ("https://", "must name a host"),
        ("https://ann:pass@id.example/", "must name a host, and neither a user"),
        ("https://[::1", "Invalid IPv6 URL"),
    ],
)
def test_where_they_may_not(tmp_path: Path, url: str, said: str) -> None:
    found = jwt_problem(tmp_path, f"{{algorithms: [RS256], jwks_url: '{url}'}}")
    assert found.startswith(f".jwks_url: {said}")
