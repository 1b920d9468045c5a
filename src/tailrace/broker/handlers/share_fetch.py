"""ShareFetch (key 78), v1-v2.

Behaviour: what the request acknowledges is kept; records are acquired and sent when `min_bytes` can be read, when every
    partition has an error, or when `max_wait_ms` has passed. The answer waits for both. With epoch -1 nothing is
    fetched and the session ends.
Versions: v2 strict record limit (KIP-1206), renewed locks (KIP-1222).
"""

from __future__ import annotations

from functools import partial

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.pending import Pending
from tailrace.base.types import TopicId
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.broker.share.requests import ShareSettings
from tailrace.broker.share.share_sessions import FINAL_EPOCH, INITIAL_EPOCH, ShareSession, TopicIdPartition
from tailrace.broker.share_acknowledgements import Outcomes, acknowledge, says_anything
from tailrace.broker.share_fetching import Fetched, ShareFetching
from tailrace.wire.messages.share_fetch import (
    PartitionData,
    ShareFetchableTopicResponse,
    ShareFetchRequest,
    ShareFetchResponse,
)


def handle(
    services: Services, context: RequestContext, request: ShareFetchRequest
) -> ShareFetchResponse | Pending[ShareFetchResponse]:
    """Acknowledge, acquire, answer."""
    share = services.share
    group_id = request.group_id or ""
    settings = share.settings_of(group_id)
    try:
        if request.is_renew_ack:
            _check_renewing(request, settings)
        session = _session(services, context, request)
    except KafkaError as error:
        if error.code != ErrorCode.SHARE_SESSION_LIMIT_REACHED:
            raise
        return _later(services, request.max_wait_ms, ShareFetchResponse(error_code=error.code))
    acknowledged = acknowledge(services, request)
    fetched: Pending[Fetched] = Pending()
    if request.share_session_epoch == FINAL_EPOCH:
        acknowledged.on_complete(lambda _: share.close_session(session))
        fetched.complete(Fetched({}))
    else:
        ShareFetching(services, request, session, settings, fetched).start()
    answer: Pending[ShareFetchResponse] = Pending()

    def complete(outcomes: Outcomes) -> None:
        fetched.on_complete(lambda found: answer.complete(_response(found, outcomes, settings)))

    acknowledged.on_complete(complete)
    return answer


def _check_renewing(request: ShareFetchRequest, settings: ShareSettings) -> None:
    """Locks are renewed in requests that fetch nothing, so that nothing delays them."""
    if not settings.renew_acknowledge_enable:
        raise KafkaError(ErrorCode.INVALID_REQUEST, "Renew acknowledgements are disabled for the group.")
    if request.max_wait_ms or request.min_bytes or request.max_bytes or request.max_records:
        raise KafkaError(ErrorCode.INVALID_REQUEST, "A request that renews acknowledgements must not fetch.")


def _session(services: Services, context: RequestContext, request: ShareFetchRequest) -> ShareSession:
    sessions = services.share.sessions
    group_id, member_id = request.group_id or "", request.member_id or ""
    named = [(topic.topic_id, asked.partition_index) for topic in request.topics for asked in topic.partitions]
    if request.share_session_epoch == INITIAL_EPOCH:
        if says_anything(request):
            raise KafkaError(ErrorCode.INVALID_REQUEST, "A new share session has nothing to acknowledge.")
        return sessions.open(group_id, member_id, context.connection_id, named)
    session = sessions.use(group_id, member_id, request.share_session_epoch)
    if request.share_session_epoch != FINAL_EPOCH:
        forgotten = [(topic.topic_id, index) for topic in request.forgotten_topics_data for index in topic.partitions]
        session.change(named, forgotten)
    return session


def _later(services: Services, delay_ms: int, response: ShareFetchResponse) -> Pending[ShareFetchResponse]:
    """Hold a client that would ask again at once."""
    answer: Pending[ShareFetchResponse] = Pending()
    services.timers.schedule(max(delay_ms, 0), partial(answer.complete, response))
    return answer


def _response(fetched: Fetched, outcomes: Outcomes, settings: ShareSettings) -> ShareFetchResponse:
    if fetched.error is not None:
        return ShareFetchResponse(error_code=fetched.error.code, error_message=fetched.error.message)
    found: dict[TopicIdPartition, PartitionData] = fetched.partitions
    for key, error in outcomes.items():
        data = found.get(key)
        if data is None:
            data = found[key] = PartitionData(key[1])
            data.records = b""
        if error is not None:
            data.acknowledge_error_code, data.acknowledge_error_message = error.code, error.message
    topics: dict[TopicId, ShareFetchableTopicResponse] = {}
    for (topic_id, _), data in found.items():
        topics.setdefault(topic_id, ShareFetchableTopicResponse(topic_id)).partitions.append(data)
    return ShareFetchResponse(
        acquisition_lock_timeout_ms=settings.record_lock_duration_ms, responses=list(topics.values())
    )
