from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from support.exposed import readings
from wsprism_core.metrics import Counts, Metrics, render


def samples(metrics: Metrics) -> dict[tuple[str, tuple[str, ...]], float]:
    body, _ = render(metrics, readings())
    return {
        (sample.name, tuple(sorted(sample.labels.values()))): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def test_what_was_counted_is_exposed() -> None:
    metrics = Metrics()
    metrics.messages_of("acme", "chat", "text").count += 9
    metrics.outdated["acme", "game", "stale"] += 5
    metrics.errors["acme", "BAD_REQUEST"] += 1
    metrics.errors_silenced += 2
    metrics.handshakes["websocket", "401"] += 3
    metrics.closes[4001] += 1
    metrics.plugin_failures["chat", "on_join"] += 1
    metrics.plugin_counts["chat_dropped"] += 4
    metrics.slow_handlers["chat", "on_message", "chat"] += 5
    metrics.admin_requests[401] += 6
    metrics.tickets["acme", "expired"] += 7
    metrics.jwks_fetches["acme", "failed"] += 8
    metrics.admin_actions["kick", "done"] += 7
    found = samples(metrics)
    assert found["wsprism_slow_handlers_total", ("chat", "chat", "on_message")] == 5
    assert found["wsprism_admin_requests_total", ("401",)] == 6
    assert found["wsprism_tickets_total", ("acme", "expired")] == 7
    assert found["wsprism_jwks_fetches_total", ("acme", "failed")] == 8
    assert found["wsprism_admin_actions_total", ("done", "kick")] == 7
    assert found["wsprism_messages_received_total", ("acme", "chat", "text")] == 9
    outdated = ("acme", "game", "stale")
    assert found["wsprism_messages_outdated_total", outdated] == 5
    unsent = ("acme", "chat", "interactive", "lost")
    assert found["wsprism_messages_unsent_total", unsent] == 12
    assert found["wsprism_errors_total", ("BAD_REQUEST", "acme")] == 1
    assert found["wsprism_errors_silenced_total", ()] == 2
    assert found["wsprism_handshakes_total", ("401", "websocket")] == 3
    assert found["wsprism_closes_total", ("4001",)] == 1
    assert found["wsprism_plugin_failures_total", ("chat", "on_join")] == 1
    assert found["wsprism_plugin_events_total", ("chat_dropped",)] == 4


def test_what_is_read_is_exposed() -> None:
    found = samples(Metrics())
    assert found["wsprism_sessions", ("acme",)] == 2
    assert found["wsprism_rooms", ()] == 3
    assert found["wsprism_spent_limits", ("acme",)] == 2
    assert found["wsprism_connect_tickets_total", ("t", "used")] == 1
    assert found["wsprism_connect_tickets_pending", ("t",)] == 1
    assert found["wsprism_revocations", ()] == 1
    assert found["wsprism_insecure", ("development_tickets",)] == 1
    assert found["wsprism_lane_messages_sent_total", ("control",)] == 4
    assert found["wsprism_lane_messages_conflated_total", ("control",)] == 5
    assert found["wsprism_lane_messages_dropped_total", ("control",)] == 6
    assert found["wsprism_lane_messages_lost_total", ("control",)] == 7
    assert found["wsprism_lane_overflows_total", ("control",)] == 8
    assert found["wsprism_loop_lag_seconds_bucket", ("0.1",)] == 2
    assert found["wsprism_loop_lag_seconds_bucket", ("+Inf",)] == 3
    assert found["wsprism_loop_lag_seconds_count", ()] == 3
    assert found["wsprism_loop_lag_seconds_sum", ()] == 1.5
    assert found["wsprism_gc_pause_seconds_count", ("0",)] == 4
    assert found["wsprism_gc_pause_seconds_sum", ("0",)] == 0.25
    assert found["wsprism_gc_pause_max_seconds", ("0",)] == 0.125


def test_the_text_format_is_named() -> None:
    _, content_type = render(Metrics(), readings())
    assert content_type.startswith("text/plain; version=0.0.4")


def test_what_is_foreseen_is_there_at_0_and_then_counts() -> None:
    metrics = Metrics()
    metrics.plugin_failures.foresee([("chat", "on_join")])
    failures = "wsprism_plugin_failures_total", ("chat", "on_join")
    closes = "wsprism_closes_total", ("4001",)
    found = samples(metrics)
    assert (found[failures], found[closes]) == (0, 0)
    assert ("wsprism_closes_total", ("other",)) in found
    metrics.plugin_failures["chat", "on_join"] += 1
    metrics.closes[4001] += 2
    found = samples(metrics)
    assert (found[failures], found[closes]) == (1, 2)


def test_what_is_foreseen_is_not_counted() -> None:
    counts = Counts[str]()
    counts.foresee(["done", "failed"])
    counts.foresee(["refused"])
    counts["failed"] += 1
    assert counts == {"failed": 1}
    assert counts.series() == {"done": 0, "failed": 1, "refused": 0}
