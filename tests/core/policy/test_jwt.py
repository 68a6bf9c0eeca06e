from __future__ import annotations

import base64
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.tokens import (
    NOW,
    SECRET_KEY,
    ec_key,
    jwk_of,
    jwks_of,
    key_for,
    pem_of,
    raw_token,
    rsa_key,
    signed,
    token,
    write_pem,
)
from wsprism_core.api import Identity
from wsprism_core.auth_config import JwtConfig
from wsprism_core.policy.jwt import (
    MAX_JWT_BYTES,
    MAX_ROOMS,
    Head,
    Issuer,
    JwtRefused,
    read_head,
)
from wsprism_core.policy.keys import configured_key, keys_of_jwks

SECRET = {"secret": SECRET_KEY}


def issuer(
    *keys: dict[str, str], algorithms: Any = ("HS256",), **config: Any
) -> Issuer:
    parsed = JwtConfig.model_validate(
        {"algorithms": list(algorithms), "keys": list(keys or (SECRET,)), **config}
    )
    return Issuer("acme", parsed, [configured_key(key) for key in parsed.keys])


def judge(one: Issuer, ticket: str, now: float = NOW) -> Identity | None:
    head = read_head(ticket)
    return None if head is None else one.identify(ticket, head, now)


def reason(one: Issuer, ticket: str, now: float = NOW) -> str:
    with pytest.raises(JwtRefused) as caught:
        judge(one, ticket, now)
    return caught.value.reason


# -------------------------------------------------------------------------- good ones


def test_what_a_token_says() -> None:
    said = token(rooms=["lobby", "team-*"], iat=NOW, jti="t1", tenant="acme")
    assert judge(issuer(), said) == Identity(
        user="ann",
        tenant="acme",
        expires=NOW + 3605,
        rooms=("lobby", "team-*"),
        issued=NOW,
        ticket_id="t1",
    )
    assert judge(issuer(), token()) == Identity("ann", "acme", expires=NOW + 3605)


def test_claims_may_have_other_names() -> None:
    one = issuer(user_claim="uid", rooms_claim="channels")
    identity = judge(one, token(uid="bob", channels=[], rooms=7))
    assert identity == Identity("bob", "acme", expires=NOW + 3605, rooms=())


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_secret_of_32_bytes_does_for_every_hmac(algorithm: str) -> None:
    assert judge(issuer(algorithms=[algorithm]), token(SECRET_KEY, algorithm))


@pytest.mark.parametrize(
    "algorithm", ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "EdDSA"]
)
def test_every_kind_of_public_key(tmp_path: Path, algorithm: str) -> None:
    key = key_for(algorithm)
    file = {"file": write_pem(tmp_path, key)}
    one = issuer(file, algorithms=[algorithm])
    ticket = token(key, algorithm)
    assert judge(one, ticket)
    head, payload, signature = ticket.split(".")
    other = token(key, algorithm, sub="bob").split(".")[1]
    assert judge(one, f"{head}.{other}.{signature}") is None
    assert judge(one, f"{head}.{payload}.") is None


def test_keys_are_chosen_by_their_names() -> None:
    one = issuer(
        {"kid": "a", "secret": "a" * 32},
        {"kid": "b", "secret": "b" * 32},
    )
    assert judge(one, token("b" * 32, header={"kid": "b"}))
    assert judge(one, token("b" * 32)), "it names none, so each is tried"
    assert judge(one, token("b" * 32, header={"kid": "a"})) is None
    assert judge(one, token("b" * 32, header={"kid": "c"})) is None


# --------------------------------------------------------------------- bad signatures


@pytest.mark.parametrize("algorithm", ["none", "None", "nOnE", "NONE", ""])
def test_no_signature_at_all(algorithm: str) -> None:
    claims = {"sub": "ann", "exp": NOW + 60}
    assert judge(issuer(), raw_token({"alg": algorithm}, claims)) is None


def test_a_public_key_is_no_secret(tmp_path: Path) -> None:
    """An HMAC whose secret is the RSA key that everybody has."""
    file = {"file": write_pem(tmp_path, rsa_key())}
    one = issuer(file, SECRET, algorithms=["RS256", "HS256"])
    assert [key.material for key in one.keys_for(Head("HS256", None))] == [
        SECRET_KEY.encode()
    ]
    for secret in (pem_of(rsa_key()), jwks_of(jwk_of(rsa_key()))):
        algorithm = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
        unsigned = raw_token({"alg": "HS256"}, {"sub": "ann", "exp": NOW + 60})[:-1]
        signature = algorithm.sign(unsigned.encode(), secret)
        forged = base64.urlsafe_b64encode(signature).rstrip(b"=").decode()
        assert judge(one, f"{unsigned}.{forged}") is None


