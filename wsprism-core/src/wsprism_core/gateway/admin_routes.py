"""What the admin listener answers: one table of routes.

The reference page, the OpenAPI document and the listener itself are made of it. To add
a route, write a function that reads or does something and give it a line here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeAlias

from wsprism_core.gateway.inspector import (
    MAX_PAGE,
    Inspector,
    Overview,
    Page,
    RoomReading,
    SessionReading,
)
from wsprism_core.gateway.operator import (
    BroadcastRequest,
    Kicked,
    KickRequest,
    Operator,
    OperatorRequest,
    Published,
    PublishRequest,
    Sent,
)
from wsprism_core.gateway.ticket_office import (
    Issued,
    Revoked,
    RevokeRequest,
    TicketOffice,
    TicketRequest,
)
from wsprism_core.transports.port import HttpRequest

__all__ = (
    "OPENAPI_PATH",
    "ActionRoute",
    "AdminRoute",
    "ReadRoute",
    "ReloadAnswer",
    "ReloadRequest",
    "TextRoute",
    "admin_routes",
)

OPENAPI_PATH: Final = "/v1/openapi.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRoute:
    """Something that GET reads.

    Args:
        name: What the document calls it.
        path: Matched whole; `{sid}` at its end is any one segment.
        summary: One line for the reference.
        answers: The type of what is read.
        read: Returns it, None where there is none such. Gets the request, and what
            stands in the place of `{sid}`.
        is_paged: Whether it takes `limit` and `cursor`.
    """

    name: str
    path: str
    summary: str
    answers: Any
    read: Callable[[HttpRequest, str], object]
    is_paged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRoute:
    """Text that GET reads: no JSON, and so in no document of such.

    Args:
        name: What it is, in a word.
        path: Matched whole.
        summary: One line for the reference.
        read: Returns the text and its content type.
    """

    name: str
    path: str
    summary: str
    read: Callable[[], tuple[bytes, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRoute:
    """Something that POST does.

    Args:
        name: How it is counted and logged, and what the document calls it.
        path: Matched whole.
        summary: One line for the reference.
        body: What is posted.
        answers: The type of the answer.
        act: Does it, and calls its second argument with the answer, now or in a later
            turn; with a `ProtocolError` in its place where it was not done. Such a one,
            raised or handed over, and a `ValueError` are told to whoever asked.
        logged: The fields of body and answer that a line of the log may hold; never a
            payload, never a ticket.
    """

    name: str
    path: str
    summary: str
    body: type[OperatorRequest]
    answers: Any
    act: Callable[[Any, Callable[[Any], None]], None]
    logged: tuple[str, ...]


AdminRoute: TypeAlias = ReadRoute | TextRoute | ActionRoute


class ReloadRequest(OperatorRequest):
    """Nothing: the gateway knows its file."""


@dataclass(frozen=True, slots=True)
class ReloadAnswer:
    """What came of reading the configuration again.

    Args:
        outcome: `applied`, `unchanged`, `needs_restart` or `refused`.
        applied: What holds now, a line for each key.
        needs_restart: What waits for a restart, likewise.
        problems: Why it was refused.
    """

    outcome: str
    applied: list[str]
    needs_restart: list[str]
    problems: list[str]


def admin_routes(
    inspector: Inspector,
    operator: Operator,
    office: TicketOffice,
    reload: Callable[[Callable[[Any], None]], None],
    metrics: Callable[[], tuple[bytes, str]],
) -> tuple[AdminRoute, ...]:
    """Return every route.

    Args:
        inspector: What is read.
        operator: What acts.
        office: What issues and revokes tickets.
        reload: Reads the configuration again; its argument is told what came of it.
        metrics: Returns the Prometheus text and its content type.
    """
    routes: tuple[AdminRoute, ...] = (
        ReadRoute(
            name="overview",
            path="/v1/admin/overview",
            summary="The gateway as a whole",
            answers=Overview,
            read=lambda request, _: inspector.overview(),
        ),
        ReadRoute(
            name="sessions",
            path="/v1/admin/sessions",
            summary="Sessions, those for which most bytes wait first",
            answers=Page[SessionReading],
            read=lambda request, _: inspector.sessions(**_page(request)),
            is_paged=True,
        ),
        ReadRoute(
            name="session",
            path="/v1/admin/sessions/{sid}",
            summary="One session",
            answers=SessionReading,
            read=lambda request, sid: inspector.session(sid),
        ),
        ReadRoute(
            name="rooms",
            path="/v1/admin/rooms",
            summary="Rooms, the busiest first",
            answers=Page[RoomReading],
            read=lambda request, _: inspector.rooms(**_page(request)),
            is_paged=True,
        ),
        ActionRoute(
            name="publish",
            path="/v1/publish",
            summary="Send a message to a room, to a user or to several users",
            body=PublishRequest,
            answers=Published,
            act=operator.publish,
            logged=("tenant", "room", "user", "svc", "type", "delivered", "seq"),
        ),
        ActionRoute(
            name="broadcast",
            path="/v1/broadcast",
            summary="Send a message to every session of a tenant",
            body=BroadcastRequest,
            answers=Sent,
            act=lambda wanted, done: done(operator.broadcast(wanted)),
            logged=("tenant", "svc", "type", "delivered"),
        ),
        ActionRoute(
            name="kick",
            path="/v1/kick",
            summary="Close a session, or all of a user's",
            body=KickRequest,
            answers=Kicked,
            act=lambda wanted, done: done(operator.kick(wanted)),
            logged=("sid", "tenant", "user", "reason", "close_code", "kicked"),
        ),
        ActionRoute(
            name="ticket",
            path="/v1/tickets",
            summary="Issue a ticket that lets one connection in",
            body=TicketRequest,
            answers=Issued,
            act=lambda wanted, done: done(office.issue(wanted)),
            logged=("tenant", "user", "rooms", "expires"),
        ),
        ActionRoute(
            name="revoke",
            path="/v1/revoke",
            summary="Let tickets be good no more, and close their sessions",
            body=RevokeRequest,
            answers=Revoked,
            act=lambda wanted, done: done(office.revoke(wanted)),
            logged=("tenant", "user", "closed"),
        ),
        ActionRoute(
            name="reload",
            path="/v1/reload",
            summary="Read the configuration file again",
            body=ReloadRequest,
            answers=ReloadAnswer,
            act=lambda wanted, done: reload(lambda told: done(ReloadAnswer(**told))),
            logged=(),
        ),
        TextRoute(
            name="metrics",
            path="/metrics",
            summary="The metrics, as text for Prometheus",
            read=metrics,
        ),
    )

    @cache
    def document() -> dict[str, Any]:
        # Imported when somebody asks: schemas take a while to make.
        from wsprism_core.gateway.openapi import openapi

        return openapi(routes)

    described = ReadRoute(
        name="openapi",
        path=OPENAPI_PATH,
        summary="This document",
        answers=dict[str, Any],
        read=lambda request, _: document(),
    )
    routes += (described,)
    return routes


def _page(request: HttpRequest) -> dict[str, Any]:
    """Return which page a query asks for.

    Raises:
        ValueError: It does not say so as it should.
    """
    page: dict[str, Any] = {"cursor": request.query.get("cursor")}
    limit = request.query.get("limit")
    if limit is not None:
        is_number = limit.isascii() and limit.isdigit() and len(limit) < 10
        if not (is_number and 1 <= int(limit) <= MAX_PAGE):
            raise ValueError(f"limit must be a number from 1 to {MAX_PAGE}")
        page["limit"] = int(limit)
    return page
