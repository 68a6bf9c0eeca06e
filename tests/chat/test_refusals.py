from __future__ import annotations

from wsprism_chat.refusals import (
    bad_request,
    conflict,
    exhausted,
    not_allowed,
    not_found,
    too_often,
)


def test_each_refusal_has_its_code_and_says_why() -> None:
    made = (bad_request, conflict, exhausted, not_allowed, not_found)
    assert [str(one("so")) for one in made] == [
        "BAD_REQUEST: so",
        "CONFLICT: so",
        "RESOURCE_EXHAUSTED: so",
        "NOT_ALLOWED: so",
        "NOT_FOUND: so",
    ]


def test_what_is_done_too_often_may_be_tried_again() -> None:
    error = too_often("so", 1.0001)
    assert str(error) == "RATE_LIMITED: so"
    assert error.retry_after_ms == 1_001