def test_an_algorithm_that_is_not_pinned() -> None:
    assert judge(issuer(algorithms=["HS512"]), token()) is None


@pytest.mark.parametrize(
    "header",
    [
        {"kid": "../../../../dev/null"},
        {"kid": "' OR 1=1 --"},
        {"kid": "https://evil.example/key"},
        {"jku": "https://evil.example/jwks.json"},
        {"x5u": "https://evil.example/cert.pem"},
        {"jwk": {"kty": "oct", "kid": "mine", "k": "A" * 43}},
        {"x5c": ["AAAA"]},
    ],
    ids=str,
)
def test_a_token_brings_no_key(tmp_path: Path, header: dict[str, Any]) -> None:
    known = issuer({"file": write_pem(tmp_path, rsa_key())}, algorithms=["RS256"])
    assert judge(known, token(rsa_key(9), "RS256", header=header)) is None


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"], "exp": 1},
        {"crit": ["b64"], "b64": True},
        {"crit": []},
        {"b64": False},
        {"kid": 7},
        {"kid": None, "alg": 7},
    ],
    ids=str,
)
def test_a_head_that_has_to_be_understood_and_is_not(header: dict[str, Any]) -> None:
    claims = {"sub": "ann", "exp": NOW + 60}
    assert read_head(raw_token({"alg": "HS256", **header}, claims)) is None


@pytest.mark.parametrize(
    "mangle",
    [
        lambda ticket: ticket + "=",
        lambda ticket: ticket.replace(".", "=.", 1),
        lambda ticket: ticket + "\n",
        lambda ticket: ticket[:10] + "\n" + ticket[10:],
        lambda ticket: ticket[:-1] + chr(ord(ticket[-1]) + 1),
        lambda ticket: ticket.replace(".", "..", 1),
        lambda ticket: ticket + ".",
        lambda ticket: "." + ticket,
        lambda ticket: ticket.split(".")[0] + "..",
        lambda ticket: ticket + "ä",
        lambda ticket: ticket + "\ud800",
        lambda ticket: ticket + "A" * MAX_JWT_BYTES,
    ],
)
def test_a_token_has_one_form(mangle: Any) -> None:
    """Wycheproof: padding, and bits behind the end that nobody looks at."""
    ticket = token(jti="0")
    assert judge(issuer(), ticket)
    assert judge(issuer(), mangle(ticket)) is None


@pytest.mark.parametrize(
    "header", [b"[" * 5_000, b"{", b'"a"', b"[]", b"7", b"\xff", b"", b'{"a":' * 900]
)
def test_a_header_that_is_none(header: bytes) -> None:
    assert read_head(raw_token(header, {})) is None


def test_bad_ones_are_judged_in_no_time(tmp_path: Path) -> None:
    keys = [write_pem(tmp_path, rsa_key(n), f"{n}.pem") for n in range(4)]
    one = issuer(*({"file": key} for key in keys), algorithms=["RS256"])
    tickets = [token(rsa_key(9), "RS256"), "a.b.c", "x" * 5_000_000, "." * 5_000_000]
    took = []
    for ticket in tickets:
        began = time.process_time()
        for _ in range(10):
            assert judge(one, ticket) is None
        took.append((time.process_time() - began) / 10)
    assert max(took) < 0.005, took


@given(st.text(max_size=60) | st.lists(st.binary(max_size=60), max_size=4))
def test_any_text_is_judged(text: str | list[bytes]) -> None:
    if isinstance(text, list):
        encoded = (base64.urlsafe_b64encode(part).rstrip(b"=") for part in text)
        text = b".".join(encoded).decode()
    assert judge(issuer(), text) is None


# -------------------------------------------------------------------------- bad claims


@pytest.mark.parametrize(
    "exp",
    [
        "tomorrow",
        str(NOW + 60),
        None,
        True,
        [NOW + 60],
        float("nan"),
        float("inf"),
        1e300,
        253_402_300_800,
        10**30,
        -1,
    ],
    ids=str,
)
def test_an_expiry_that_is_none(exp: object) -> None:
    assert reason(issuer(), signed({"sub": "ann", "exp": exp})) == "claims"


