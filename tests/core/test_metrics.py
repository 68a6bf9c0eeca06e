from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from wsprism_core.metrics import Metrics, Readings, render


def readings() -> Readings:
    return Readings(
        sessions=lambda: {"acme": 2},
        rooms=lambda: 3,
        lanes=lambda: {"control": (4, 5, 6, 7, 8)},
        insecure=lambda: {"development_tickets": True},
        spent_limits=lambda: {"acme": 2},
    )


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
    found = samples(metrics)
    assert found["wsprism_messages_received_total", ("acme", "chat", "text")] == 9
    outdated = ("acme", "game", "stale")
    assert found["wsprism_messages_outdated_total", outdated] == 5
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
    assert found["wsprism_insecure", ("development_tickets",)] == 1
    assert found["wsprism_lane_messages_sent_total", ("control",)] == 4
    assert found["wsprism_lane_messages_conflated_total", ("control",)] == 5
    assert found["wsprism_lane_messages_dropped_total", ("control",)] == 6
    assert found["wsprism_lane_messages_lost_total", ("control",)] == 7
    assert found["wsprism_lane_overflows_total", ("control",)] == 8


def test_the_text_format_is_named() -> None:
    _, content_type = render(Metrics(), readings())
    assert content_type.startswith("text/plain; version=0.0.4")
