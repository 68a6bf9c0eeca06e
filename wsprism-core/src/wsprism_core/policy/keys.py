"""Keys that tickets are checked with: read from the configuration or from a JWKS.

A key knows for which algorithms it is, by what it is: the public half of an RSA key is
never taken for the secret of an HMAC.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt import PyJWK
from jwt.algorithms import HMACAlgorithm
from jwt.exceptions import PyJWTError

from wsprism_core.auth_config import MIN_SECRET_BYTES, JwtKeyConfig
from wsprism_core.protocol.errors import WsPrismError

__all__ = ("MAX_JWKS_KEYS", "Key", "KeyFault", "configured_key", "keys_of_jwks")

#: Keys of one JWKS that are kept; one with more is no list of signing keys.
MAX_JWKS_KEYS: Final = 64
#: The shortest RSA key, in bits (RFC 7518, 3.3).
_MIN_RSA_BITS: Final = 2_048

_HMAC: Final = frozenset({"HS256", "HS384", "HS512"})
_RSA: Final = frozenset({"RS256", "RS384", "RS512"})
_BY_CURVE: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}

_Public: TypeAlias = (
    RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey
)


class KeyFault(WsPrismError):
    """A key cannot be used; the text says why, and holds nothing of it."""


@dataclass(frozen=True, slots=True, repr=False)
class Key:
    """One key of one issuer; `repr` is off, for it may hold a secret.

    Args:
        kid: What a ticket calls it; None fits whatever a ticket says.
        algorithms: What it may be used for.
        material: The secret, or the public key.
    """

    kid: str | None
    algorithms: frozenset[str]
    material: bytes | _Public


def configured_key(
    config: JwtKeyConfig, environ: Mapping[str, str] = os.environ
) -> Key:
    """Return a key that the configuration names.

    Raises:
        KeyFault: It is not there, too weak, or of another kind.
    """
    if config.file is not None:
        return _from_file(config.kid, config.file)
    if config.secret_env is not None:
        secret = environ.get(config.secret_env)
        if secret is None:
            raise KeyFault(f"the environment has no {config.secret_env}")
    else:
        assert config.secret is not None
        secret = config.secret.get_secret_value()
    material = secret.encode()
    if len(material) < MIN_SECRET_BYTES:
        raise KeyFault(f"the secret has fewer than {MIN_SECRET_BYTES} bytes")
    try:
        HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(material)
    except PyJWTError:
        raise KeyFault("the secret is a key of another kind: name its file") from None
    return Key(config.kid, _HMAC, material)


def keys_of_jwks(document: bytes) -> list[Key]:
    """Return the public signing keys of a JWKS (RFC 7517); what is none is left out.

    Raises:
        KeyFault: It is no JWKS, or has too many keys.
    """
    try:
        found = orjson.loads(document)
    except ValueError:
        raise KeyFault("it is no JSON") from None
    keys = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(keys, list):
        raise KeyFault("it is no JWKS: it has no list of keys")
    if len(keys) > MAX_JWKS_KEYS:
        raise KeyFault(f"it has more than {MAX_JWKS_KEYS} keys")
    return list(_usable(keys))


def _usable(keys: list[Any]) -> Iterable[Key]:
    for jwk in keys:
        if isinstance(jwk, dict) and _is_for_checking(jwk):
            kid, algorithm = jwk.get("kid"), jwk.get("alg")
            try:
                # Which algorithm a key is for is told by its kind first; a private
                # one is of no kind that is known.
                plain = {name: jwk[name] for name in jwk if name != "alg"}
                algorithms = _algorithms_of(material := PyJWK(plain).key)
            except (PyJWTError, KeyFault, TypeError, ValueError, UnsupportedAlgorithm):
                continue
            if algorithm is not None:
                algorithms &= {algorithm}
            if algorithms:
                yield Key(kid, algorithms, material)


def _is_for_checking(jwk: dict[str, Any]) -> bool:
    """Whether a key is of a pair, and says nothing against checking signatures."""
    operations = jwk.get("key_ops", ["verify"])
    return (
        jwk.get("kty") in ("RSA", "EC", "OKP")
        and isinstance(jwk.get("kid"), str | None)
        and isinstance(jwk.get("alg"), str | None)
        and jwk.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
    )


def _from_file(kid: str | None, path: str) -> Key:
    try:
        pem = Path(path).read_bytes()
    except OSError as error:
        raise KeyFault(f"{path} cannot be read: {error.strerror}") from None
    if b"PRIVATE KEY" in pem:
        raise KeyFault(f"{path} is a private key: the gateway needs the public one")
    try:
        public = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise KeyFault(f"{path} is no public key in PEM") from None
    try:
        return Key(kid, _algorithms_of(public), public)  # type: ignore[arg-type]
    except KeyFault as fault:
        raise KeyFault(f"{path} {fault}") from None


def _algorithms_of(key: Any) -> frozenset[str]:
    """Return what a public key is for.

    Raises:
        KeyFault: Nothing.
    """
    match key:
        case RSAPublicKey():
            if key.key_size < _MIN_RSA_BITS:
                raise KeyFault(f"is an RSA key of fewer than {_MIN_RSA_BITS} bits")
            return _RSA
        case EllipticCurvePublicKey() if key.curve.name in _BY_CURVE:
            return frozenset({_BY_CURVE[key.curve.name]})
        case Ed25519PublicKey() | Ed448PublicKey():
            return frozenset({"EdDSA"})
        case _:
            raise KeyFault("is a key for no algorithm that is known here")
