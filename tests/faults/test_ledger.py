"""The ledger notices what it is there for."""

from __future__ import annotations

import pytest

from faults.ledger import Ledger, Subscriber


def whole() -> Ledger:
    """Three messages, all acknowledged, that two subscribers heard."""
    ledger = Ledger(sent={"a", "b", "c"})
    for seq, id in enumerate("abc", 1):
        ledger.acknowledge(id, "e", seq)
    heard = [("e", 1, "a"), ("e", 2, "b"), ("e", 3, "c")]
    ledger.subscribers += [Subscriber("x", list(heard)), Subscriber("y", list(heard))]
    return ledger


def test_what_is_whole_is_whole() -> None:
    ledger = whole()
    ledger.acknowledge("a", "e", 1)
    assert ledger.violations() == []


@pytest.mark.parametrize(
    ("heard", "fault"),
    [
        ([("e", 1, "a"), ("e", 2, "b")], "x: c (e/3) never came"),
        ([("e", 1, "a"), ("e", 3, "c"), ("e", 2, "b")], "e/2 (b) came behind 3"),
        ([("e", 1, "a"), ("e", 3, "c")], "e/3 (c) came behind 1"),
        (
            [("e", 1, "a"), ("e", 2, "b"), ("e", 3, "c"), ("e", 4, "c")],
            "c came 2 times",
        ),
        ([("e", 1, "a"), ("e", 2, "c"), ("e", 3, "b")], "e/2 is c and b"),
        (
            [("e", 1, "a"), ("e", 2, "b"), ("e", 3, "c"), ("e", 4, "d")],
            "d was never sent",
        ),
    ],
)
def test_a_fault_is_found(heard: list[tuple[str, int, str]], fault: str) -> None:
    ledger = whole()
    ledger.subscribers[0].heard[:] = heard
    assert any(fault in found for found in ledger.violations()), ledger.violations()


def test_a_hole_that_was_told_is_none() -> None:
    ledger = whole()
    one = ledger.subscribers[0]
    one.heard[:] = [("e", 1, "a"), ("e", 3, "c")]
    one.holes.append(("e", 2, 2))
    assert ledger.violations() == []


def test_two_numbers_for_one_message_are_found() -> None:
    ledger = whole()
    ledger.acknowledge("a", "e", 9)
    assert "a was acknowledged as [('e', 1), ('e', 9)]" in ledger.violations()


def test_what_was_refused_comes_to_nobody() -> None:
    ledger = whole()
    ledger.refused.add("b")
    del ledger.acknowledged["b"]
    assert "x: b was refused" in ledger.violations()
