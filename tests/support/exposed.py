"""What a gateway exposes, with a sample of every metric."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from wsprism_core.metrics import Counts, Metrics, Readings, render

if TYPE_CHECKING:
    from prometheus_client import Metric

__all__ = ("every_metric", "readings")


def readings() -> Readings:
    return Readings(
        sessions=lambda: {"acme": 2},
        rooms=lambda: 3,
        lanes=lambda: {"control": (4, 5, 6, 7, 8)},
        unsent=lambda: {("acme", "chat", "interactive", "lost"): 12},
        history_waiting=lambda: 3,
        insecure=lambda: {"development_tickets": True},
        spent_limits=lambda: {"acme": 2},
        connect_tickets=lambda: {("t", "used"): 1},
        connect_tickets_pending=lambda: {"t": 1},
        revocations=lambda: 1,
        lag=lambda: ([("0.1", 2), ("+Inf", 3)], 1.5),
        pauses=lambda: {"0": (4, 0.25, 0.125)},
    )


def every_metric() -> Iterator[Metric]:
    """Yield every metric that there may be, each with a sample of all its labels."""
    counted = Metrics()
    for counts in vars(counted).values():
        if isinstance(counts, Counts):
            counts["a", "b", "c"] = 1
    counted.messages_of("a", "b", "c").count = 1
    counted.tls_expires_at = 1.0
    text, _ = render(counted, readings())
    yield from text_string_to_metric_families(text.decode())
