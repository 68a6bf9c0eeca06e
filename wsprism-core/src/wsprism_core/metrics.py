"""Counters: plain integers where it is hot, Prometheus text when somebody asks.

The hot path adds to integers and dictionary entries; the collector reads them at the
scrape. Label values come from closed sets (tenants, services, codes, lanes), never from
what a client sent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from wsprism_core.logs import summed_up
from wsprism_core.protocol.layout import CloseCode
from wsprism_core.transports.port import NO_CLOSE_FRAME

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

__all__ = (
    "Counts",
    "Metrics",
    "Readings",
    "ShadowedTally",
    "Tally",
    "close_label",
    "render",
)

K = TypeVar("K", bound=Hashable)

#: What a close without a code counts as (RFC 6455, 7.1.5).
_NO_CODE_GIVEN: Final = 1005
#: The close codes that are counted one by one; a peer may send any other number.
_COUNTED_CODES: Final = frozenset({*CloseCode, _NO_CODE_GIVEN, NO_CLOSE_FRAME})
#: What all of those count as together.
_ANY_OTHER_CODE: Final = "other"


class Counts(Counter[K]):
    """A counter with one series for each key.

    Whoever looks at rates does not see what a series begins with, and so would miss the
    first of something rare. So whoever counts says beforehand by which keys.
    """

    def __init__(self) -> None:
        super().__init__()
        self._foreseen: dict[K, int] = {}

    def foresee(self, keys: Iterable[K]) -> None:
        """Let each key have its series from the start, at 0."""
        self._foreseen.update(dict.fromkeys(keys, 0))

    def series(self) -> dict[K, int]:
        """Return every series: what was counted, and what is foreseen."""
        return {**self._foreseen, **self}


class Tally:
    """One counter of the hot path: whoever counts holds it, and looks nothing up."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class ShadowedTally(Tally):
    """A counter beside which it is counted what a limit on trial would refuse.

    Args:
        tally: The counter that it stands for.
        refused: Called for each message.
    """

    __slots__ = ("_refused", "_tally")

    def __init__(self, tally: Tally, refused: Callable[[], None]) -> None:
        self._tally = tally
        self._refused = refused

    @property
    def count(self) -> int:
        """How many there were."""
        return self._tally.count

    @count.setter
    def count(self, value: int) -> None:
        self._tally.count = value
        self._refused()


class Metrics:
    """What the gateway has counted since it started.

    Attributes:
        outdated: Messages dropped since a newer one was there, by tenant, service and
            reason (`superseded`, `stale`, `duplicate`).
        errors: Messages refused, by tenant and code.
        errors_silenced: Refusals that a client was not told of.
        handshakes: Connections judged, by transport and outcome; what ended before
            that is there by its close code.
        closes: Sessions ended, by close code.
        plugin_failures: Exceptions of plugins, by plugin and hook.
        plugin_counts: Counters that manifests declared, by name.
        slow_handlers: Times that the event loop was kept for too long, by plugin, hook
            and service; `none` where no plugin was seen to do it.
        admin_requests: Requests to the admin listener, by status.
        history: Messages of a durable store, by what became of them (`stored`,
            `failed`, `refused`).
        reloads: Times that the configuration was read again, by what came of it.
        tickets: Tickets judged, by tenant and outcome.
        jwks_fetches: Fetches of key sets, by tenant and outcome.
        admin_actions: What operators wanted done, by action and outcome (`done`,
            `refused`, `failed`).
        state_refused: Values that plugins could not keep, by plugin.
        recorded_bytes: What a recording has written.
        recordings_stopped: Recordings that ended before the gateway, by reason.
        filters: Answers of plugins that check messages, where one does so
            asynchronously, by plugin and outcome.
        shadow_refusals: What limits on trial would have refused, by tenant and rule.
        tls_expires_at: When the certificate expires, in seconds since 1970; None
            without TLS.
        tls_reloads: Certificates read again while the gateway ran, by outcome.
    """

    def __init__(self) -> None:
        self._messages: dict[tuple[str, str, str], Tally] = {}
        self.outdated: Counts[tuple[str, str, str]] = Counts()
        self.errors: Counts[tuple[str, str]] = Counts()
        self.errors_silenced = 0
        self.handshakes: Counts[tuple[str, str]] = Counts()
        self.closes: Counts[int | str] = Counts()
        self.closes.foresee((*sorted(_COUNTED_CODES), _ANY_OTHER_CODE))
        self.plugin_failures: Counts[tuple[str, str]] = Counts()
        self.plugin_counts: Counts[str] = Counts()
        self.slow_handlers: Counts[tuple[str, str, str]] = Counts()
        self.admin_requests: Counts[int] = Counts()
        self.history: Counts[str] = Counts()
        self.reloads: Counts[str] = Counts()
        self.tickets: Counts[tuple[str, str]] = Counts()
        self.jwks_fetches: Counts[tuple[str, str]] = Counts()
        self.admin_actions: Counts[tuple[str, str]] = Counts()
        self.state_refused: Counts[str] = Counts()
        self.recorded_bytes = 0
        self.recordings_stopped: Counts[str] = Counts()
        self.filters: Counts[tuple[str, str]] = Counts()
        self.shadow_refusals: Counts[tuple[str, str]] = Counts()
        self.tls_expires_at: float | None = None
        self.tls_reloads: Counts[str] = Counts()

    def messages_of(self, tenant: str, svc: str, form: str) -> Tally:
        """Return where messages of one service are counted.

        Args:
            tenant: Whose clients send them.
            svc: The service.
            form: `text` or `hot`.
        """
        return self._messages.setdefault((tenant, svc, form), Tally())

    @property
    def messages(self) -> dict[tuple[str, str, str], int]:
        """Messages received, by tenant, service and form, where there were any."""
        tallies = self._messages.items()
        return {key: tally.count for key, tally in tallies if tally.count}


