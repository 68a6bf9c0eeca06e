from __future__ import annotations

from dataclasses import replace

import pytest

from wsprism_core.api import Identity
from wsprism_core.policy.revocations import Revocations, RevocationsFull

ANN = Identity("ann", "acme", issued=100.0, ticket_id="t1")


def test_a_ticket_is_refused_until_it_has_expired() -> None:
    revocations = Revocations(10)
    revocations.add_ticket("acme", "t1", until=200.0)
    assert revocations.cover(ANN, 199.9)
    assert not revocations.cover(ANN, 200.0)
    assert not revocations.cover(replace(ANN, ticket_id="t2"), 150.0)
    assert not revocations.cover(replace(ANN, ticket_id=None), 150.0)
    assert not revocations.cover(replace(ANN, tenant="other"), 150.0)


def test_a_second_revocation_makes_it_no_shorter() -> None:
    revocations = Revocations(10)
    revocations.add_ticket("acme", "t1", until=200.0)
    revocations.add_ticket("acme", "t1", until=150.0)
    assert revocations.cover(ANN, 180.0)
    assert len(revocations) == 1


def test_a_user_is_refused_with_every_ticket_issued_until_then() -> None:
    revocations = Revocations(10)
    revocations.add_user("acme", "ann", now=100.5, until=200.0)
    assert revocations.cover(ANN, 150.0)
    assert revocations.cover(replace(ANN, issued=None, ticket_id=None), 150.0)
    assert not revocations.cover(replace(ANN, issued=101.0), 150.0)
    assert not revocations.cover(replace(ANN, user="bob"), 150.0)
    assert not revocations.cover(replace(ANN, tenant="other"), 150.0)
    assert not revocations.cover(ANN, 200.0)


def test_at_the_bound_a_new_one_is_refused_and_none_is_forgotten() -> None:
    revocations = Revocations(2)
    revocations.add_ticket("acme", "t1", until=200.0)
    revocations.add_user("acme", "bob", now=100.0, until=300.0)
    with pytest.raises(RevocationsFull, match="max_revocations"):
        revocations.add_ticket("acme", "t2", until=200.0)
    with pytest.raises(RevocationsFull):
        revocations.add_user("acme", "eve", now=100.0, until=200.0)
    # Known ones can be renewed.
    revocations.add_ticket("acme", "t1", until=250.0)
    revocations.add_user("acme", "bob", now=120.0, until=300.0)
    assert revocations.cover(ANN, 240.0)
    revocations.forget_past(250.0)
    assert len(revocations) == 1
    revocations.forget_past(300.0)
    assert len(revocations) == 0
