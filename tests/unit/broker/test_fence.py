"""A fenced broker of a cluster speaks for no partition and no group; for everything else it answers."""

from __future__ import annotations

from typing import Any

import pytest
from broker_bench import PEER, Bench

from tailrace.base.errors import ErrorCode
from tailrace.broker.dispatch import Dispatch
from tailrace.broker.services import CloseConnection
from tailrace.wire.api import ApiKey, api
from tailrace.wire.frame import decode_response, encode_request
from tailrace.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from tailrace.wire.messages.find_coordinator import FindCoordinatorRequest
from tailrace.wire.messages.join_group import JoinGroupRequest
from tailrace.wire.messages.metadata import MetadataRequest, MetadataRequestTopic
from tailrace.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData


def ask(bench: Bench, key: ApiKey, version: int, request: Any) -> Any:
    found = api(key)
    assert found is not None
    frame = memoryview(encode_request(found, version, 7, "test", request))[4:]
    parts: Any = Dispatch(bench.services).answer(PEER, frame)
    return decode_response(found, version, memoryview(b"".join(parts))[4:])[1]


@pytest.fixture
def fenced(bench: Bench) -> Bench:
    bench.topic("t")
    bench.services.is_fenced = lambda: True
    return bench


def produce(acks: int) -> ProduceRequest:
    return ProduceRequest(None, acks, 1000, [TopicProduceData("t", partition_data=[PartitionProduceData(0, b"")])])


def test_partitions_are_led_by_nobody_here(fenced: Bench) -> None:
    answer = ask(fenced, ApiKey.PRODUCE, 9, produce(1))
    assert answer.responses[0].partition_responses[0].error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER
    request = FetchRequest(max_wait_ms=0, topics=[FetchTopic("t", partitions=[FetchPartition(0)])])
    answer = ask(fenced, ApiKey.FETCH, 6, request)
    assert answer.responses[0].partitions[0].error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER
    with pytest.raises(CloseConnection):
        ask(fenced, ApiKey.PRODUCE, 9, produce(0))


def test_groups_are_coordinated_by_nobody_here(fenced: Bench) -> None:
    assert ask(fenced, ApiKey.JOIN_GROUP, 5, JoinGroupRequest("g")).error_code == ErrorCode.NOT_COORDINATOR
    found = ask(fenced, ApiKey.FIND_COORDINATOR, 4, FindCoordinatorRequest(coordinator_keys=["g"]))
    assert found.coordinators[0].error_code == ErrorCode.COORDINATOR_NOT_AVAILABLE


def test_what_needs_no_leadership_is_answered(fenced: Bench) -> None:
    answer = ask(fenced, ApiKey.METADATA, 9, MetadataRequest([MetadataRequestTopic(name="t")]))
    assert [topic.error_code for topic in answer.topics] == [ErrorCode.NONE]


def test_without_the_fence_the_same_is_served(fenced: Bench) -> None:
    fenced.services.is_fenced = lambda: False
    request = FetchRequest(max_wait_ms=0, topics=[FetchTopic("t", partitions=[FetchPartition(0)])])
    answer = ask(fenced, ApiKey.FETCH, 6, request)
    assert answer.responses[0].partitions[0].error_code == ErrorCode.NONE
