"""Requests by API: counts, errors by code, times in parts, how many wait. See `broker.request_meters`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

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
    parts: list[tuple[str, str, Callable[[RequestMeter], tuple[Durations, int]]]] = [
        ("requestqueuetimems", "From the turn that found a request to its handler.", _queue),
        ("localtimems", "In the handler.", lambda meter: (meter.local, 0)),
        (
            "remotetimems",
            "Waiting for records, replicas, members or the disk.",
            lambda meter: _far(meter, meter.remote),
        ),
        ("responsesendtimems", "Until the kernel had the whole answer.", lambda meter: _far(meter, meter.send)),
        ("totaltimems", "All of it but the sending.", lambda meter: (meter.total, 0)),
    ]
    for name, words, part in parts:
        out.durations_ms(f"{_PREFIX}_{name}", words, list(_spent(meters, part)))
        yield
    out.gauge(
        "kafka_server_delayedoperationpurgatory_purgatorysize",
        "Requests that wait at this moment.",
        [({"delayedoperation": labels["request"]}, meter.waiting_count) for labels, meter in meters],
    )


def _spent(
    meters: list[tuple[Labels, RequestMeter]], part: Callable[[RequestMeter], tuple[Durations, int]]
) -> Iterator[tuple[Labels, Durations, int]]:
    """Of each API a part, with the requests that spent no time there; left out where none ever spent any."""
    for labels, meter in meters:
        durations, instant_count = part(meter)
        if durations.count:
            yield labels, durations, instant_count


def _queue(meter: RequestMeter) -> tuple[Durations, int]:
    """Those that did not wait for their turn are known as `local` knows them: by the timed ones."""
    return meter.queue, meter.local.count - meter.queue.count


def _far(meter: RequestMeter, durations: Durations) -> tuple[Durations, int]:
    """A part of which all are counted that spend any time there: all others that have come as far spent none."""
    return durations, max(meter.count - meter.waiting_count - durations.count, 0)


def _labels(key: int) -> Labels:
    return {"request": camel_case(ApiKey(key))}


def _error_name(code: int) -> str:
    try:
        return ErrorCode(code).name
    except ValueError:
        return str(code)
