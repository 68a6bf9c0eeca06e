from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsprism_core.protocol.serial import HALF_RANGE, is_newer

SEQ = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize(
    ("seq", "than", "newer"),
    [
        (1, 0, True),
        (0, 1, False),
        (0, 2**32 - 1, True),
        (2**32 - 1, 0, False),
        (2**31 - 1, 0, True),
        (2**31, 0, False),
        (0, 2**31, False),
        (0, 2**31 + 1, True),
    ],
)
def test_what_comes_after_what(seq: int, than: int, newer: bool) -> None:
    assert is_newer(seq, than) is newer


@given(SEQ, st.integers(1, HALF_RANGE - 1))
def test_a_number_less_than_half_the_range_ahead_is_newer(seq: int, ahead: int) -> None:
    later = (seq + ahead) % 2**32
    assert is_newer(later, seq)
    assert not is_newer(seq, later)


@given(SEQ)
def test_neither_of_equal_or_opposite_numbers_is_newer(seq: int) -> None:
    opposite = (seq + HALF_RANGE) % 2**32
    assert not is_newer(seq, seq)
    assert not is_newer(seq, opposite)
    assert not is_newer(opposite, seq)
