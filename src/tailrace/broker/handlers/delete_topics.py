"""DeleteTopics (key 20), v0-v6.

Behaviour: each topic has its own answer; one named twice, by name, by id or by both, is refused and stays. The
    topic is gone when the answer is sent; its files go later.
Versions: v1-v5 names; v5 error messages; v6 names or ids. `delete.topic.enable=false`: TOPIC_DELETION_DISABLED, which
    clients before v3 do not know and get as INVALID_REQUEST.
"""

from __future__ import annotations

from collections import Counter
from functools import partial

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.pending import Pending
from tailrace.base.types import ZERO_TOPIC_ID
from tailrace.broker.context import RequestContext
from tailrace.broker.proposed import respond_after
from tailrace.broker.services import Services
from tailrace.cluster.controller import decide_delete_topic
from tailrace.cluster.image import MetadataImage, TopicImage
from tailrace.cluster.proposal import Decided
from tailrace.cluster.records import Record
from tailrace.wire.messages.delete_topics import (
    DeletableTopicResult,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
    DeleteTopicState,
)

_NOT_HOSTED = "This server does not host this topic-partition."
_NOT_HOSTED_ID = "This server does not host this topic ID."


def handle(
    services: Services, context: RequestContext, request: DeleteTopicsRequest
) -> DeleteTopicsResponse | Pending[DeleteTopicsResponse]:
    """Delete the topics."""
    if not services.settings.boolean("delete.topic.enable"):
        code = ErrorCode.TOPIC_DELETION_DISABLED if context.api_version >= 3 else ErrorCode.INVALID_REQUEST
        raise KafkaError(code, "Topic deletion is disabled.")
    asked = request.topics if context.api_version >= 6 else [DeleteTopicState(name) for name in request.topic_names]
    return respond_after(
        context,
        request,
        services.propose_freeing(partial(_decide, asked)),  # one transaction for all of them
        lambda responses: DeleteTopicsResponse(responses=responses),
    )


def _decide(asked: list[DeleteTopicState], image: MetadataImage) -> Decided[list[DeletableTopicResult]]:
    names = Counter(_name(image, state) for state in asked)
    responses: list[DeletableTopicResult] = []
    records: list[Record] = []
    told: set[str] = set()
    for state in asked:
        name = _name(image, state)
        if name is not None and names[name] > 1:
            if name not in told:
                told.add(name)
                responses.append(_refused(state, KafkaError(ErrorCode.INVALID_REQUEST, "Duplicate topic name.")))
            continue
        try:
            topic = _find(image, state)
        except KafkaError as error:
            responses.append(_refused(state, error))
        else:
            records += decide_delete_topic(image, topic)
            responses.append(DeletableTopicResult(topic.name, topic.topic_id))
    return Decided(responses, records)


def _name(image: MetadataImage, state: DeleteTopicState) -> str | None:
    """The name a request means: given, or found by its id."""
    if state.name is not None:
        return state.name
    topic = image.topic_by_id(state.topic_id)
    return None if topic is None else topic.name


def _find(image: MetadataImage, state: DeleteTopicState) -> TopicImage:
    if state.name is not None and state.topic_id != ZERO_TOPIC_ID:
        raise KafkaError(ErrorCode.INVALID_REQUEST, "You may not specify both topic name and topic id.")
    if state.name is not None:
        topic = image.topic(state.name)
        if topic is None:
            raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, _NOT_HOSTED)
        return topic
    if state.topic_id == ZERO_TOPIC_ID:
        raise KafkaError(ErrorCode.INVALID_REQUEST, "Neither topic name nor id were specified.")
    topic = image.topic_by_id(state.topic_id)
    if topic is None:
        raise KafkaError(ErrorCode.UNKNOWN_TOPIC_ID, _NOT_HOSTED_ID)
    return topic


def _refused(state: DeleteTopicState, error: KafkaError) -> DeletableTopicResult:
    return DeletableTopicResult(state.name, state.topic_id, error.code, error.message)
