from __future__ import annotations

import base64

import pytest

from wsprism_core.api import Identity
from wsprism_core.auth_config import ConnectTicketsConfig
from wsprism_core.policy.connect_tickets import ConnectTickets, ConnectTicketsFull

ANN = Identity("ann", "acme", rooms=("lobby",))


def tickets(**config: int) -> ConnectTickets:
    return ConnectTickets(ConnectTicketsConfig(enabled=True, **config))


def test_a_ticket_is_good_once() -> None:
    some = tickets()
    ticket = some.issue(ANN, 0.0)
    assert len(some) == 1
    assert some.redeem(ticket, 0.0) is ANN
    assert some.redeem(ticket, 0.0) is None
    assert len(some) == 0
    assert some.counts == {"issued": 1, "used": 1}


def test_it_has_256_bits_and_is_kept_nowhere() -> None:
    some = tickets()
    ticket = some.issue(ANN, 0.0)
    assert len(base64.urlsafe_b64decode(ticket.removeprefix("ct_") + "=")) == 32
    assert ticket != some.issue(ANN, 0.0)
    assert ticket not in repr(vars(some))
    assert ticket.encode() not in b"".join(some._pending)


def test_it_is_good_for_its_time() -> None:
    some = tickets(ttl_ms=1_000)
    first, second = some.issue(ANN, 0.0), some.issue(ANN, 0.5)
    assert some.redeem(first, 1.0) is None
    assert some.redeem(second, 1.4) is ANN
    assert some.counts == {"issued": 2, "used": 1, "expired": 1}


def test_at_the_bound_a_new_one_is_refused_and_the_others_stay_good() -> None:
    some = tickets(ttl_ms=1_000, max_pending=2)
    first, _ = some.issue(ANN, 0.0), some.issue(ANN, 0.0)
    with pytest.raises(ConnectTicketsFull, match="max_pending"):
        some.issue(ANN, 0.9)
    assert some.redeem(first, 0.9) is ANN
    assert some.issue(ANN, 0.9)
    assert some.counts["refused"] == 1
    # Those that nobody used make room.
    assert some.issue(ANN, 1.0)


@pytest.mark.parametrize("ticket", ["", "ct_", "ct_x", "dev:ann", "ct_\ud800", "x" * 9])
def test_anything_else_is_none(ticket: str) -> None:
    some = tickets()
    some.issue(ANN, 0.0)
    assert some.redeem(ticket, 0.0) is None
    assert len(some) == 1
