from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsprism_core.policy.allowlist import HotAllowlist, TextAllowlist
from wsprism_core.policy.ruling import Ruling, rule_on_frame, rule_on_text

NAMES = st.sampled_from(["*", "chat", "room", "sys"])
NUMBERS = st.sampled_from(["*", "0", "1", "2", "255"])
TEXT = st.lists(st.builds("{}:{}".format, NAMES, NAMES), max_size=4)
FRAMES = st.lists(st.builds("{}:{}".format, NUMBERS, NUMBERS), max_size=4)


@pytest.mark.parametrize(
    ("svc", "type", "ruling"),
    [
        ("chat", "send", Ruling(True, 0)),
        ("chat", "edit", Ruling(True, 1)),
        ("game", "join", Ruling(True, 2)),
        ("game", "move", Ruling(False, None)),
        ("sys", "ping", Ruling(True, None)),
    ],
)
def test_the_first_pattern_that_fits_decides(
    svc: str, type: str, ruling: Ruling
) -> None:
    patterns = ["chat:send", "chat:*", "*:join", "chat:send"]
    assert rule_on_text(patterns, svc, type) == ruling


def test_hot_frames() -> None:
    assert rule_on_frame(["1:2", "*:3"], 9, 3) == Ruling(True, 1)
    assert rule_on_frame(["1:2"], 1, 3) == Ruling(False, None)


@given(TEXT, NAMES, NAMES)
def test_it_says_what_the_compiled_list_does(
    patterns: list[str], svc: str, type: str
) -> None:
    ruling = rule_on_text(patterns, svc, type)
    assert ruling.passes is TextAllowlist(patterns).passes(svc, type)


@given(FRAMES, st.sampled_from([0, 1, 2, 3, 254, 255]), st.sampled_from([0, 1, 255]))
def test_it_says_what_the_compiled_list_does_with_frames(
    patterns: list[str], svc_id: int, opcode: int
) -> None:
    ruling = rule_on_frame(patterns, svc_id, opcode)
    assert ruling.passes is HotAllowlist(patterns).passes(svc_id, opcode)
    assert ruling.passes is (ruling.place is not None)
