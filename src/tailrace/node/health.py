"""/healthz and /readyz: whether the process lives, and whether clients are served; with why not, in JSON.

    /healthz    200 whenever it is answered: the loop turns. No answer is the failure.
    /readyz     200 when Kafka clients are served; 503 while starting, stopping, or fenced by the cluster

A log directory that failed does not make a broker unready: its other partitions are served. It is told as a warning.
"""

from __future__ import annotations

import json

from tailrace.http.message import JSON, HttpAnswer
from tailrace.http.routes import Routes
from tailrace.node.observed import Observed, Phase


def add_health_pages(routes: Routes, observed: Observed) -> None:
    """Register both."""
    routes.add("/healthz", "whether the process lives", lambda _: _alive(observed))
    routes.add("/readyz", "whether clients are served, and why not", lambda _: _ready(observed))


def reasons_not_ready(observed: Observed) -> list[str]:
    """Why clients are not served, a sentence each; empty: they are."""
    phase = observed.phase()
    reasons = []
    if phase is Phase.STARTING:
        reasons.append("the broker is starting")
    if phase is Phase.STOPPING:
        reasons.append("the broker is stopping")
    is_fenced = observed.services.is_fenced
    if is_fenced is not None and is_fenced():
        reasons.append("the cluster has fenced this broker: it does not hear from it, or has not yet")
    return reasons


def _alive(observed: Observed) -> HttpAnswer:
    uptime_ms = observed.services.clock.monotonic_ms() - observed.started_ms
    return _json(200, {"status": "alive", "node_id": observed.services.node_id, "uptime_ms": round(uptime_ms)})


def _ready(observed: Observed) -> HttpAnswer:
    reasons = reasons_not_ready(observed)
    warnings = [
        f"log directory {directory.path} is offline"
        for directory in observed.services.logs.directories
        if directory.error is not None
    ]
    status = "not ready" if reasons else "ready"
    body = {"status": status, "node_id": observed.services.node_id, "reasons": reasons, "warnings": warnings}
    return _json(503 if reasons else 200, body)


def _json(status: int, body: object) -> HttpAnswer:
    return HttpAnswer(status, json.dumps(body).encode() + b"\n", JSON)
