"""JWTs, good ones and others, and the keys that sign them."""

from __future__ import annotations

import base64
import json
import warnings
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from jwt.warnings import InsecureKeyLengthWarning

from wsprism_core.auth_config import AuthConfig
from wsprism_core.config import Config
from wsprism_core.testing import config_with

__all__ = (
    "NOW",
    "SECRET_KEY",
    "Private",
    "ec_key",
    "ed_key",
    "jwk_of",
    "jwks_of",
    "key_for",
    "letting_in",
    "pem_of",
    "private_pem_of",
    "raw_token",
    "rsa_key",
    "signed",
    "token",
    "write_pem",
)

#: When `VirtualClock` begins, in unix seconds.
NOW: Final = 1_767_225_600
#: A secret of 32 bytes.
SECRET_KEY: Final = "0123456789abcdef0123456789abcdef"

Private: TypeAlias = (
    rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
)


@cache
def rsa_key(number: int = 0, bits: int = 2048) -> rsa.RSAPrivateKey:
    """Return an RSA key; another number is another key."""
    return rsa.generate_private_key(65_537, bits)


@cache
def ec_key(curve: str = "ES256", number: int = 0) -> ec.EllipticCurvePrivateKey:
    curves = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
    return ec.generate_private_key(curves[curve])


@cache
def ed_key(number: int = 0) -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


def key_for(algorithm: str, number: int = 0) -> Private:
    """Return a key that signs so."""
    if algorithm.startswith("RS"):
        return rsa_key(number)
    return ed_key(number) if algorithm == "EdDSA" else ec_key(algorithm, number)


def pem_of(key: Private) -> bytes:
    """Return the public half."""
    public = key.public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def private_pem_of(key: Private) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def write_pem(folder: Path, key: Private, name: str = "key.pem") -> str:
    """Write the public half; return where."""
    path = folder / name
    path.write_bytes(pem_of(key))
    return str(path)


def jwk_of(key: Private, **fields: Any) -> dict[str, Any]:
    """Return the public half as a JWK."""
    algorithms = jwt.algorithms.get_default_algorithms()
    if isinstance(key, rsa.RSAPrivateKey):
        name = "RS256"
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        sizes = {256: "ES256", 384: "ES384", 521: "ES512"}
        name = sizes[key.curve.key_size]
    else:
        name = "EdDSA"
    jwk: dict[str, Any] = json.loads(algorithms[name].to_jwk(key.public_key()))
    return jwk | fields


def jwks_of(*jwks: dict[str, Any]) -> bytes:
    return json.dumps({"keys": list(jwks)}).encode()


def token(
    key: str | Private = SECRET_KEY,
    algorithm: str = "HS256",
    /,
    *,
    header: dict[str, Any] | None = None,
    without: str = "",
    **claims: Any,
) -> str:
    """Return a token of ann's that is good for an hour, but for what is said.

    Args:
        key: What signs it.
        algorithm: How.
        header: Fields of its header.
        without: A claim that it has not.
        claims: Claims that it has besides, or instead.
    """
    all_claims = {"sub": "ann", "exp": NOW + 3600, **claims}
    all_claims.pop(without, None)
    return signed(all_claims, key, algorithm, header=header)


def signed(
    payload: Any,
    key: str | Private = SECRET_KEY,
    algorithm: str = "HS256",
    *,
    header: dict[str, Any] | None = None,
) -> str:
    """Return a token that holds just this; bytes are taken as they are."""
    text = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    with warnings.catch_warnings():
        # A secret of 32 bytes does for each, as the gateway sees it.
        warnings.simplefilter("ignore", InsecureKeyLengthWarning)
        return jwt.PyJWS().encode(text, key, algorithm, headers=header)


def letting_in(auth: Mapping[str, Mapping[str, Any]], **changes: Any) -> Config:
    """Return a configuration with the section `auth` of each tenant.

    Args:
        auth: The sections, by tenant.
        changes: As in `config_with`.
    """
    config = config_with(tenants=auth, **changes)
    tenants = [
        tenant.model_copy(update={"auth": AuthConfig.model_validate(auth[tenant.id])})
        for tenant in config.tenants
    ]
    return config.model_copy(update={"tenants": tenants})


def raw_token(header: Any, payload: Any, signature: bytes = b"") -> str:
    """Return a token of these parts; bytes are taken as they are."""
    parts = (
        part if isinstance(part, bytes) else json.dumps(part).encode()
        for part in (header, payload, signature)
    )
    return ".".join(
        base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts
    )
