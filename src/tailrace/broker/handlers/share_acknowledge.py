"""ShareAcknowledge (key 79), v1-v2.

Behaviour: answers when what the member says is kept. With epoch -1 the session ends, and what the member still holds
    goes back to the others.
Versions: v2 renewed locks (KIP-1222) and the lock's duration.
"""

from __future__ import annotations

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.pending import Pending
from tailrace.base.types import TopicId
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.broker.share.share_sessions import FINAL_EPOCH, INITIAL_EPOCH
from tailrace.broker.share_acknowledgements import Outcomes, acknowledge
from tailrace.wire.messages.share_acknowledge import (
    PartitionData,
    ShareAcknowledgeRequest,
    ShareAcknowledgeResponse,
    ShareAcknowledgeTopicResponse,
)


def handle(
    services: Services, context: RequestContext, request: ShareAcknowledgeRequest
) -> Pending[ShareAcknowledgeResponse]:
    """Acknowledge, and answer when that is kept."""
    share = services.share
    group_id, member_id = request.group_id or "", request.member_id or ""
    if request.share_session_epoch == INITIAL_EPOCH:
        raise KafkaError(ErrorCode.INVALID_SHARE_SESSION_EPOCH)
    session = share.sessions.use(group_id, member_id, request.share_session_epoch)
    settings = share.settings_of(group_id)
    if request.is_renew_ack and not settings.renew_acknowledge_enable:
        raise KafkaError(ErrorCode.INVALID_REQUEST, "Renew acknowledgements are disabled for the group.")
    answer: Pending[ShareAcknowledgeResponse] = Pending()

    def complete(outcomes: Outcomes) -> None:
        if request.share_session_epoch == FINAL_EPOCH:
            share.close_session(session)
        answer.complete(_response(outcomes, settings.record_lock_duration_ms))

    acknowledge(services, request).on_complete(complete)
    return answer


def _response(outcomes: Outcomes, lock_duration_ms: int) -> ShareAcknowledgeResponse:
    topics: dict[TopicId, ShareAcknowledgeTopicResponse] = {}
    for (topic_id, index), error in outcomes.items():
        topic = topics.setdefault(topic_id, ShareAcknowledgeTopicResponse(topic_id))
        data = PartitionData(index)
        if error is not None:
            data.error_code, data.error_message = error.code, error.message
        topic.partitions.append(data)
    return ShareAcknowledgeResponse(acquisition_lock_timeout_ms=lock_duration_ms, responses=list(topics.values()))
