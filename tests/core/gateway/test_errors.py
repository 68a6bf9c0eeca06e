from __future__ import annotations

import math

import pytest

from wsprism_core.gateway.errors import error_data
from wsprism_core.protocol.errors import ProtocolError
from wsprism_core.protocol.layout import ErrorCode


def test_an_error_is_its_code_and_its_words() -> None:
    error = ProtocolError(ErrorCode.NOT_FOUND, "no such room", ref=7)
    assert error_data(error) == {"code": "NOT_FOUND", "msg": "no such room"}


def test_when_to_try_again_is_told_where_it_is_known() -> None:
    error = ProtocolError(ErrorCode.RATE_LIMITED, "too many", retry_after_ms=50)
    assert error_data(error)["retry_after_ms"] == 50


@pytest.mark.parametrize("never", [math.nan, math.inf])
def test_when_to_try_again_is_a_number_or_not_told(never: float) -> None:
    # A service that divides by nothing may say so.
    error = ProtocolError(ErrorCode.CONFLICT, "no")
    error.retry_after_ms = never  # type: ignore[assignment]
    assert error_data(error) == {"code": "CONFLICT", "msg": "no"}
