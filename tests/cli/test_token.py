from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from click.testing import CliRunner

from support.tokens import SECRET_KEY, ec_key, pem_of, write_pem
from wsprism_cli.main import cli
from wsprism_core.gateway.tickets import Tickets
from wsprism_core.metrics import Metrics
from wsprism_core.settings.file import load_config
from wsprism_core.testing import VirtualClock


def invoke(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli, ["token", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def claims_of(out: str) -> dict[str, Any]:
    (line,) = out.splitlines()
    claims: dict[str, Any] = jwt.decode(line, options={"verify_signature": False})
    return claims


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OTHER_SECRET", "f" * 32)
    path = tmp_path / "wsprism.yaml"
    path.write_text(
        f"""
version: 1
tenants:
  - id: acme
    auth:
      jwt:
        - algorithms: [ES256]
          keys: [{{file: {write_pem(tmp_path, ec_key())}}}]
        - {{algorithms: [RS256, HS512], issuer: me, audience: us, user_claim: uid,
            rooms_claim: channels, keys: [{{kid: k, secret: {SECRET_KEY}}}]}}
  - id: other
    auth: {{jwt: [{{algorithms: [HS256], keys: [{{secret_env: OTHER_SECRET}}]}}]}}
  - id: public
    auth: {{jwt: [{{algorithms: [ES256], jwks_url: "https://id.example/"}}]}}
""",
        encoding="utf-8",
    )
    return path


def test_a_token_of_the_file_is_good_in_its_tenant(config: Path) -> None:
    clock = VirtualClock(wall_ms=time.time_ns() // 1_000_000)
    tickets = Tickets(load_config(config, environ={}), clock, Metrics())
    rooms = ("--rooms", "lobby,team-*")
    for tenant, other in (("acme", "other"), ("other", "acme")):
        where = ("--config", config, "--tenant", tenant)
        code, out, err = invoke("--user", "ann", *where, *rooms)
        assert (code, err) == (0, "")
        identity = tickets.identify(tenant, out.strip())
        assert identity is not None
        assert (identity.user, identity.rooms) == ("ann", ("lobby", "team-*"))
        assert identity.ticket_id
        assert identity.expires == pytest.approx(time.time() + 3605, abs=5)
        assert tickets.identify(other, out.strip()) is None


def test_what_it_says_is_what_the_issuer_wants(config: Path) -> None:
    where = ("--config", config, "--tenant", "acme", "--expires", "90s")
    _, out, _ = invoke("--user", "ann", *where)
    claims = claims_of(out)
    assert jwt.get_unverified_header(out.strip())["kid"] == "k"
    assert jwt.get_unverified_header(out.strip())["alg"] == "HS512"
    assert (claims["iss"], claims["aud"], claims["uid"]) == ("me", "us", "ann")
    assert claims["exp"] - claims["iat"] == 90
    assert "channels" not in claims


def test_a_secret_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(f"{SECRET_KEY}\n")
    where = ("--secret-file", path, "--tenant", "acme", "--expires", "7d")
    code, out, err = invoke("--user", "ann", *where)
    assert (code, err) == (0, "")
    said = jwt.decode(out.strip(), SECRET_KEY, ["HS256"])
    assert (said["sub"], said["tenant"]) == ("ann", "acme")
    assert said["exp"] - said["iat"] == 7 * 86_400


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "name a --config FILE or a --secret-file FILE"),
        (("--config", "a", "--secret-file", "b"), "and not both"),
        (("--config", "no-such.yaml"), "no-such.yaml cannot be used"),
        (("--secret-file", "no-such"), "no-such cannot be read: No such file"),
        (("--config", "CONFIG"), "which --tenant? The file has acme, other, public"),
        (("--config", "CONFIG", "--tenant", "b"), "the file has no tenant 'b', but"),
        (("--config", "CONFIG", "--tenant", "public"), "has no secret to sign with"),
        (("--secret-file", "a", "--expires", "soon"), "must be such as 90s, 15m"),
        (("--secret-file", "a", "--expires", "0"), "must be such as 90s, 15m"),
        (("--secret-file", "a", "--rooms", "a b"), "'a b' is no room"),
        (("--secret-file", "a", "--user", ""), "1 to 128 characters on one line"),
    ],
)
def test_what_is_wrong(config: Path, arguments: tuple[str, ...], said: str) -> None:
    given = [str(config) if one == "CONFIG" else one for one in arguments]
    code, out, err = invoke("--user", "ann", *given)
    assert (code, out) == (2, "")
    assert said in " ".join(err.split())


@pytest.mark.parametrize(
    ("secret", "said"),
    [(b"short-one", "fewer than 32 bytes"), (None, "a key of another kind")],
)
def test_a_secret_that_is_none_is_not_shown(
    tmp_path: Path, secret: bytes | None, said: str
) -> None:
    path = tmp_path / "secret"
    path.write_bytes(secret or pem_of(ec_key()))
    code, out, err = invoke("--user", "ann", "--secret-file", path)
    assert (code, out) == (2, "")
    assert said in err
    assert "short-one" not in err
    assert "PUBLIC" not in err


def test_a_secret_that_is_not_in_the_environment(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OTHER_SECRET")
    code, _, err = invoke("--user", "ann", "--config", config, "--tenant", "other")
    assert code == 2
    assert "the environment has no OTHER_SECRET" in err