def test_no_expiry_at_all() -> None:
    assert reason(issuer(), token(without="exp")) == "claims"


def test_when_a_token_is_good() -> None:
    one = issuer(leeway_s=5)
    ticket = token(exp=NOW + 60, nbf=NOW, iat=NOW)
    assert reason(one, ticket, NOW - 5.1) == "early"
    assert judge(one, ticket, NOW - 5)
    assert judge(one, ticket, NOW + 64.9)
    assert reason(one, ticket, NOW + 65) == "expired"
    assert reason(one, token(nbf=NOW + 6)) == "early"
    assert reason(one, token(iat=NOW + 6)) == "early"
    # A moment need not be a whole one (RFC 7519, 2).
    assert judge(one, token(exp=NOW + 0.5), NOW + 5.4)
    assert reason(one, token(exp=NOW + 0.5), NOW + 5.5) == "expired"


@pytest.mark.parametrize("claim", ["nbf", "iat"])
@pytest.mark.parametrize("value", ["0", None, True, -1])
def test_other_moments_that_are_none(claim: str, value: object) -> None:
    said = {"sub": "ann", "exp": NOW + 60, claim: value}
    assert reason(issuer(), signed(said)) == "claims"


def test_the_issuer_is_the_configured_one() -> None:
    one = issuer(issuer="https://id.example")
    assert judge(one, token(iss="https://id.example"))
    for ticket in (token(iss="https://evil.example"), token()):
        assert reason(one, ticket) == "issuer"
    assert judge(issuer(), token(iss="https://id.example")), "none is configured"


def test_the_audience_is_the_configured_one() -> None:
    one = issuer(audience="wsprism")
    assert judge(one, token(aud="wsprism"))
    assert judge(one, token(aud=["other", "wsprism"]))
    for ticket in (
        token(aud="other"),
        token(aud=["other"]),
        token(aud="wsprism2"),
        token(),
    ):
        assert reason(one, ticket) == "audience"
    # A token for somebody else is not for whoever has no name.
    assert reason(issuer(), token(aud="wsprism")) == "audience"


def test_a_tenant_that_is_named_is_this_one() -> None:
    assert judge(issuer(), token(tenant="acme"))
    for tenant in ("other", None, ["acme"], 7):
        assert reason(issuer(), token(tenant=tenant)) == "tenant"


@pytest.mark.parametrize("user", [None, 7, "", "a\nb", "x" * 129, ["ann"]])
def test_a_user_that_is_none(user: object) -> None:
    assert reason(issuer(user_claim="uid"), token(uid=user)) == "claims"


@pytest.mark.parametrize("jti", [7, "", "a\nb", "x" * 129])
def test_an_id_that_is_none(jti: object) -> None:
    assert reason(issuer(), token(jti=jti)) == "claims"


@pytest.mark.parametrize(
    "rooms",
    [None, "lobby", {"lobby": 1}, ["a b"], [7], ["a*b"], ["lobby"] * (MAX_ROOMS + 1)],
    ids=str,
)
def test_rooms_that_are_none(rooms: object) -> None:
    assert reason(issuer(), token(rooms=rooms)) == "claims"


@pytest.mark.parametrize("payload", [b"", b"[]", b"7", b"\xff", b"[" * 5_000])
def test_a_payload_that_is_none(payload: bytes) -> None:
    assert reason(issuer(), signed(payload)) == "claims"


# ---------------------------------------------------------------- keys that are fetched


def test_fetched_keys_count_beside_the_others() -> None:
    one = issuer(SECRET, algorithms=["HS256", "ES256"])
    ticket = token(ec_key(), "ES256", header={"kid": "k"})
    head = read_head(ticket)
    assert head == Head("ES256", "k")
    assert judge(one, ticket) is None
    assert one.publishes_for(head)
    assert one.lacks_key_for(head)
    one.fetched = keys_of_jwks(jwks_of(jwk_of(ec_key(), kid="k")))
    assert judge(one, ticket)
    assert not one.lacks_key_for(head)
    assert not one.lacks_key_for(Head("ES256", None))
    one.fetched = ()
    assert judge(one, ticket) is None
    assert judge(one, token()), "those that are configured stay"


@pytest.mark.parametrize("algorithm", ["HS256", "RS256", "none"])
def test_nothing_is_published_for(algorithm: str) -> None:
    one = issuer(SECRET, algorithms=["HS256", "ES256"])
    assert not one.publishes_for(Head(algorithm, "k"))
