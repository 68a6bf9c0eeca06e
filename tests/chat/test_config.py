from __future__ import annotations

import pytest
from pydantic import ValidationError

from wsprism_chat.config import ChatConfig


def test_defaults() -> None:
    assert ChatConfig().model_dump() == {
        "max_length": 4_000,
        "history_page_chars": 16_384,
    }


@pytest.mark.parametrize(
    "section",
    [
        {"max_length": 0},
        {"max_length": 65_537},
        {"max_length": "4000"},
        {"history_page_chars": 0},
        {"history_page_chars": 65_537},
        {"max_lenght": 100},
    ],
)
def test_a_bad_section_is_refused(section: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ChatConfig.model_validate(section)
