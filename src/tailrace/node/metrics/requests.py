"""Requests by API: counts, errors by code, times in parts, how many wait. See `broker.request_meters`."""

from __future__ import annotations

from collections.abc import Iterator

from tailrace.base.errors import ErrorCode
from tailrace.broker.request_meters import RequestMeter
from tailrace.node.observed import Observed
from tailrace.observe.durations import Durations
from tailrace.observe.exposition import Exposition, Labels
from tailrace.wire.api import ApiKey, camel_case

_PREFIX = "kafka_network_requestmetrics"


def request_metrics(out: Exposition, observed: Observed) -> Iterator[None]:
    """Of each API that was asked for since the start."""
    meters = [(_labels(key), meter) for key, meter in sorted(observed.services.requests.meters.items())]
    counts = [(labels, meter.count) for labels, meter in meters]
    out.counter(f"{_PREFIX}_requests", "Requests that were handled.", counts)
    errors = sorted(observed.services.requests.errors.items())
    out.counter(
        f"{_PREFIX}_errors",
        "Error codes in answers, of the whole and of parts, NONE left out.",
        [({**_labels(key), "error": _error_name(code)}, count) for (key, code), count in errors],
    )
    yield
    parts: list[tuple[str, str, list[Durations]]] = [
        (
            "requestqueuetimems",
            "From the turn that found a request to its handler.",
            [m.queue for _, m in meters],
        ),
        ("localtimems", "In the handler.", [m.local.plus(m.plain) for _, m in meters]),
        ("remotetimems", "Waiting for records, replicas, members or the disk.", [m.remote for _, m in meters]),
        ("responsesendtimems", "Until the kernel had the whole answer.", [m.send for _, m in meters]),
        (
            "totaltimems",
            "All of it but the sending.",
            [m.total.plus(m.plain) for _, m in meters],
        ),
    ]
    for name, words, histograms in parts:
        out.durations_ms(f"{_PREFIX}_{name}", words, list(_filled(meters, histograms)))
        yield
    out.gauge(
        "kafka_server_delayedoperationpurgatory_purgatorysize",
        "Requests that wait at this moment.",
        [({"delayedoperation": labels["request"]}, meter.waiting_count) for labels, meter in meters],
    )


def _filled(
    meters: list[tuple[Labels, RequestMeter]], histograms: list[Durations]
) -> Iterator[tuple[Labels, Durations, int]]:
    """With the requests that spent no time there, so that a part counts all that have come as far; left out where none
    ever spent any."""
    for (labels, meter), durations in zip(meters, histograms, strict=True):
        if not durations.count:
            continue
        ended_count = meter.count - meter.waiting_count
        yield labels, durations, max(ended_count - durations.count, 0)


def _labels(key: int) -> Labels:
    return {"request": camel_case(ApiKey(key))}


def _error_name(code: int) -> str:
    try:
        return ErrorCode(code).name
    except ValueError:
        return str(code)
