"""What operators do with tickets: issue one-time ones, and revoke."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, model_validator

from wsprism_core.gateway.operator import Name, OperatorError, OperatorRequest
from wsprism_core.policy.connect_tickets import ConnectTicketsFull
from wsprism_core.policy.revocations import RevocationsFull

__all__ = ("Issued", "RevokeRequest", "Revoked", "TicketOffice", "TicketRequest")


class _TicketsRequest(OperatorRequest):
    tenant: Name


class TicketRequest(_TicketsRequest):
    """Whom a one-time ticket lets in, and to which rooms."""

    user: Name
    rooms: Annotated[
        list[Name] | None,
        Field(
            max_length=256,
            description="What the client may ask to join; null is every room.",
        ),
    ] = None
    expires: Annotated[
        float | None,
        Field(
            description="When its session is closed, in unix seconds; null is never."
        ),
    ] = None


class RevokeRequest(_TicketsRequest):
    """Whose tickets are good no more."""

    user: Annotated[
        Name | None, Field(description="All that this user was issued until now.")
    ] = None
    ticket_id: Annotated[
        Name | None,
        Field(description="The one of this id, such as the `jti` of a JWT."),
    ] = None

    @model_validator(mode="after")
    def _names_something(self) -> RevokeRequest:
        if self.user is None and self.ticket_id is None:
            raise ValueError("name a user, a ticket_id, or both")
        return self


@dataclass(frozen=True, slots=True)
class Issued:
    """A one-time ticket.

    Args:
        ticket: Good for one connection, and soon.
    """

    ticket: str


@dataclass(frozen=True, slots=True)
class Revoked:
    """What a revocation came to.

    Args:
        closed: How many sessions were closed for it.
    """

    closed: int


class TicketOffice:
    """Where operators ask for tickets.

    Args:
        issue: See `Gateway.issue_ticket`.
        revoke: See `Gateway.revoke`.
    """

    def __init__(self, issue: Callable[..., str], revoke: Callable[..., int]) -> None:
        self._issue = issue
        self._revoke = revoke

    def issue(self, wanted: TicketRequest) -> Issued:
        """Issue a one-time ticket.

        Raises:
            OperatorError: The tenant has none, or as many wait as may.
        """
        fields: dict[str, Any] = {"rooms": wanted.rooms, "expires": wanted.expires}
        try:
            return Issued(self._issue(wanted.tenant, wanted.user, **fields))
        except KeyError:
            text = "there is no such tenant, or its connect_tickets are not enabled"
            raise OperatorError(text) from None
        except ConnectTicketsFull as error:
            raise OperatorError(str(error)) from None

    def revoke(self, wanted: RevokeRequest) -> Revoked:
        """Revoke tickets, and close their sessions.

        Raises:
            OperatorError: There is no such tenant, or no more can be remembered.
        """
        try:
            closed = self._revoke(
                wanted.tenant, user=wanted.user, ticket_id=wanted.ticket_id
            )
        except KeyError:
            raise OperatorError("there is no such tenant") from None
        except RevocationsFull as error:
            raise OperatorError(str(error)) from None
        return Revoked(closed)
