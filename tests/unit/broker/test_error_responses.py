"""Every API can be answered with an error for the whole request, in every version, and the bytes decode."""

from __future__ import annotations

from typing import Any

import pytest

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.broker.error_responses import error_response
from tailrace.broker.served import SERVED
from tailrace.wire.api import ApiKey, api
from tailrace.wire.frame import decode_response, encode_response
from tailrace.wire.messages.describe_groups import DescribeGroupsRequest
from tailrace.wire.messages.describe_producers import DescribeProducersRequest, TopicRequest
from tailrace.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from tailrace.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData

CODE = ErrorCode.NOT_LEADER_OR_FOLLOWER


@pytest.mark.parametrize("key", SERVED)
def test_every_version_encodes_and_decodes(key: ApiKey) -> None:
    found = api(key)
    assert found is not None
    for version in range(found.first_version, found.last_version + 1):
        answer = error_response(found, version, found.request(), KafkaError(CODE, "why"))
        frame = encode_response(found, version, 5, answer)
        correlation_id, _ = decode_response(found, version, memoryview(frame)[4:])
        assert correlation_id == 5


def answered(key: ApiKey, version: int, request: Any) -> Any:
    found = api(key)
    assert found is not None
    return error_response(found, version, request, KafkaError(CODE, "why"))


def test_produce_names_every_partition() -> None:
    request = ProduceRequest(topic_data=[TopicProduceData("a", partition_data=[PartitionProduceData(3)])])
    (topic,) = answered(ApiKey.PRODUCE, 9, request).responses
    (partition,) = topic.partition_responses
    assert (topic.name, partition.index, partition.error_code) == ("a", 3, CODE)
    assert partition.error_message == "why"


def test_fetch_names_partitions_before_sessions_and_itself_after() -> None:
    request = FetchRequest(topics=[FetchTopic("a", partitions=[FetchPartition(2)])])
    (topic,) = answered(ApiKey.FETCH, 4, request).responses
    assert (topic.partitions[0].partition_index, topic.partitions[0].error_code) == (2, CODE)
    later = answered(ApiKey.FETCH, 12, request)
    assert (later.error_code, later.responses) == (CODE, [])


def test_plain_strings_and_numbers_become_names() -> None:
    (group,) = answered(ApiKey.DESCRIBE_GROUPS, 5, DescribeGroupsRequest(["g"])).groups
    assert (group.group_id, group.error_code) == ("g", CODE)
    (topic,) = answered(ApiKey.DESCRIBE_PRODUCERS, 0, DescribeProducersRequest([TopicRequest("t", [7])])).topics
    assert (topic.name, topic.partitions[0].partition_index, topic.partitions[0].error_code) == ("t", 7, CODE)
