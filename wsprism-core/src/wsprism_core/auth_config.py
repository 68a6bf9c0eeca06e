"""The section `auth` of a tenant: which tickets let its clients in."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self, TypeAlias
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from wsprism_core.policy.origins import is_loopback

__all__ = (
    "MIN_SECRET_BYTES",
    "Algorithm",
    "AuthConfig",
    "ConnectTicketsConfig",
    "JwtConfig",
    "JwtKeyConfig",
)

#: The shortest secret of an HMAC; a shorter one can be guessed.
MIN_SECRET_BYTES: Final = 32

#: How a JWT may be signed (RFC 7518, RFC 8037).
Algorithm: TypeAlias = Literal[
    "HS256",
    "HS384",
    "HS512",
    "RS256",
    "RS384",
    "RS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
]

_STRICT: Final = ConfigDict(extra="forbid", frozen=True, strict=True)
_Name = Annotated[str, Field(min_length=1, max_length=256)]
_Claim = Annotated[str, Field(min_length=1, max_length=64)]
_Positive = Annotated[int, Field(ge=1)]


class JwtKeyConfig(BaseModel):
    """One key of an issuer; exactly one of `secret`, `secret_env` and `file`.

    Attributes:
        kid: What tokens call it. Without, it is tried for all of them.
        secret: For HS256, HS384 and HS512; 32 bytes or more.
        secret_env: The environment variable that holds such a secret.
        file: A public key in PEM, from the working directory; RSA of 2,048 bits or
            more, P-256, P-384, P-521, Ed25519 or Ed448.
    """

    model_config = _STRICT

    kid: _Name | None = None
    secret: SecretStr | None = None
    secret_env: _Name | None = None
    file: _Name | None = None

    @field_validator("secret")
    @classmethod
    def _is_long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            if len(value.get_secret_value().encode()) < MIN_SECRET_BYTES:
                raise ValueError(
                    f"must have at least {MIN_SECRET_BYTES} bytes, such as "
                    "`openssl rand -hex 32` prints"
                )
        return value

    @model_validator(mode="after")
    def _is_one_key(self) -> Self:
        given = (self.secret, self.secret_env, self.file)
        if sum(one is not None for one in given) != 1:
            raise ValueError("needs one of secret, secret_env and file, and only one")
        return self


class JwtConfig(BaseModel):
    """One issuer of JWTs; times in seconds.

    Attributes:
        issuer: What the claim `iss` must be; `null` takes any.
        audience: What the claim `aud` must be or hold. Where it is `null`, a token that
            has one is refused.
        algorithms: The only ones that are good. Others are refused, whatever a token
            says.
        keys: Keys that stand here, at most 32.
        jwks_url: Where the issuer publishes its keys, an `https://` address (`http://`
            on loopback alone). No redirect is followed, and no proxy asked.
        jwks_cache_s: For how long they are used before they are fetched again, in
            seconds. While they cannot be had, the old ones stay good.
        jwks_retry_s: Seconds between two fetches, at least; a token that names a key
            that is not known asks for one.
        user_claim: The claim that is the user's id, 1 to 128 characters on one line.
        rooms_claim: The claim that lists the rooms that the client may ask to join, at
            most 256, each a name or its beginning and a `*`. Without the claim it may
            ask for any.
        leeway_s: How far clocks may be apart, in seconds; it counts for `exp`, `nbf`
            and `iat`.
    """

    model_config = _STRICT

    issuer: _Name | None = None
    audience: _Name | None = None
    algorithms: Annotated[list[Algorithm], Field(min_length=1)]
    keys: Annotated[list[JwtKeyConfig], Field(max_length=32)] = Field(
        default_factory=list
    )
    jwks_url: _Name | None = None
    jwks_cache_s: _Positive = 300
    jwks_retry_s: _Positive = 10
    user_claim: _Claim = "sub"
    rooms_claim: _Claim = "rooms"
    leeway_s: Annotated[int, Field(ge=0, le=300)] = 5

    @field_validator("jwks_url")
    @classmethod
    def _is_safe(cls, value: str | None) -> str | None:
        if value is None:
            return None
        url = urlsplit(value)
        host = url.hostname or ""
        if url.scheme != "https" and not (url.scheme == "http" and is_loopback(host)):
            raise ValueError("must be an https:// address; http:// is for loopback")
        if not host or "@" in url.netloc:
            raise ValueError("must name a host, and neither a user nor a password")
        return value

    @model_validator(mode="after")
    def _has_keys(self) -> Self:
        if not self.keys and self.jwks_url is None:
            raise ValueError("needs keys, a jwks_url, or both")
        symmetric = {name.startswith("HS") for name in self.algorithms}
        if self.jwks_url is not None and symmetric == {True}:
            raise ValueError("jwks_url needs an algorithm of RS, ES or EdDSA")
        return self


class ConnectTicketsConfig(BaseModel):
    """Tickets that operators issue, each good for one connection.

    Attributes:
        enabled: Whether there are any.
        ttl_ms: How long one is good.
        max_pending: Those that nobody has used yet; over it no more are issued.
    """

    model_config = _STRICT

    enabled: bool = False
    ttl_ms: _Positive = 30_000
    max_pending: _Positive = 10_000


class AuthConfig(BaseModel):
    """Where a tenant's tickets come from; plugins may know others.

    Attributes:
        jwt: Issuers of JSON Web Tokens, at most 16.
        connect_tickets: Tickets that operators issue for one connection.
    """

    model_config = _STRICT

    jwt: Annotated[list[JwtConfig], Field(max_length=16)] = Field(default_factory=list)
    connect_tickets: ConnectTicketsConfig = ConnectTicketsConfig()

    @property
    def has_source(self) -> bool:
        """Whether there is any ticket that it makes good."""
        return bool(self.jwt) or self.connect_tickets.enabled
