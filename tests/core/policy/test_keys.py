from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jwt
import pytest

from support.tokens import (
    SECRET_KEY,
    ed_key,
    jwk_of,
    jwks_of,
    key_for,
    pem_of,
    private_pem_of,
    rsa_key,
    write_pem,
)
from wsprism_core.auth_config import JwtKeyConfig
from wsprism_core.policy.keys import (
    MAX_JWKS_KEYS,
    Key,
    KeyFault,
    configured_key,
    keys_of_jwks,
)


def configured(environ: dict[str, str] | None = None, **config: Any) -> Key:
    return configured_key(JwtKeyConfig(**config), environ or {})


def fault(environ: dict[str, str] | None = None, **config: Any) -> str:
    with pytest.raises(KeyFault) as caught:
        configured(environ, **config)
    return str(caught.value)


def test_a_secret_is_for_hmac_alone() -> None:
    for key in (
        configured(kid="k", secret=SECRET_KEY),
        configured({"KEY": SECRET_KEY}, kid="k", secret_env="KEY"),
    ):
        assert (key.kid, key.material) == ("k", SECRET_KEY.encode())
        assert key.algorithms == {"HS256", "HS384", "HS512"}


@pytest.mark.parametrize(
    ("name", "algorithms"),
    [
        ("RS256", {"RS256", "RS384", "RS512"}),
        ("ES256", {"ES256"}),
        ("ES384", {"ES384"}),
        ("ES512", {"ES512"}),
        ("EdDSA", {"EdDSA"}),
    ],
)
def test_a_public_key_is_for_what_it_is(
    tmp_path: Path, name: str, algorithms: set[str]
) -> None:
    key = key_for(name)
    from_file = configured(file=write_pem(tmp_path, key))
    (from_jwks,) = keys_of_jwks(jwks_of(jwk_of(key, kid="k")))
    assert from_file.algorithms == from_jwks.algorithms == algorithms
    assert (from_file.kid, from_jwks.kid) == (None, "k")


def test_a_secret_that_is_short_or_missing_is_refused_and_not_shown() -> None:
    short = SECRET_KEY[:31]
    said = fault({"KEY": short}, secret_env="KEY")
    assert "fewer than 32 bytes" in said
    assert short not in said
    assert "the environment has no KEY" in fault(secret_env="KEY")


def test_a_secret_that_is_a_key_of_another_kind_is_refused_and_not_shown() -> None:
    pem = pem_of(rsa_key()).decode()
    said = fault(secret=pem)
    assert "a key of another kind" in said
    assert pem[40:80] not in said
    assert "a key of another kind" in fault({"KEY": pem}, secret_env="KEY")


def test_files_that_are_no_public_key(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    assert "cannot be read: No such file" in fault(file=str(path))
    path.write_bytes(private_pem_of(ed_key()))
    assert "is a private key" in fault(file=str(path))
    path.write_bytes(b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
    assert "is no public key in PEM" in fault(file=str(path))
    path.write_bytes(pem_of(rsa_key(bits=1024)))
    assert "fewer than 2048 bits" in fault(file=str(path))


def test_a_key_does_not_show_itself() -> None:
    assert SECRET_KEY not in repr(configured(secret=SECRET_KEY))


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        # Wycheproof: a key that is for something else.
        ("RS256", {"use": "enc"}),
        ("RS256", {"key_ops": ["sign"]}),
        ("RS256", {"key_ops": "verify"}),
        ("RS256", {"alg": "RSA-OAEP"}),
        ("RS256", {"alg": "HS256"}),
        ("RS256", {"alg": 7}),
        ("RS256", {"kid": 7}),
        ("RS256", {"n": "AQAB"}),
        ("RS256", {"kty": None}),
        ("ES256", {"crv": "P-999"}),
        ("ES256", {"x": "AAAA"}),
    ],
)
def test_a_key_that_is_not_for_checking_is_left_out(
    name: str, changes: dict[str, Any]
) -> None:
    bad = jwk_of(key_for(name), **changes)
    good = jwk_of(ed_key(), kid="good", use="sig")
    assert [key.kid for key in keys_of_jwks(jwks_of(bad, good))] == ["good"]


@pytest.mark.parametrize(
    "jwk", [{"kty": "oct", "k": "A" * 43}, {"kty": "RSA"}, {}, "a", None]
)
def test_what_is_no_public_key_is_left_out(jwk: Any) -> None:
    assert keys_of_jwks(jwks_of(jwk)) == []


@pytest.mark.parametrize("name", ["RS256", "ES256", "EdDSA"])
def test_a_private_key_is_left_out(name: str) -> None:
    algorithm = jwt.algorithms.get_default_algorithms()[name]
    private = json.loads(algorithm.to_jwk(key_for(name)))
    private.pop("key_ops", None)
    assert "d" in private
    assert keys_of_jwks(jwks_of(private)) == []


def test_a_short_rsa_key_is_left_out() -> None:
    assert keys_of_jwks(jwks_of(jwk_of(rsa_key(bits=1024)))) == []


def test_a_key_may_say_for_which_of_its_algorithms_it_is() -> None:
    (key,) = keys_of_jwks(jwks_of(jwk_of(rsa_key(), alg="RS512")))
    assert key.algorithms == {"RS512"}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b"", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"\xff", "no JSON"),
        (b"[]", "no list of keys"),
        (b'{"keys": {}}', "no list of keys"),
        (jwks_of(*[{}] * (MAX_JWKS_KEYS + 1)), "more than 64 keys"),
    ],
)
def test_what_is_no_jwks(document: bytes, said: str) -> None:
    with pytest.raises(KeyFault, match=said):
        keys_of_jwks(document)
