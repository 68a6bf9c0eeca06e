"""JSON Web Tokens and key sets: who it is, or why not, whatever they hold."""

from __future__ import annotations

import base64
import hashlib
import hmac
from contextlib import suppress
from typing import Final

from wsprism_core.auth_config import JwtConfig
from wsprism_core.policy.jwt import Head, Issuer, JwtRefused, read_head
from wsprism_core.policy.keys import Key, KeyFault, keys_of_jwks
from wsprism_core.policy.names import is_room_pattern, is_user

NOW: Final = 1_767_225_600
SECRET: Final = b"0123456789abcdef0123456789abcdef"
HEAD: Final = Head("HS256", None)
CONFIG: Final = JwtConfig.model_validate(
    {"algorithms": ["HS256"], "keys": [{"secret": SECRET.decode()}]}
)
ISSUER: Final = Issuer("acme", CONFIG, [Key(None, frozenset({"HS256"}), SECRET)])


def target(data: bytes) -> None:
    # As somebody shows it who knows no key.
    token = data.decode("utf-8", "surrogateescape")
    head = read_head(token)
    if head is not None:
        with suppress(JwtRefused):
            ISSUER.identify(token, head, NOW)
    # As somebody shows it who may sign.
    with suppress(JwtRefused):
        identity = ISSUER.identify(_signed(data), HEAD, NOW)
        assert identity is not None
        assert is_user(identity.user)
        assert identity.expires is not None
        assert identity.expires > NOW
        assert all(map(is_room_pattern, identity.rooms or ()))
    # As a login publishes it.
    with suppress(KeyFault):
        for key in keys_of_jwks(data):
            assert not any(name.startswith("HS") for name in key.algorithms)


def _signed(payload: bytes) -> str:
    said = b".".join(map(_base64url, (b'{"alg":"HS256"}', payload)))
    signature = hmac.digest(SECRET, said, hashlib.sha256)
    return (said + b"." + _base64url(signature)).decode()


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
