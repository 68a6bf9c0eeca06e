"""JSON Web Tokens as tickets: RFC 7519 with everything off that is not needed.

Nothing that a token says counts before its signature does, but which of the configured
keys it may be signed with. A token brings no key and names no place to get one from.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import orjson
from jwt.algorithms import HMACAlgorithm
from jwt.api_jws import PyJWS

from wsprism_core.api import Identity
from wsprism_core.auth_config import JwtConfig
from wsprism_core.policy.keys import Key
from wsprism_core.policy.names import is_room_pattern, is_user
from wsprism_core.protocol.errors import WsPrismError

__all__ = (
    "MAX_JWT_BYTES",
    "MAX_ROOMS",
    "Head",
    "Issuer",
    "JwtRefused",
    "read_head",
)

#: The longest token that is looked at, in bytes; a handshake takes no longer one.
MAX_JWT_BYTES: Final = 8 * 1024
#: Rooms and patterns that one token may name.
MAX_ROOMS: Final = 256
#: The last moment that a token may name, the end of the year 9999 in unix seconds.
_LAST_MOMENT: Final = 253_402_300_799
#: Signatures that are computed for one token, at the most.
_MAX_TRIES: Final = 32


class JwtRefused(WsPrismError):
    """A token is signed by a key that is known, and not good all the same.

    Args:
        reason: Which of its claims is wrong, in a word; nothing that the token says.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Head(NamedTuple):
    """What a token says of its signature: the algorithm, and the key's name."""

    algorithm: str
    kid: str | None


def read_head(token: str) -> Head | None:
    """Return what a token says of its signature; None where it is no token."""
    if len(token) > MAX_JWT_BYTES or token.count(".") != 2:
        return None
    try:
        head, _, _ = map(_decoded, token.split("."))
        header = orjson.loads(head)
    except ValueError:
        return None
    if not isinstance(header, dict) or "crit" in header or "b64" in header:
        # An extension that has to be understood, and none is.
        return None
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or not isinstance(kid, str | None):
        return None
    return Head(algorithm, kid)


class Issuer:
    """Judges the tokens of one issuer, for one tenant.

    Args:
        tenant: The tenant's id.
        config: Its section.
        keys: The keys that the configuration names.

    Attributes:
        fetched: The keys of its JWKS.
    """

    def __init__(self, tenant: str, config: JwtConfig, keys: Sequence[Key]) -> None:
        self.fetched: Sequence[Key] = ()
        self._tenant = tenant
        self._config = config
        self._keys = tuple(keys)
        self._algorithms = frozenset(config.algorithms)

    def keys_for(self, head: Head) -> list[Key]:
        """Return the keys that such a token may be signed with."""
        if head.algorithm not in self._algorithms:
            return []
        return [
            key
            for key in (*self._keys, *self.fetched)
            if head.algorithm in key.algorithms
            and (key.kid is None or head.kid is None or key.kid == head.kid)
        ]

    def publishes_for(self, head: Head) -> bool:
        """Whether a JWKS may have a key for such a token: it holds public ones."""
        algorithm = head.algorithm
        return algorithm in self._algorithms and not algorithm.startswith("HS")

    def lacks_key_for(self, head: Head) -> bool:
        """Whether the token names a key that is not known, and a newer JWKS may have.

        A token that names none is tried with those that there are.
        """
        return head.kid is not None and all(
            key.kid != head.kid for key in (*self._keys, *self.fetched)
        )

    def identify(self, token: str, head: Head, now: float) -> Identity | None:
        """Return who the bearer is; None where it is signed by nobody known here.

        Args:
            token: The token.
            head: What it says of its signature.
            now: Seconds since 1970.

        Raises:
            JwtRefused: It is signed, and not good.
        """
        for key in self.keys_for(head)[:_MAX_TRIES]:
            payload = _verified(token, head, key)
            if payload is not None:
                return self._identity(payload, now)
        return None

    def _identity(self, payload: bytes, now: float) -> Identity:
        config = self._config
        try:
            claims = orjson.loads(payload)
        except ValueError:
            raise JwtRefused("claims") from None
        if not isinstance(claims, dict):
            raise JwtRefused("claims")
        if config.issuer is not None and claims.get("iss") != config.issuer:
            raise JwtRefused("issuer")
        if not _is_audience(config.audience, claims):
            raise JwtRefused("audience")
        if claims.get("tenant", self._tenant) != self._tenant:
            raise JwtRefused("tenant")
        expires = _moment(claims, "exp")
        if expires is None:
            raise JwtRefused("claims")
        issued, begins = _moment(claims, "iat"), _moment(claims, "nbf")
        if expires + config.leeway_s <= now:
            raise JwtRefused("expired")
        if max(issued or 0, begins or 0) > now + config.leeway_s:
            raise JwtRefused("early")
        ticket_id = claims.get("jti")
        user = claims.get(config.user_claim)
        if not is_user(user):
            raise JwtRefused("claims")
        # It is kept and shown as a user's id is.
        if ticket_id is not None and not is_user(ticket_id):
            raise JwtRefused("claims")
        return Identity(
            user=user,
            tenant=self._tenant,
            expires=expires + config.leeway_s,
            rooms=_rooms(claims, config.rooms_claim),
            issued=issued,
            ticket_id=ticket_id,
        )


