"""`wsprism token`: a JWT to try a gateway out with."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from wsprism_cli.terminal import fail

if TYPE_CHECKING:
    from wsprism_core.config import TenantConfig

__all__ = ("token",)

_EPILOG: Final = """\
\b
Examples:
  wsprism token --user ann --config wsprism.yaml
  wsprism token --user ann --config wsprism.yaml --tenant acme --rooms lobby,team-*
  wsprism token --user ann --tenant acme --secret-file secret.txt --expires 15m
  wsprism connect --ticket "$(wsprism token --user ann --config wsprism.yaml)"
"""

_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DURATION: Final = re.compile(r"([1-9][0-9]{0,5})([smhd]?)\Z")


class _Signing(NamedTuple):
    """What signs a token, and what the token has to say for it."""

    secret: bytes
    algorithm: str
    kid: str | None
    user_claim: str
    rooms_claim: str
    claims: dict[str, str]


def _seconds(text: str) -> int:
    match = _DURATION.match(text)
    if match is None:
        raise click.BadParameter("must be such as 90s, 15m, 1h or 7d")
    return int(match[1]) * _UNITS[match[2]]


def _room_patterns(text: str) -> tuple[str, ...]:
    from wsprism_core.policy.names import is_room_pattern

    rooms = tuple(filter(None, text.split(",")))
    for room in rooms:
        if not is_room_pattern(room):
            raise click.BadParameter(f"{room!r} is no room, nor a beginning and a *")
    return rooms


def _user(text: str) -> str:
    from wsprism_core.policy.names import is_user

    if not is_user(text):
        raise click.BadParameter("must be 1 to 128 characters on one line")
    return text


@click.command(short_help="Sign a ticket to try a gateway out with.", epilog=_EPILOG)
@click.option("--user", required=True, type=_user, metavar="USER", help="Who it is.")
@click.option(
    "--config",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Sign with the first secret of the tenant in this configuration file.",
)
@click.option(
    "--secret-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Sign with the secret in this file, by HS256.",
)
@click.option(
    "--tenant",
    metavar="TENANT",
    help="Where it is good; may be left out where the file has one tenant.",
)
@click.option(
    "--rooms",
    metavar="ROOMS",
    type=_room_patterns,
    help="The only rooms that it is for, by comma; team-* is all that begin so.",
)
@click.option(
    "--expires",
    metavar="DURATION",
    type=_seconds,
    default="1h",
    show_default=True,
    help="How long it is good.",
)
def token(
    user: str,
    config: Path | None,
    secret_file: Path | None,
    tenant: str | None,
    rooms: tuple[str, ...] | None,
    expires: int,
) -> None:
    """Sign a JSON Web Token and print it: a ticket for development and tests.

    In production tickets come from whoever logs users in. The token is printed on
    standard output, and whoever has it is that user.
    """
    if (config is None) == (secret_file is None):
        fail("name a --config FILE or a --secret-file FILE, and not both", 2)
    signing = (
        _from_config(config, tenant)
        if config is not None
        else _from_secret(_read(secret_file), tenant)
    )
    click.echo(_sign(signing, user, rooms, expires))


def _from_config(path: Path, tenant: str | None) -> _Signing:
    """Return the first secret of a tenant."""
    from wsprism_core.policy.keys import configured_key
    from wsprism_core.protocol.errors import WsPrismError
    from wsprism_core.settings.file import load_config

    try:
        found = _tenant(load_config(path, environ=os.environ).tenants, tenant)
        for issuer in found.auth.jwt:
            algorithms = [name for name in issuer.algorithms if name.startswith("HS")]
            for key in issuer.keys:
                if not algorithms or key.file is not None:
                    continue
                claims = {"tenant": found.id}
                if issuer.issuer is not None:
                    claims["iss"] = issuer.issuer
                if issuer.audience is not None:
                    claims["aud"] = issuer.audience
                secret = configured_key(key).material
                assert isinstance(secret, bytes)
                return _Signing(
                    secret,
                    algorithms[0],
                    key.kid,
                    issuer.user_claim,
                    issuer.rooms_claim,
                    claims,
                )
    except WsPrismError as error:
        fail(str(error), 2)
    fail(
        f"tenant {found.id!r} has no secret to sign with: of other keys the gateway "
        "knows the public half alone",
        2,
    )


def _tenant(tenants: list[TenantConfig], name: str | None) -> TenantConfig:
    ids = [tenant.id for tenant in tenants]
    if name is None and len(tenants) > 1:
        fail(f"which --tenant? The file has {', '.join(ids)}", 2)
    for tenant in tenants:
        if name in (None, tenant.id):
            return tenant
    fail(f"the file has no tenant {name!r}, but {', '.join(ids)}", 2)


def _read(path: Path | None) -> bytes:
    assert path is not None
    try:
        # An editor ends the line; no secret does.
        return path.read_bytes().rstrip(b"\r\n")
    except OSError as error:
        fail(f"{path} cannot be read: {error.strerror}", 2)


def _from_secret(secret: bytes, tenant: str | None) -> _Signing:
    from wsprism_core.auth_config import MIN_SECRET_BYTES

    if len(secret) < MIN_SECRET_BYTES:
        fail(f"the secret has fewer than {MIN_SECRET_BYTES} bytes", 2)
    claims = {} if tenant is None else {"tenant": tenant}
    return _Signing(secret, "HS256", None, "sub", "rooms", claims)


def _sign(
    signing: _Signing, user: str, rooms: tuple[str, ...] | None, expires: int
) -> str:
    import secrets
    import time
    import warnings

    import jwt
    from jwt.warnings import InsecureKeyLengthWarning

    now = int(time.time())
    claims: dict[str, Any] = {
        **signing.claims,
        signing.user_claim: user,
        "iat": now,
        "exp": now + expires,
        "jti": secrets.token_hex(8),
    }
    if rooms is not None:
        claims[signing.rooms_claim] = list(rooms)
    headers = None if signing.kid is None else {"kid": signing.kid}
    with warnings.catch_warnings():
        # 32 bytes do for each HMAC, as the gateway sees it.
        warnings.simplefilter("ignore", InsecureKeyLengthWarning)
        try:
            return jwt.encode(
                claims, signing.secret, signing.algorithm, headers=headers
            )
        except jwt.PyJWTError:
            # What is wrong with a secret may quote it.
            fail("the secret is a key of another kind", 2)