def close_label(code: int) -> int | str:
    """Return what a close code is counted as."""
    return code if code in _COUNTED_CODES else _ANY_OTHER_CODE


class Readings:
    """Values that are not counted but read when somebody asks.

    Args:
        sessions: Open sessions by tenant.
        rooms: How many rooms have members here.
        lanes: Per lane: messages out, conflated, dropped, lost, overflowed.
        unsent: Messages that were not sent, by tenant, service, lane and reason.
        history_waiting: How many messages wait to be stored.
        insecure: Switches that make the gateway less safe, and whether they are on.
        spent_limits: By tenant, users who left and have not all of their rate limit
            back yet.
        connect_tickets: What became of one-time tickets, by tenant and outcome.
        connect_tickets_pending: By tenant, those that wait for their connection.
        revocations: Revocations that are remembered.
        lag: How many ticks of the event loop were at most so late, by the bound in
            seconds, growing up to the last, `+Inf`; and how late all were together.
        pauses: Per generation of the garbage collector: how many pauses, how long all
            were together and how long the longest, in seconds.
    """

    def __init__(
        self,
        *,
        sessions: Callable[[], dict[str, int]],
        rooms: Callable[[], int],
        lanes: Callable[[], dict[str, tuple[int, int, int, int, int]]],
        unsent: Callable[[], Mapping[tuple[str, str, str, str], int]],
        history_waiting: Callable[[], int],
        insecure: Callable[[], dict[str, bool]],
        spent_limits: Callable[[], dict[str, int]],
        connect_tickets: Callable[[], Mapping[tuple[str, str], int]],
        connect_tickets_pending: Callable[[], Mapping[str, int]],
        revocations: Callable[[], int],
        lag: Callable[[], tuple[list[tuple[str, int]], float]],
        pauses: Callable[[], dict[str, tuple[int, float, float]]],
    ) -> None:
        self.sessions = sessions
        self.rooms = rooms
        self.lanes = lanes
        self.unsent = unsent
        self.history_waiting = history_waiting
        self.insecure = insecure
        self.spent_limits = spent_limits
        self.connect_tickets = connect_tickets
        self.connect_tickets_pending = connect_tickets_pending
        self.revocations = revocations
        self.lag = lag
        self.pauses = pauses


def render(metrics: Metrics, readings: Readings) -> tuple[bytes, str]:
    """Return everything as Prometheus text, and its content type."""
    # Imported at the first scrape: it would add 0.1 s to every start.
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

    class Collector:
        def collect(self) -> Iterator[Metric]:
            return _families(metrics, readings)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector())
    return generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4


