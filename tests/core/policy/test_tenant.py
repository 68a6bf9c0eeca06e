from __future__ import annotations

from typing import Any

import pytest

from wsprism_core.config import TenantConfig
from wsprism_core.policy.limits import TokenBucket
from wsprism_core.policy.tenant import Tenant


def tenant(**policy: Any) -> Tenant:
    return Tenant(TenantConfig.model_validate({"id": "acme", "policy": policy}), 0.0)


@pytest.mark.parametrize(
    ("scope", "of_connection", "of_tenant"),
    [
        ("connection", True, False),
        ("tenant", False, True),
        ("both", True, True),
    ],
)
def test_the_scope_says_who_has_a_bucket(
    scope: str, of_connection: bool, of_tenant: bool
) -> None:
    acme = tenant(rate_limit_scope=scope)
    assert (acme.connection_bucket("user:ann", 0.0) is not None) is of_connection
    assert (acme.bucket is not None) is of_tenant


def test_no_rate_is_no_limit() -> None:
    acme = tenant(rate_limit_rps=0, rate_limit_scope="both")
    assert acme.connection_bucket("user:ann", 0.0) is None
    assert acme.bucket is None


def test_single_mode_is_one_session() -> None:
    assert tenant(sessions={"mode": "single"}).max_sessions_per_user == 1
    assert tenant(sessions={"max_sessions_per_user": 7}).max_sessions_per_user == 7


def test_without_an_allowlist_rooms_can_be_joined_and_left() -> None:
    acme = tenant()
    assert acme.text.passes("room", "join")
    assert acme.text.passes("room", "leave")
    assert not acme.text.passes("room", "members")
    assert not acme.text.passes("chat", "send")
    assert not acme.hot.passes(1, 1)


def test_a_user_who_reconnects_goes_on_with_what_was_left() -> None:
    acme = tenant(rate_limit_rps=1, rate_limit_burst=3)

    def connect(user: str, now: float) -> TokenBucket:
        bucket = acme.connection_bucket(user, now)
        assert bucket is not None
        return bucket

    first = connect("user:ann", 0.0)
    assert [first.take(0.0) for _ in range(4)] == [True, True, True, False]
    acme.connection_ended("user:ann", first, 0.0)
    second, third = connect("user:ann", 1.0), connect("user:ann", 1.0)
    assert [second.take(1.0), second.take(1.0)] == [True, False]
    assert [third.take(1.0), third.take(1.0)] == [True, False]
    assert connect("user:bob", 1.0).level(1.0) == 3
    assert connect("user:ann", 9.0).level(9.0) == 3