class _Hmac(HMACAlgorithm):
    """Its secrets are long enough: that was checked when they were read."""

    def check_key_length(self, key: bytes) -> None:
        """Say nothing."""


def _jws() -> PyJWS:
    jws = PyJWS()
    for name, digest in (
        ("HS256", HMACAlgorithm.SHA256),
        ("HS384", HMACAlgorithm.SHA384),
        ("HS512", HMACAlgorithm.SHA512),
    ):
        jws.unregister_algorithm(name)
        jws.register_algorithm(name, _Hmac(digest))
    return jws


_JWS: Final = _jws()


def _verified(token: str, head: Head, key: Key) -> bytes | None:
    """Return what a token holds, where this key has signed it."""
    try:
        decoded = _JWS.decode_complete(token, key.material, [head.algorithm])
    except Exception:
        # Whatever goes wrong on the way, the signature has not been found good.
        return None
    payload: bytes = decoded["payload"]
    return payload


def _decoded(part: str) -> bytes:
    """Return what one part of a token holds.

    Raises:
        ValueError: It is not written as RFC 7515 wants it, to the last bit.
    """
    try:
        raw = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        raise ValueError("no base64url") from None
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != part.encode():
        # Padding, other alphabets, and bits that nobody looks at: the same token would
        # have several forms.
        raise ValueError("base64url of another form")
    return raw


def _moment(claims: dict[str, Any], name: str) -> float | None:
    """Return a claim that is a time, in unix seconds; None where it is not there.

    Raises:
        JwtRefused: It is no time.
    """
    if name not in claims:
        return None
    value = claims[name]
    if type(value) not in (int, float) or not math.isfinite(value):
        raise JwtRefused("claims")
    if not 0 <= value <= _LAST_MOMENT:
        raise JwtRefused("claims")
    return float(value)


def _is_audience(audience: str | None, claims: dict[str, Any]) -> bool:
    """Whether a token is meant for this gateway (RFC 7519, 4.1.3)."""
    if "aud" not in claims:
        return audience is None
    named = claims["aud"]
    return audience is not None and (
        named == audience or (isinstance(named, list) and audience in named)
    )


def _rooms(claims: dict[str, Any], name: str) -> tuple[str, ...] | None:
    """Return the rooms that a token lets its bearer enter; None is all.

    Raises:
        JwtRefused: It says something else.
    """
    if name not in claims:
        return None
    rooms = claims[name]
    if not isinstance(rooms, list) or len(rooms) > MAX_ROOMS:
        raise JwtRefused("claims")
    if not all(map(is_room_pattern, rooms)):
        raise JwtRefused("claims")
    return tuple(rooms)
