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


def test_a_tenant_takes_over_what_another_says() -> None:
    acme = tenant(rate_limit_scope="both", rate_limit_rps=1, rate_limit_burst=5)
    own = acme.connection_bucket("user:ann", 0.0)
    shared = acme.bucket
    assert own is not None
    assert shared is not None
    assert own.take(0.0, 4)
    assert shared.take(0.0, 5)
    other = TenantConfig.model_validate(
        {
            "id": "acme",
            "limits": {"max_rooms_total": 7},
            "policy": {
                "rate_limit_scope": "both",
                "rate_limit_rps": 2,
                "rate_limit_burst": 9,
                "rate_limit_max_spent": 1,
                "ext_allowlist": ["chat:*"],
                "hot_allowlist": ["1:*"],
                "hot_error_mode": "silent",
                "hot_requires_active_room": False,
                "sessions": {"mode": "single", "on_exceed": "kick_oldest"},
            },
        }
    )
    acme.become(Tenant(other, 0.0), 0.0)
    fresh = Tenant(other, 0.0)
    for name in (
        "id",
        "limits",
        "tells_hot_errors",
        "hot_requires_active_room",
        "kicks_oldest",
        "max_sessions_per_user",
    ):
        assert getattr(acme, name) == getattr(fresh, name), name
    assert acme.text.passes("chat", "send")
    assert not acme.text.passes("room", "join")
    assert acme.hot.passes(1, 1)
    shared = acme.bucket
    assert shared is not None
    assert (shared.level(0.0), shared.level(1.0), shared.burst) == (0, 2, 9)
    own = acme.next_bucket(own, "user:ann", 0.0)
    assert own is not None
    assert (own.level(0.0), own.level(1.0), own.burst) == (1, 3, 9)
    # Of two who leave it remembers one.
    for user in ("user:ann", "user:bob"):
        acme.connection_ended(user, own, 0.0)
    assert acme.spent_limits == 1


@pytest.mark.parametrize("scope", ["tenant", "connection"])
def test_a_limit_that_is_gone_is_gone(scope: str) -> None:
    acme = tenant(rate_limit_scope="both", rate_limit_rps=1)
    own = acme.connection_bucket("user:ann", 0.0)
    assert own is not None
    own.take(0.0, 5)
    acme.connection_ended("user:ann", own, 0.0)
    acme.become(tenant(rate_limit_scope=scope), 0.0)
    assert (acme.next_bucket(own, "user:ann", 0.0) is None) is (scope == "tenant")
    assert (acme.bucket is None) is (scope == "connection")
    acme.become(tenant(rate_limit_rps=0), 0.0)
    assert acme.next_bucket(own, "user:ann", 0.0) is None
    assert acme.spent_limits == 0


def test_a_connection_that_had_no_limit_gets_what_its_user_has_left() -> None:
    acme = tenant(rate_limit_rps=0)
    acme.become(tenant(rate_limit_rps=1, rate_limit_burst=5), 0.0)
    bucket = acme.next_bucket(None, "user:ann", 0.0)
    assert bucket is not None
    assert bucket.level(0.0) == 5


def test_what_a_user_may_fetch_comes_back_by_the_second() -> None:
    acme = tenant(rate_limit_max_spent=1)

    def fetch(user: str, now: float, messages: int = 5) -> bool:
        return acme.spend_fetch(user, messages, 5, now)

    assert [fetch("ann", 0.0) for _ in range(12)] == [True] * 10 + [False] * 2
    assert not fetch("ann", 0.9)
    assert fetch("ann", 1.0)
    assert not fetch("ann", 1.0, 1)
    # Of others it remembers so many, and a reload changes that.
    acme.become(tenant(rate_limit_max_spent=2), 1.0)
    assert fetch("bob", 1.0)
    assert not fetch("ann", 1.0)
    assert fetch("cat", 1.0)
    assert fetch("ann", 1.0)
