"""The broker as a whole: what it is, its loop, its connections, the cluster as it sees it."""

from __future__ import annotations

from collections.abc import Iterator
from sys import version_info

from tailrace import __version__
from tailrace.base.compiled import is_compiled
from tailrace.net.limits import SLOW_TURN_MS
from tailrace.node.health import reasons_not_ready
from tailrace.node.observed import Observed
from tailrace.observe.exposition import NO_LABELS, Exposition


def broker_metrics(out: Exposition, observed: Observed) -> Iterator[None]:
    """Identity, readiness, loop, connections, controller."""
    engine, services = observed.engine, observed.services
    image = services.metadata.image
    about = {
        "version": __version__,
        "python": ".".join(map(str, version_info[:3])),
        "hot_path": "compiled" if is_compiled() else "python",
        "cluster_id": services.logs.cluster_id,
        "node_id": str(services.node_id),
    }
    out.gauge("tailrace_broker_info", "What runs here; always 1.", [(about, 1)])
    is_ready = 0 if reasons_not_ready(observed) else 1
    out.gauge("tailrace_broker_ready", "1 when /readyz says ready.", [(NO_LABELS, is_ready)])
    out.gauge(
        "kafka_server_socketservermetrics_connection_count",
        "Open connections: clients, other brokers, and those who look at this page.",
        [(NO_LABELS, len(engine.connections))],
    )
    wall_s = services.clock.wall_ms() / 1000
    out.gauge("tailrace_clock_seconds", "The broker's clock, in seconds since 1970.", [(NO_LABELS, wall_s)])
    selector = engine.selector
    out.counter("tailrace_loop_turns", "Turns of the event loop.", [(NO_LABELS, selector.turn_count)])
    out.counter(
        "tailrace_loop_busy_seconds",
        "Time that turns of the event loop took, waits left out. A rate of 1 is a loop with nothing to spare.",
        [(NO_LABELS, selector.busy_ms / 1000)],
    )
    quick_count = max(selector.turn_count - selector.slow_turns.count, 0)
    out.durations_ms(
        "tailrace_loop_turn_ms",
        f"How long turns of the event loop took. Those below {SLOW_TURN_MS:g} ms count, and as 0 in the sum.",
        [(NO_LABELS, selector.slow_turns, quick_count)],
    )
    out.gauge("tailrace_loop_timers", "Timers that are still to fire.", [(NO_LABELS, engine.timers.count)])
    is_controller = 1 if services.controller_id == services.node_id else 0
    out.gauge(
        "kafka_controller_kafkacontroller_activecontrollercount",
        "1 on the broker that settles what others leave behind.",
        [(NO_LABELS, is_controller)],
    )
    live = len(image.live_brokers)
    out.gauge("kafka_controller_kafkacontroller_activebrokercount", "Brokers that are heard of.", [(NO_LABELS, live)])
    fenced = len(image.brokers) - live
    out.gauge("kafka_controller_kafkacontroller_fencedbrokercount", "Brokers that are not.", [(NO_LABELS, fenced)])
    out.gauge("kafka_controller_kafkacontroller_globaltopiccount", "Topics.", [(NO_LABELS, len(image.topics))])
    yield
