"""What is counted of requests: each part of their time, error codes, those that wait."""

from __future__ import annotations

from typing import Any

import pytest
from broker_bench import PEER, Bench

from tailrace.base.errors import ErrorCode
from tailrace.base.pending import Pending
from tailrace.broker.dispatch import Dispatch
from tailrace.broker.request_meters import ERROR_PARTS_MAX, RequestMeters
from tailrace.records.builder import BatchBuilder
from tailrace.wire.api import ApiKey, api
from tailrace.wire.frame import encode_request
from tailrace.wire.messages.heartbeat import HeartbeatResponse
from tailrace.wire.messages.list_groups import ListGroupsRequest, ListGroupsResponse
from tailrace.wire.messages.list_offsets import (
    ListOffsetsPartitionResponse,
    ListOffsetsResponse,
    ListOffsetsTopicResponse,
)
from tailrace.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData


def frame(key: ApiKey, version: int, request: Any) -> memoryview:
    found = api(key)
    assert found is not None
    return memoryview(encode_request(found, version, 7, "test", request))[4:]


def test_the_parts_of_a_request_that_waits(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    now_ns = 5_000_000
    monkeypatch.setattr("tailrace.broker.dispatch.nanoseconds_of", lambda _: lambda: now_ns)
    dispatch = Dispatch(bench.services)
    waited: Pending[Any] = Pending()

    def handle(*_: object) -> Pending[Any]:
        nonlocal now_ns
        now_ns += 2_000_000
        return waited

    dispatch._handlers[ApiKey.LIST_GROUPS] = handle
    dispatch.answer(PEER, frame(ApiKey.LIST_GROUPS, 3, ListGroupsRequest()), 4.0)
    meter = bench.services.requests.meters[ApiKey.LIST_GROUPS]
    assert (meter.queue.sum_ns, meter.local.sum_ns, meter.waiting_count) == (1_000_000, 2_000_000, 1)
    assert meter.total.count == 0
    now_ns += 40_000_000
    waited.complete(ListGroupsResponse())
    assert (meter.remote.sum_ns, meter.total.sum_ns, meter.waiting_count) == (40_000_000, 43_000_000, 0)
    dispatch.on_sent([(ApiKey.LIST_GROUPS, now_ns - 3_000_000)])
    assert meter.send.sum_ns == 3_000_000


def test_a_request_that_is_answered_at_once_has_no_remote_part(bench: Bench) -> None:
    Dispatch(bench.services).answer(PEER, frame(ApiKey.LIST_GROUPS, 3, ListGroupsRequest()))
    meter = bench.services.requests.meters[ApiKey.LIST_GROUPS]
    assert (meter.count, meter.plain.count, meter.queue.count, meter.remote.count) == (1, 1, 0, 0)


def test_a_request_that_came_long_ago_has_waited_in_the_queue(bench: Bench) -> None:
    long_ago_ms = bench.services.clock.monotonic_ms() - 1000
    Dispatch(bench.services).answer(PEER, frame(ApiKey.LIST_GROUPS, 3, ListGroupsRequest()), long_ago_ms)
    meter = bench.services.requests.meters[ApiKey.LIST_GROUPS]
    assert (meter.plain.count, meter.local.count, meter.total.count) == (0, 1, 1)
    assert meter.queue.sum_ns == pytest.approx(1e9, rel=1e-3)


def test_errors_of_a_whole_answer_and_of_parts() -> None:
    requests = RequestMeters()
    requests.note_errors(ApiKey.HEARTBEAT, HeartbeatResponse(error_code=ErrorCode.REBALANCE_IN_PROGRESS))
    requests.note_errors(ApiKey.HEARTBEAT, HeartbeatResponse())
    parts = [ListOffsetsPartitionResponse(each, ErrorCode.NOT_LEADER_OR_FOLLOWER) for each in range(500)]
    requests.note_errors(ApiKey.LIST_OFFSETS, ListOffsetsResponse(topics=[ListOffsetsTopicResponse("t", parts)]))
    assert dict(requests.errors) == {
        (ApiKey.HEARTBEAT, ErrorCode.REBALANCE_IN_PROGRESS): 1,
        (ApiKey.LIST_OFFSETS, ErrorCode.NOT_LEADER_OR_FOLLOWER): ERROR_PARTS_MAX,
    }


def test_refused_records_are_counted_and_unknown_topics_leave_no_trace_by_name(bench: Bench) -> None:
    """A client that asks for a million names must not make us keep them."""
    builder = BatchBuilder()
    builder.append(1_700_000_000_000, None, b"v")
    data = [TopicProduceData("nowhere", partition_data=[PartitionProduceData(0, builder.build())])]
    Dispatch(bench.services).answer(PEER, frame(ApiKey.PRODUCE, 9, ProduceRequest(None, 1, 1000, data)))
    requests = bench.services.requests
    assert requests.errors[ApiKey.PRODUCE, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION] == 1
    assert "nowhere" not in dict(bench.services.partitions.traffic.topics())
