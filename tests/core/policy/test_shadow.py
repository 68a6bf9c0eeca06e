from __future__ import annotations

from collections import Counter
from typing import Any

from wsprism_core.config import ShadowPolicy, TenantConfig
from wsprism_core.policy.limits import TokenBucket
from wsprism_core.policy.shadow import Shadow, ShadowedBucket
from wsprism_core.policy.tenant import Tenant


def shadow(**policy: Any) -> tuple[Shadow, Counter[tuple[str, str]]]:
    refusals: Counter[tuple[str, str]] = Counter()
    return Shadow("acme", ShadowPolicy.model_validate(policy), refusals), refusals


def test_without_a_section_a_tenant_has_none() -> None:
    tenant = Tenant(TenantConfig(id="acme"), 0.0)
    assert tenant.shadow is None
    assert type(tenant.connection_bucket("user:ann", 0.0)) is TokenBucket


def test_a_limit_that_is_not_on_trial_refuses_nothing() -> None:
    empty, refusals = shadow()
    bucket = TokenBucket(1, 1, 0.0)
    assert empty.beside(bucket, 0.0) is bucket
    assert empty.beside(None, 0.0) is None
    assert empty.passes_text("chat", "send")
    assert empty.passes_hot(1, 2)
    assert not refusals


def test_a_rate_on_trial_counts_what_it_would_refuse() -> None:
    trial, refusals = shadow(rate_limit_rps=1, rate_limit_burst=3)
    bucket = trial.beside(None, 0.0)
    assert bucket is not None
    assert all(bucket.take(0.0) for _ in range(10))
    assert refusals == {("acme", "rate_limit_rps"): 7}
    # It fills up as it would if it held.
    assert bucket.take(2.0)
    assert bucket.take(2.0)
    assert refusals == {("acme", "rate_limit_rps"): 7}
    assert bucket.take(2.0)
    assert refusals == {("acme", "rate_limit_rps"): 8}


def test_what_the_limit_that_holds_refuses_is_not_counted() -> None:
    trial, refusals = shadow(rate_limit_rps=1, rate_limit_burst=1)
    bucket = trial.beside(TokenBucket(1, 2, 0.0), 0.0)
    assert bucket is not None
    assert [bucket.take(0.0) for _ in range(4)] == [True, True, False, False]
    assert refusals == {("acme", "rate_limit_rps"): 1}
    assert bucket.retry_after() == 1.0


def test_a_limit_that_holds_is_as_it_was() -> None:
    trial, _ = shadow(rate_limit_rps=1, rate_limit_burst=1)
    plain, beside = TokenBucket(2, 5, 0.0), trial.beside(TokenBucket(2, 5, 0.0), 0.0)
    assert isinstance(beside, ShadowedBucket)
    for now in (0.0, 0.0, 0.1, 0.1, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0):
        assert beside.take(now) is plain.take(now)
        assert beside.level(now) == plain.level(now)
        assert beside.is_full(now) is plain.is_full(now)


def test_one_without_a_limit_that_holds_is_always_full() -> None:
    trial, _ = shadow(rate_limit_rps=1, rate_limit_burst=1)
    bucket = trial.beside(None, 5.0)
    assert bucket is not None
    for now in (5.0, 5.0, 6.0):
        assert bucket.take(now)
        assert bucket.is_full(now)


def test_allowlists_on_trial() -> None:
    trial, _ = shadow(ext_allowlist=["chat:send"], hot_allowlist=["1:2"])
    assert trial.passes_text("chat", "send")
    assert not trial.passes_text("chat", "typing")
    assert trial.passes_hot(1, 2)
    assert not trial.passes_hot(1, 3)
    # An empty one would refuse everything.
    nothing, _ = shadow(ext_allowlist=[], hot_allowlist=[])
    assert not nothing.passes_text("chat", "send")
    assert not nothing.passes_hot(1, 2)
