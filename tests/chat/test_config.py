from __future__ import annotations

import pytest
from pydantic import ValidationError

from wsprism_chat.config import ChatConfig


def test_defaults() -> None:
    assert ChatConfig().model_dump() == {
        "max_length": 4_000,
        "history_page_chars": 16_384,
        "history_reach": 10_000,
        "history_on_join": 0,
        "edit_window_s": 3_600,
        "max_mentions": 16,
        "typing_ttl_ms": 10_000,
        "typing_every_ms": 1_000,
        "typing_max_users": 50,
        "reactions_batch_ms": 250,
        "reactions_max_kinds": 16,
        "reactions_max": 1_000,
        "reactions_max_messages": 10_000,
        "receipts_max_members": 50,
        "status_batch_ms": 1_000,
        "status_max_members": 100,
        "max_people": 10_000,
        "max_marks": 100_000,
        "max_rooms": 10_000,
        "max_rooms_per_user": 100,
        "max_created_per_hour": 100,
        "max_moderators": 50,
        "max_invited": 1_000,
        "max_sanctions": 1_000,
        "max_direct_rooms": 100,
        "filters": (),
        "filter_options": {},
        "filter_failure": "reject",
    }


def test_filters_are_a_list_as_a_file_has_it() -> None:
    section = {"filters": ["words"], "filter_options": {"words": {"words": ["x"]}}}
    assert ChatConfig.model_validate(section).filters == ("words",)


@pytest.mark.parametrize(
    "section",
    [
        {"max_length": 0},
        {"max_length": 65_537},
        {"max_length": "4000"},
        {"history_page_chars": 0},
        {"history_page_chars": 65_537},
        {"max_lenght": 100},
        {"history_on_join": 101},
        {"max_mentions": 65},
        {"reactions_max_kinds": 65},
        {"typing_ttl_ms": 999},
        {"filters": "words"},
        {"filters": [1]},
        {"filter_failure": "maybe"},
    ],
)
def test_a_bad_section_is_refused(section: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ChatConfig.model_validate(section)
