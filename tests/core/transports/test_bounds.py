from __future__ import annotations

import pytest

from wsprism_core.transports.bounds import UnfinishedBytes, short_reason


def test_what_is_held_is_bounded_and_can_always_be_let_go() -> None:
    pool = UnfinishedBytes(limit=100)
    assert pool.change(60)
    assert pool.change(40)
    assert not pool.change(1)
    assert pool.change(-41)
    assert pool.held == 60


@pytest.mark.parametrize(
    ("reason", "short"),
    [
        ("", ""),
        ("x" * 123, "x" * 123),
        ("x" * 124, "x" * 123),
        ("x" * 122 + "ü", "x" * 122),
    ],
)
def test_a_reason_fits_a_control_frame(reason: str, short: str) -> None:
    assert short_reason(reason) == short
