"""Query strings: their fields, or a refusal."""

from __future__ import annotations

from contextlib import suppress

from wsprism_core.transports.http import Rejected, parse_query


def target(data: bytes) -> None:
    with suppress(Rejected):
        for field in parse_query(data.decode("latin-1")):
            for part in field:
                # Nothing that could not be logged or sent.
                part.encode()
