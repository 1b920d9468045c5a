"""Every API can be answered with an error for the whole request, in every version, and the bytes decode."""

from __future__ import annotations

from typing import Any

import pytest

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.broker.error_responses import error_response
from tailrace.broker.fence import FENCED_CODES
from tailrace.broker.served import SERVED
from tailrace.wire.api import ApiKey, api
from tailrace.wire.frame import decode_response, encode_response
from tailrace.wire.messages.add_partitions_to_txn import AddPartitionsToTxnRequest, AddPartitionsToTxnTopic
from tailrace.wire.messages.consumer_group_describe import ConsumerGroupDescribeRequest
from tailrace.wire.messages.describe_groups import DescribeGroupsRequest
from tailrace.wire.messages.describe_producers import DescribeProducersRequest, TopicRequest
from tailrace.wire.messages.describe_transactions import DescribeTransactionsRequest
from tailrace.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from tailrace.wire.messages.offset_fetch import OffsetFetchRequest, OffsetFetchRequestTopic
from tailrace.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from tailrace.wire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)
from tailrace.wire.messages.write_txn_markers import WritableTxnMarker, WritableTxnMarkerTopic, WriteTxnMarkersRequest

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


def test_a_committed_offset_that_is_not_told_is_none() -> None:
    request = OffsetFetchRequest("g", [OffsetFetchRequestTopic("t", [3])])
    for version in range(8):
        answer = answered(ApiKey.OFFSET_FETCH, version, request)
        (partition,) = answer.topics[0].partitions
        assert (answer.error_code, partition.error_code) == (CODE, CODE)
        assert (answer.topics[0].name, partition.partition_index, partition.committed_offset) == ("t", 3, -1)


def test_plain_strings_and_numbers_become_names() -> None:
    (group,) = answered(ApiKey.DESCRIBE_GROUPS, 5, DescribeGroupsRequest(["g"])).groups
    assert (group.group_id, group.error_code) == ("g", CODE)
    (topic,) = answered(ApiKey.DESCRIBE_PRODUCERS, 0, DescribeProducersRequest([TopicRequest("t", [7])])).topics
    assert (topic.name, topic.partitions[0].partition_index, topic.partitions[0].error_code) == ("t", 7, CODE)


class AnyRequest:
    """Every list that is asked for has one item, in which the same is so."""

    __slots__ = ()

    def __getattr__(self, name: str) -> list[AnyRequest]:
        return [AnyRequest()]


@pytest.mark.parametrize("key", [ApiKey(key) for key in FENCED_CODES])
def test_a_fenced_broker_is_heard_in_every_version(key: ApiKey) -> None:
    """An answer without the code would look as if everything asked for had been done."""
    found = api(key)
    assert found is not None
    for version in range(found.first_version, found.last_version + 1):
        answer = answered(key, version, AnyRequest())
        frame = encode_response(found, version, 5, answer)
        assert int(CODE) in codes_of(decode_response(found, version, memoryview(frame)[4:])[1]), version


def codes_of(item: Any) -> set[int]:
    """Every code that an answer, or any item of it, has."""
    if isinstance(item, list):
        return set().union(*map(codes_of, item))
    found: set[int] = set()
    for name in getattr(item, "__slots__", ()):
        value = getattr(item, name)
        found |= {value} if name.endswith("error_code") else codes_of(value)
    return found


def test_transactions_name_what_was_asked_for() -> None:
    commit = TxnOffsetCommitRequest(
        topics=[TxnOffsetCommitRequestTopic("a", partitions=[TxnOffsetCommitRequestPartition(3)])]
    )
    (topic,) = answered(ApiKey.TXN_OFFSET_COMMIT, 3, commit).topics
    assert (topic.name, topic.partitions[0].partition_index, topic.partitions[0].error_code) == ("a", 3, CODE)
    marker = WritableTxnMarker(9, topics=[WritableTxnMarkerTopic("a", [3])])
    (answer,) = answered(ApiKey.WRITE_TXN_MARKERS, 1, WriteTxnMarkersRequest([marker])).markers
    (partition,) = answer.topics[0].partitions
    assert (answer.producer_id, answer.topics[0].name, partition.partition_index) == (9, "a", 3)
    assert partition.error_code == CODE
    (state,) = answered(ApiKey.DESCRIBE_TRANSACTIONS, 0, DescribeTransactionsRequest(["x"])).transaction_states
    assert (state.transactional_id, state.error_code) == ("x", CODE)


def test_added_partitions_are_named_until_the_answer_has_a_code_of_its_own() -> None:
    request = AddPartitionsToTxnRequest(v3_and_below_topics=[AddPartitionsToTxnTopic("a", [3])])
    (topic,) = answered(ApiKey.ADD_PARTITIONS_TO_TXN, 3, request).results_by_topic_v3_and_below
    (partition,) = topic.results_by_partition
    assert (topic.name, partition.partition_index, partition.partition_error_code) == ("a", 3, CODE)
    assert answered(ApiKey.ADD_PARTITIONS_TO_TXN, 4, AddPartitionsToTxnRequest()).error_code == CODE


def test_described_groups_of_the_consumer_protocol_are_named() -> None:
    (group,) = answered(ApiKey.CONSUMER_GROUP_DESCRIBE, 1, ConsumerGroupDescribeRequest(["g"])).groups
    assert (group.group_id, group.error_code, group.error_message) == ("g", CODE, "why")
