from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from support.pure import ManualClock
from wsprism_core.policy.limits import (
    EventWindow,
    HandshakeLimiter,
    SpentLimits,
    TokenBucket,
)


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
    return HandshakeLimiter(clock, **(defaults | limits))  # type: ignore[arg-type]


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


def spent(level: float, now: float = 0.0, rate: float = 1.0) -> TokenBucket:
    """Return a bucket for ten tokens that holds so many."""
    bucket = TokenBucket(rate, 10, now)
    bucket.lower(level)
    return bucket


def lowered(limits: SpentLimits, user: str, now: float) -> float:
    """Return what a new connection of a user begins with."""
    bucket = TokenBucket(1.0, 10, now)
    limits.apply(user, bucket, now)
    return bucket.level(now)


def test_a_new_connection_begins_with_the_least_that_its_user_had_left() -> None:
    limits = SpentLimits(100)
    for level in (5, 2, 8):
        limits.remember("ann", spent(level), 0.0)
    assert lowered(limits, "ann", 0.0) == 2
    # Not only the first one.
    assert lowered(limits, "ann", 3.0) == 5
    assert lowered(limits, "bob", 3.0) == 10


def test_what_is_whole_again_is_forgotten() -> None:
    limits = SpentLimits(100)
    limits.remember("ann", spent(10), 0.0)
    assert len(limits) == 0
    limits.remember("ann", spent(0), 0.0)
    limits.remember("bob", spent(0, 9.0), 9.0)
    assert len(limits) == 2
    limits.remember("cat", spent(0, 10.0), 10.0)
    assert len(limits) == 2
    assert lowered(limits, "ann", 10.0) == 10


def test_only_so_many_users_are_remembered() -> None:
    limits = SpentLimits(3)
    for number in range(100):
        limits.remember(f"user{number}", spent(0), 0.0)
    assert len(limits) == 3
    assert lowered(limits, "user96", 0.0) == 10
    assert lowered(limits, "user97", 0.0) == 0


def test_the_refused_come_back_one_after_the_other() -> None:
    clock = ManualClock()
    limit = limiter(clock, global_rps=10, max_ip_entries=1_000)
    waits = [limit.take(f"10.0.{n // 200}.{n % 200}") for n in range(310)]
    refused = [wait for wait in waits if wait is not None]
    assert len(refused) == 300
    # It takes 30 seconds to let in as many.
    assert max(refused[-100:]) > 20
    assert max(refused[-100:]) <= 30
    for second in range(1, 31):
        assert sum(wait == second for wait in refused) < 60


def test_nobody_is_told_to_wait_for_ever() -> None:
    limit = limiter(ManualClock(), global_rps=1, max_ip_entries=10_000)
    waits = [limit.take(f"10.{n // 200}.{n % 200}") for n in range(2_000)]
    assert max(wait or 0 for wait in waits) == 60


def test_the_refused_are_forgotten_in_time() -> None:
    clock = ManualClock()
    limit = limiter(clock, global_rps=10, global_burst=1, max_ip_entries=1_000)
    for n in range(300):
        limit.take(f"10.0.{n // 200}.{n % 200}")
    clock.time = 60.0
    assert limit.take("a") is None
    assert limit.take("b") == 1


# ------------------------------------------------------------ limits that are changed


def test_a_bucket_goes_on_with_what_it_holds() -> None:
    bucket = TokenBucket(2, 10, 0.0)
    assert bucket.take(0.0, 8)
    # Of the second that has passed it gets what the old rate gives.
    bucket.change(5, 20, 1.0)
    assert bucket.level(1.0) == 4
    assert bucket.level(2.0) == 9
    assert bucket.level(9.0) == 20
    bucket.change(1, 3, 9.0)
    assert bucket.level(9.0) == 3


def test_what_users_had_left_goes_on_too() -> None:
    spent = SpentLimits(10)
    for n, user in enumerate(("ann", "bob", "cat")):
        bucket = TokenBucket(1, 5, 0.0)
        bucket.take(0.0, 3 + n)
        spent.remember(user, bucket, 0.0)
    spent.change(2, TokenBucket(1, 100, 0.0), 0.0)
    assert len(spent) == 2

    def left(user: str, now: float) -> float:
        bucket = TokenBucket(1, 100, now)
        spent.apply(user, bucket, now)
        return bucket.level(now)

    assert (left("ann", 0.0), left("bob", 0.0), left("cat", 0.0)) == (100, 1, 0)
    assert left("cat", 50.0) == 50
    spent.change(2, None, 50.0)
    assert len(spent) == 0


def test_a_handshake_limit_goes_on_from_another() -> None:
    clock = ManualClock()

    def limiter(burst: int, entries: int = 10) -> HandshakeLimiter:
        return HandshakeLimiter(
            clock,
            global_rps=1,
            global_burst=burst * 2,
            per_ip_rps=1,
            per_ip_burst=burst,
            max_ip_entries=entries,
        )

    def tries(limit: HandshakeLimiter, address: str) -> int:
        return sum(limit.take(address) is None for _ in range(20))

    before = limiter(3)
    assert tries(before, "a") == 3
    after = limiter(10)
    after.go_on_from(before)
    assert tries(after, "a") == 0
    # All of them together have three left of six.
    assert tries(after, "b") == 3
    fewest = limiter(10, entries=1)
    fewest.go_on_from(after)
    assert len(fewest) == 1
