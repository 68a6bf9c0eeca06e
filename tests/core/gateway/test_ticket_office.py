from __future__ import annotations

import pytest
from pydantic import ValidationError

from wsprism_core.auth_config import AuthConfig, ConnectTicketsConfig
from wsprism_core.config import Config
from wsprism_core.gateway.operator import OperatorError
from wsprism_core.gateway.ticket_office import (
    RevokeRequest,
    TicketOffice,
    TicketRequest,
)
from wsprism_core.testing import GatewayHarness, config_with


def office(gw: GatewayHarness) -> TicketOffice:
    return TicketOffice(gw.gateway.issue_ticket, gw.gateway.revoke)


def tickets(max_pending: int = 10, **gateway: int) -> Config:
    connect = ConnectTicketsConfig(enabled=True, max_pending=max_pending)
    config = config_with(gateway=gateway)
    auth = AuthConfig(connect_tickets=connect)
    tenants = [one.model_copy(update={"auth": auth}) for one in config.tenants]
    return config.model_copy(update={"tenants": tenants})


async def test_a_ticket_lets_one_connection_in(gateway: type[GatewayHarness]) -> None:
    config = tickets()
    async with gateway(config=config) as gw:
        wanted = TicketRequest(tenant="default", user="ann", rooms=["r*"])
        ticket = office(gw).issue(wanted).ticket
        client = await gw.dial(ticket=ticket)
        told = (await client.expect_push("sys.authed"))["data"]
        assert told["user"] == "ann"
        await client.join("r1")
        ref = await client.send("room", "join", room="x")
        await client.expect_error("NOT_ALLOWED", ref=ref)


async def test_what_cannot_be_issued_is_said(gateway: type[GatewayHarness]) -> None:
    config = tickets(max_pending=1)
    async with gateway(config=config) as gw:
        with pytest.raises(OperatorError, match="no such tenant"):
            office(gw).issue(TicketRequest(tenant="other", user="ann"))
        wanted = TicketRequest(tenant="default", user="ann")
        office(gw).issue(wanted)
        with pytest.raises(OperatorError, match="as many"):
            office(gw).issue(wanted)


async def test_what_is_revoked_is_closed(gateway: type[GatewayHarness]) -> None:
    config = tickets(max_revocations=1)
    async with gateway(config=config) as gw:
        issued = office(gw).issue(TicketRequest(tenant="default", user="ann"))
        client = await gw.dial(ticket=issued.ticket)
        revoked = office(gw).revoke(RevokeRequest(tenant="default", user="ann"))
        assert revoked.closed == 1
        await client.expect_closed(4503)
        with pytest.raises(OperatorError, match="no such tenant"):
            office(gw).revoke(RevokeRequest(tenant="other", user="ann"))
        with pytest.raises(OperatorError):
            office(gw).revoke(RevokeRequest(tenant="default", user="bob"))


def test_a_revocation_names_something() -> None:
    with pytest.raises(ValidationError, match="name a user"):
        RevokeRequest(tenant="default")
