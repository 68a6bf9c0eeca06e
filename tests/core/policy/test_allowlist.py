from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsprism_core.policy.allowlist import HotAllowlist, TextAllowlist


@pytest.mark.parametrize(
    ("patterns", "svc", "type", "passes"),
    [
        (["chat:send"], "chat", "send", True),
        (["chat:send"], "chat", "edit", False),
        (["chat:*"], "chat", "edit", True),
        (["chat:*"], "chatter", "send", False),
        (["*:*"], "anything", "at-all", True),
        (["*:send"], "chat", "send", True),
        (["*:send"], "chat", "edit", False),
        ([], "chat", "send", False),
        ([], "sys", "ping", True),
    ],
)
def test_text_patterns(patterns: list[str], svc: str, type: str, passes: bool) -> None:
    assert TextAllowlist(patterns).passes(svc, type) is passes


@pytest.mark.parametrize(
    ("patterns", "svc_id", "opcode", "passes"),
    [
        (["1:2"], 1, 2, True),
        (["1:2"], 2, 1, False),
        (["1:*"], 1, 255, True),
        (["1:*"], 2, 0, False),
        (["*:2"], 200, 2, True),
        (["*:*"], 255, 255, True),
        ([], 0, 0, False),
    ],
)
def test_hot_patterns(
    patterns: list[str], svc_id: int, opcode: int, passes: bool
) -> None:
    assert HotAllowlist(patterns).passes(svc_id, opcode) is passes


PARTS = st.one_of(st.just("*"), st.integers(0, 255).map(str))


@given(st.lists(st.tuples(PARTS, PARTS), max_size=5), st.data())
def test_hot_allowlists_let_exactly_what_fits_pass(
    patterns: list[tuple[str, str]], data: st.DataObject
) -> None:
    allowlist = HotAllowlist(":".join(pattern) for pattern in patterns)
    named = [int(part) for pattern in patterns for part in pattern if part != "*"]
    numbers = st.sampled_from([0, 1, 254, 255, *named])
    id, opcode = data.draw(numbers), data.draw(numbers)
    assert allowlist.passes(id, opcode) is any(
        first in ("*", str(id)) and second in ("*", str(opcode))
        for first, second in patterns
    )
