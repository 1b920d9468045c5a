"""/metrics: everything that is counted, put together when it is asked for, in turns of the loop.

With 10,000 partitions a look takes tens of milliseconds; requests are answered in between, so the figures of one answer
are of one moment only for a small broker. Not its business: what is counted, and how it is written.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Final

from tailrace.base.pending import Pending
from tailrace.http.message import HttpAnswer, HttpRequest, text_answer
from tailrace.http.routes import Routes
from tailrace.node.metrics.broker import broker_metrics
from tailrace.node.metrics.groups import group_metrics
from tailrace.node.metrics.logs import LogSizes
from tailrace.node.metrics.partitions import partition_metrics
from tailrace.node.metrics.process import process_metrics
from tailrace.node.metrics.requests import request_metrics
from tailrace.node.metrics.topics import topic_metrics
from tailrace.node.observed import Observed
from tailrace.node.turns import Turns
from tailrace.observe.exposition import OPENMETRICS_TYPE, TEXT_TYPE, Exposition

_log = logging.getLogger("tailrace.http")

Collect = Callable[[Exposition, Observed], Iterator[None]]

COLLECTORS: Final[tuple[Collect, ...]] = (
    broker_metrics,
    request_metrics,
    topic_metrics,
    partition_metrics,
    group_metrics,
    process_metrics,
)


def add_metrics_page(routes: Routes, observed: Observed) -> None:
    """Register /metrics."""
    turns = Turns(observed.services.clock, observed.engine.selector.post)
    collectors = (*COLLECTORS, LogSizes().metrics)

    def answer(request: HttpRequest) -> Pending[HttpAnswer]:
        is_openmetrics = request.accepts("application/openmetrics-text")
        exposition = Exposition(is_openmetrics=is_openmetrics)
        later: Pending[HttpAnswer] = Pending()

        def steps() -> Iterator[None]:
            try:
                for collect in collectors:
                    yield from collect(exposition, observed)
            except Exception as error:  # ours to mend: who waits for the answer must have one
                _log.critical("/metrics failed", exc_info=error)
                later.complete(text_answer(500, "this page failed; the broker's log says why"))
                return
            content_type = OPENMETRICS_TYPE if is_openmetrics else TEXT_TYPE
            later.complete(HttpAnswer(200, exposition.finish(), content_type))

        turns.run(steps())
        return later

    routes.add("/metrics", "everything that is counted, for Prometheus", answer)
