from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from support.pure import ManualClock
from wsprism_core.policy.limits import EventWindow, HandshakeLimiter, TokenBucket


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    bucket = TokenBucket(rate=10, burst=3, now=0.0)
    assert [bucket.take(0.0) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(0.05)
    assert bucket.take(0.1)
    assert not bucket.take(0.1)


def test_a_bucket_never_holds_more_than_its_burst() -> None:
    bucket = TokenBucket(rate=10, burst=2, now=0.0)
    assert [bucket.take(100.0) for _ in range(3)] == [True, True, False]


def test_a_bucket_says_when_to_try_again() -> None:
    bucket = TokenBucket(rate=4, burst=1, now=0.0)
    bucket.take(0.0)
    bucket.take(0.0)
    assert bucket.retry_after() == 0.25


def test_a_clock_that_goes_back_gives_nothing() -> None:
    bucket = TokenBucket(rate=10, burst=1, now=100.0)
    assert bucket.take(100.0)
    assert not bucket.take(0.0)
    assert not bucket.take(100.05)


@given(
    rate=st.integers(1, 1_000),
    burst=st.integers(1, 100),
    gaps=st.lists(st.floats(0, 1), max_size=200),
)
def test_no_window_lets_more_through_than_burst_and_rate(
    rate: int, burst: int, gaps: list[float]
) -> None:
    bucket = TokenBucket(rate, burst, 0.0)
    now, passed = 0.0, 0
    for gap in gaps:
        now += gap
        passed += bucket.take(now)
        assert passed <= burst + now * rate + 1e-6


def limiter(clock: ManualClock, **limits: int) -> HandshakeLimiter:
    defaults = {
        "global_rps": 100,
        "global_burst": 10,
        "per_ip_rps": 1,
        "per_ip_burst": 2,
        "max_ip_entries": 3,
    }
    return HandshakeLimiter(clock, **(defaults | limits))


def test_one_address_is_limited_and_another_is_not() -> None:
    clock = ManualClock()
    limit = limiter(clock)
    assert [limit.take("a") for _ in range(3)] == [None, None, 1]
    assert limit.take("b") is None
    clock.time = 1.0
    assert limit.take("a") is None


def test_everybody_together_is_limited() -> None:
    limit = limiter(ManualClock(), global_rps=1, global_burst=2, max_ip_entries=50)
    assert [limit.take(address) for address in "abc"] == [None, None, 1]


def test_an_address_that_is_refused_takes_nothing_from_the_others() -> None:
    limit = limiter(ManualClock(), global_rps=1, global_burst=3)
    for _ in range(10):
        limit.take("a")
    assert limit.take("b") is None


def test_the_table_of_addresses_is_bounded() -> None:
    limit = limiter(ManualClock(), global_burst=1_000)
    for n in range(50):
        limit.take(f"10.0.0.{n}")
    assert len(limit) == 3


def test_a_window_refuses_what_is_over_its_limit_and_forgets() -> None:
    window = EventWindow(2, 10.0)
    assert [window.exceeded(now) for now in (0.0, 1.0, 2.0)] == [False, False, True]
    assert not window.exceeded(10.0)
    assert window.exceeded(10.5)
    assert not window.exceeded(11.0)
