"""Fetch (key 1), v0-v18.

Behaviour: answers at once when `min_bytes` are readable, when a partition has an error, or when the client does not
    want to wait; else when one of these comes true or `max_wait_ms` has passed. An offset inside a batch gets the whole
    batch; the first batch of an answer is returned even if it is larger than the limits, so that nobody is stuck.
    v0-v3 readers, who want magic 0 or 1, cost a conversion.
Versions: v3 answer limit; v4 isolation level; v5 log start; v7 sessions (KIP-227); v9 epoch fencing (KIP-320); v10
    zstd; v11 rack; v12 diverging epoch (KIP-595); v13 topic ids (KIP-516); v15 broker epoch of a follower
    (KIP-903); v16 who leads instead (KIP-951); v18 the high watermark that a follower knows (KIP-1166).
Consumers from v11 on may read from followers too, and are told of one in their rack (KIP-392).
The work is done by `broker.fetching`, and for followers by `broker.follower_fetching`.
"""

from __future__ import annotations

from tailrace.base.errors import KafkaError
from tailrace.base.pending import Pending
from tailrace.broker.context import RequestContext
from tailrace.broker.fetching import Fetch
from tailrace.broker.services import Services
from tailrace.replication.follower_reads import Follower
from tailrace.wire.messages.fetch import FetchRequest, FetchResponse

FIRST_VERSION_WITH_REPLICA_STATE = 15


def handle(
    services: Services, context: RequestContext, request: FetchRequest
) -> FetchResponse | Pending[FetchResponse]:
    """Answer at once or when there is enough to say."""
    follower = _follower_of(request, context.api_version)
    try:
        if follower is None:
            fetch = Fetch(services, context, request, services.settings.integer("fetch.max.bytes"))
        else:
            # start-up time: most brokers have no replicated partition
            from tailrace.broker.follower_fetching import FollowerFetch

            fetch = FollowerFetch(services, context, request, follower)
    except KafkaError as error:
        if context.api_version < 7:
            raise
        return FetchResponse(error_code=error.code)
    fetch.read()
    if fetch.complete or (request.max_wait_ms <= 0 and not fetch.is_missing_pieces):
        return fetch.response()
    return fetch.wait(request.max_wait_ms)


def _follower_of(request: FetchRequest, version: int) -> Follower | None:
    """The broker that asks, if it is one; -1 and -2 are consumers."""
    if version < FIRST_VERSION_WITH_REPLICA_STATE:
        return Follower(request.replica_id, -1) if request.replica_id >= 0 else None
    state = request.replica_state
    return Follower(state.replica_id, state.replica_epoch) if state.replica_id >= 0 else None
