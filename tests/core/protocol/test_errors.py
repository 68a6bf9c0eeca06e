from __future__ import annotations

import pytest

from wsprism_core.protocol.errors import Malformed, ProtocolError, WsPrismError
from wsprism_core.protocol.layout import ErrorCode


def test_a_refusal_is_no_strike_and_carries_its_data() -> None:
    error = ProtocolError(
        ErrorCode.RATE_LIMITED, "slow down", ref=7, retry_after_ms=250
    )
    assert error.strike is False
    assert (error.code, error.msg) == (ErrorCode.RATE_LIMITED, "slow down")
    assert (error.ref, error.retry_after_ms) == (7, 250)
    assert str(error) == "RATE_LIMITED: slow down"


def test_ref_and_retry_are_none_where_nothing_is_said() -> None:
    error = ProtocolError(ErrorCode.NOT_ALLOWED, "not a member")
    assert error.ref is None
    assert error.retry_after_ms is None


def test_malformed_is_a_bad_request_and_a_strike() -> None:
    error = Malformed("bad JSON", ref=3)
    assert error.strike is True
    assert error.code is ErrorCode.BAD_REQUEST
    assert error.ref == 3
    assert str(error) == "BAD_REQUEST: bad JSON"


@pytest.mark.parametrize("kind", [ProtocolError, Malformed])
def test_one_root_catches_all(kind: type[WsPrismError]) -> None:
    assert issubclass(kind, WsPrismError)
