"""The metrics, as the gateway exposes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from wsprism_core import metrics
from wsprism_docs.generated import GeneratedDirective, code, table

if TYPE_CHECKING:
    from prometheus_client import Metric

__all__ = ("MetricTable",)


class MetricTable(GeneratedDirective):
    """Every metric; the body says what each is good for."""

    required_arguments = 0

    def markdown(self) -> Iterable[str]:
        """Yield a table of name, kind, labels and meaning."""
        families = list(_families())
        said = self.meanings(_exposed(family) for family in families)
        rows = (
            (
                code(_exposed(family)),
                family.type,
                ", ".join(code(one) for one in family.samples[0].labels if one != "le"),
                said[_exposed(family)],
            )
            for family in families
        )
        return table(("metric", "kind", "labels", "meaning"), rows)


def _families() -> Iterator[Metric]:
    """Yield every metric with one sample, for its labels."""
    counted = metrics.Metrics()
    counted.messages_of("t", "s", "text").count = 1
    counted.outdated["t", "s", "stale"] = 1
    counted.errors["t", "c"] = 1
    counted.handshakes["t", "o"] = 1
    counted.closes[1000] = 1
    counted.plugin_failures["p", "h"] = 1
    counted.plugin_counts["c"] = 1
    counted.slow_handlers["p", "h", "s"] = 1
    counted.admin_requests[200] = 1
    counted.history["o"] = 1
    counted.reloads["o"] = 1
    counted.admin_actions["a", "o"] = 1
    counted.state_refused["p"] = 1
    counted.recordings_stopped["r"] = 1
    counted.tickets["t", "o"] = 1
    counted.jwks_fetches["t", "o"] = 1
    counted.filters["p", "o"] = 1
    counted.shadow_refusals["t", "r"] = 1
    counted.tls_reloads["o"] = 1
    counted.tls_expires_at = 1.0
    readings = metrics.Readings(
        sessions=lambda: {"t": 1},
        rooms=lambda: 1,
        lanes=lambda: {"control": (1, 1, 1, 1, 1)},
        unsent=lambda: {("t", "s", "l", "r"): 1},
        spent_limits=lambda: {"t": 1},
        history_waiting=lambda: 0,
        connect_tickets=lambda: {("t", "o"): 1},
        connect_tickets_pending=lambda: {"t": 1},
        revocations=lambda: 1,
        insecure=lambda: {"s": True},
        lag=lambda: ([("+Inf", 1)], 1.0),
        pauses=lambda: {"0": (1, 1.0, 1.0)},
    )
    text, _ = metrics.render(counted, readings)
    yield from text_string_to_metric_families(text.decode())


def _exposed(family: Metric) -> str:
    """Return the name in the exposition, of several series what they begin with."""
    counts_once = family.type in ("counter", "gauge")
    return family.samples[0].name if counts_once else family.name