def _families(metrics: Metrics, readings: Readings) -> Iterator[Metric]:
    from prometheus_client.metrics_core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
        SummaryMetricFamily,
    )

    def counter(
        name: str, help: str, labels: list[str], values: dict[Any, int]
    ) -> CounterMetricFamily:
        family = CounterMetricFamily(f"wsprism_{name}", help, labels=labels)
        series = values.series() if isinstance(values, Counts) else values
        for key, value in series.items():
            parts = key if isinstance(key, tuple) else (key,)
            family.add_metric([str(part) for part in parts], value)
        return family

    def gauge(
        name: str, help: str, labels: list[str], values: dict[str, Any]
    ) -> GaugeMetricFamily:
        family = GaugeMetricFamily(f"wsprism_{name}", help, labels=labels)
        for key, value in values.items():
            family.add_metric([key] if labels else [], float(value))
        return family

    yield counter(
        "messages_received",
        "Messages received",
        ["tenant", "svc", "form"],
        metrics.messages,
    )
    yield counter(
        "messages_outdated",
        "Messages dropped since a newer one was there",
        ["tenant", "svc", "reason"],
        metrics.outdated,
    )
    yield counter("errors", "Messages refused", ["tenant", "code"], metrics.errors)
    yield counter(
        "errors_silenced",
        "Refusals that a client was not told of",
        [],
        {(): metrics.errors_silenced},
    )
    yield counter(
        "handshakes",
        "Connections judged",
        ["transport", "outcome"],
        metrics.handshakes,
    )
    yield counter("closes", "Sessions ended", ["code"], metrics.closes)
    yield counter("tickets", "Tickets judged", ["tenant", "outcome"], metrics.tickets)
    yield counter(
        "jwks_fetches",
        "Fetches of key sets",
        ["tenant", "outcome"],
        metrics.jwks_fetches,
    )
    yield counter(
        "connect_tickets",
        "One-time tickets",
        ["tenant", "outcome"],
        dict(readings.connect_tickets()),
    )
    yield gauge(
        "connect_tickets_pending",
        "One-time tickets that wait for their connection",
        ["tenant"],
        dict(readings.connect_tickets_pending()),
    )
    yield gauge(
        "revocations", "Revocations remembered", [], {"": readings.revocations()}
    )
    yield counter(
        "plugin_failures",
        "Exceptions of plugins",
        ["plugin", "hook"],
        metrics.plugin_failures,
    )
    yield counter(
        "plugin_events", "Counted by plugins", ["counter"], metrics.plugin_counts
    )
    yield counter(
        "slow_handlers",
        "Times that the event loop was kept for too long",
        ["plugin", "hook", "svc"],
        metrics.slow_handlers,
    )
    yield counter(
        "admin_requests",
        "Requests to the admin listener",
        ["status"],
        metrics.admin_requests,
    )
    yield counter(
        "history_messages",
        "Recoverable messages of a durable store",
        ["outcome"],
        metrics.history,
    )
    yield counter(
        "reloads",
        "Times that the configuration was read again",
        ["outcome"],
        metrics.reloads,
    )
    yield counter(
        "admin_actions",
        "What operators wanted done",
        ["action", "outcome"],
        metrics.admin_actions,
    )
    yield counter(
        "warnings_summed_up",
        "Warnings that were not logged one by one",
        [],
        {(): summed_up()},
    )
    yield counter(
        "state_refused",
        "Values that plugins could not keep",
        ["plugin"],
        metrics.state_refused,
    )
    yield counter(
        "recorded_bytes", "Written by --record", [], {(): metrics.recorded_bytes}
    )
    yield counter(
        "recordings_stopped",
        "Recordings that ended before the gateway",
        ["reason"],
        metrics.recordings_stopped,
    )
    yield counter(
        "filter_answers",
        "Answers of plugins that check messages",
        ["plugin", "outcome"],
        metrics.filters,
    )
    yield counter(
        "shadow_refusals",
        "What limits on trial would have refused",
        ["tenant", "rule"],
        metrics.shadow_refusals,
    )
    yield counter(
        "tls_reloads",
        "Certificates read again",
        ["outcome"],
        metrics.tls_reloads,
    )
    if metrics.tls_expires_at is not None:
        yield gauge(
            "tls_certificate_expires_seconds",
            "When the certificate expires, since 1970",
            [],
            {"": metrics.tls_expires_at},
        )
    lanes = readings.lanes()
    for place, (name, help) in enumerate(
        (
            ("lane_messages_sent", "Messages handed to sockets"),
            ("lane_messages_conflated", "Messages replaced by a newer one"),
            ("lane_messages_dropped", "Volatile messages dropped at a bound"),
            ("lane_messages_lost", "Recoverable messages told as a range instead"),
            ("lane_overflows", "Sessions closed because a lane was full"),
        )
    ):
        counts = {lane: values[place] for lane, values in lanes.items()}
        yield counter(name, help, ["lane"], counts)
    yield counter(
        "messages_unsent",
        "Messages that a reader did not get as they were posted",
        ["tenant", "svc", "lane", "reason"],
        dict(readings.unsent()),
    )
    yield gauge("sessions", "Open sessions", ["tenant"], readings.sessions())
    yield gauge("rooms", "Rooms with members here", [], {"": readings.rooms()})
    yield gauge(
        "spent_limits",
        "Users who left and have not all of their rate limit back",
        ["tenant"],
        readings.spent_limits(),
    )
    yield gauge(
        "history_waiting",
        "Messages that wait to be stored",
        [],
        {"": readings.history_waiting()},
    )
    yield gauge("insecure", "Switches that are on", ["switch"], readings.insecure())
    buckets, total = readings.lag()
    yield HistogramMetricFamily(
        "wsprism_loop_lag_seconds",
        "How late the event loop was",
        buckets=buckets,
        sum_value=total,
    )
    pauses = SummaryMetricFamily(
        "wsprism_gc_pause_seconds",
        "Pauses of the garbage collector",
        labels=["generation"],
    )
    longest = {}
    for generation, (count, seconds, most) in readings.pauses().items():
        pauses.add_metric([generation], count, seconds)
        longest[generation] = most
    yield pauses
    yield gauge(
        "gc_pause_max_seconds",
        "The longest pause of the garbage collector",
        ["generation"],
        longest,
    )
