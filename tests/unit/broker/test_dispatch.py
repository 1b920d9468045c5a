"""What dispatch does with frames: gates versions, survives handlers, orders faults."""

from __future__ import annotations

from typing import Any

import pytest
from broker_bench import PEER, Bench

from tailrace.base.errors import ErrorCode, KafkaError, StorageError
from tailrace.base.pending import Pending
from tailrace.broker.dispatch import Dispatch
from tailrace.broker.services import CloseConnection
from tailrace.records.builder import BatchBuilder
from tailrace.wire.api import ApiKey, api
from tailrace.wire.frame import decode_response, encode_request
from tailrace.wire.messages.api_versions import ApiVersionsRequest
from tailrace.wire.messages.list_groups import ListGroupsRequest
from tailrace.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from tailrace.wire.primitives import DecodeError


def frame(key: ApiKey, version: int, request: Any) -> memoryview:
    found = api(key)
    assert found is not None
    return memoryview(encode_request(found, version, 7, "test", request))[4:]


def response(key: ApiKey, version: int, parts: Any) -> Any:
    found = api(key)
    assert found is not None
    correlation_id, answer = decode_response(found, version, memoryview(b"".join(parts))[4:])
    assert correlation_id == 7
    return answer


def produce(topic: str, acks: int) -> ProduceRequest:
    builder = BatchBuilder()
    builder.append(1_700_000_000_000, None, b"v")
    data = [TopicProduceData(topic, partition_data=[PartitionProduceData(0, builder.build())])]
    return ProduceRequest(None, acks, 1000, data)


def broken(*_: object) -> None:
    raise ZeroDivisionError


def test_unknown_keys_and_versions_end_the_connection(bench: Bench) -> None:
    dispatch = Dispatch(bench.services)
    for header in (b"\x03\xe7\x00\x00", b"\x00\x00\x00\x63", b"\xff\xff\x00\x00"):
        with pytest.raises(DecodeError):
            dispatch.answer(PEER, memoryview(header + b"\x00\x00\x00\x07\xff\xff"))


def test_a_bug_in_a_handler_is_answered_and_the_next_request_is_served(bench: Bench) -> None:
    dispatch = Dispatch(bench.services)
    dispatch._route(ApiKey.LIST_GROUPS).handler = broken
    found = dispatch.answer(PEER, frame(ApiKey.LIST_GROUPS, 3, ListGroupsRequest()))
    assert response(ApiKey.LIST_GROUPS, 3, found).error_code == ErrorCode.UNKNOWN_SERVER_ERROR
    after = dispatch.answer(PEER, frame(ApiKey.API_VERSIONS, 0, ApiVersionsRequest()))
    assert response(ApiKey.API_VERSIONS, 0, after).error_code == 0


def test_a_produce_without_acks_that_fails_ends_the_connection(bench: Bench) -> None:
    dispatch = Dispatch(bench.services)
    dispatch._route(ApiKey.PRODUCE).handler = broken
    with pytest.raises(CloseConnection):
        dispatch.answer(PEER, frame(ApiKey.PRODUCE, 9, produce("t", 0)))


def test_a_refusal_out_of_a_handler_is_answered(bench: Bench) -> None:
    def refuse(*_: object) -> None:
        raise KafkaError(ErrorCode.COORDINATOR_NOT_AVAILABLE)

    dispatch = Dispatch(bench.services)
    dispatch._route(ApiKey.LIST_GROUPS).handler = refuse
    found = dispatch.answer(PEER, frame(ApiKey.LIST_GROUPS, 3, ListGroupsRequest()))
    assert response(ApiKey.LIST_GROUPS, 3, found).error_code == ErrorCode.COORDINATOR_NOT_AVAILABLE


def test_a_disk_that_fails_below_a_handler_is_answered_so(bench: Bench) -> None:
    def fail(*_: object) -> None:
        raise StorageError("read", "segment", OSError(5, "Input/output error"))

    dispatch = Dispatch(bench.services)
    dispatch._route(ApiKey.LIST_GROUPS).handler = fail
    found = dispatch.answer(PEER, frame(ApiKey.LIST_GROUPS, 3, ListGroupsRequest()))
    assert response(ApiKey.LIST_GROUPS, 3, found).error_code == ErrorCode.KAFKA_STORAGE_ERROR


class TestFaults:
    def test_an_error_on_order_is_answered_so_many_times(self, bench: Bench) -> None:
        dispatch = Dispatch(bench.services)
        bench.topic("t")
        bench.services.faults.add_error(ApiKey.PRODUCE, ErrorCode.NOT_LEADER_OR_FOLLOWER, 2)
        codes = []
        for _ in range(3):
            answer = response(ApiKey.PRODUCE, 9, dispatch.answer(PEER, frame(ApiKey.PRODUCE, 9, produce("t", 1))))
            codes.append(answer.responses[0].partition_responses[0].error_code)
        assert codes == [6, 6, 0]
        assert not bench.services.faults.active
        assert bench.partitions.of("t", 0).log_end_offset == 1

    def test_latency_holds_a_request_and_its_records(self, bench: Bench) -> None:
        dispatch = Dispatch(bench.services)
        bench.topic("t")
        bench.services.faults.add_latency(ApiKey.PRODUCE, 100)
        data = frame(ApiKey.PRODUCE, 9, produce("t", 1))
        answer = dispatch.answer(PEER, data)
        assert isinstance(answer, Pending) and not answer.done
        data[:] = bytes(len(data))  # the receive buffer is used again
        bench.advance(90)
        assert not answer.done
        bench.advance(20)
        found = response(ApiKey.PRODUCE, 9, answer.value)
        assert found.responses[0].partition_responses[0].error_code == 0

    def test_pause_keeps_requests_until_resume_in_order(self, bench: Bench) -> None:
        dispatch = Dispatch(bench.services)
        bench.topic("t")
        bench.services.faults.pause()
        answers = [dispatch.answer(PEER, frame(ApiKey.PRODUCE, 9, produce("t", 1))) for _ in range(3)]
        assert all(isinstance(answer, Pending) and not answer.done for answer in answers)
        bench.services.faults.resume()
        found = [response(ApiKey.PRODUCE, 9, answer.value) for answer in answers]  # type: ignore[union-attr]
        assert [answer.responses[0].partition_responses[0].base_offset for answer in found] == [0, 1, 2]

    def test_a_held_produce_without_acks_that_fails_ends_the_connection(self, bench: Bench) -> None:
        dispatch = Dispatch(bench.services)
        bench.services.faults.pause()
        answer = dispatch.answer(PEER, frame(ApiKey.PRODUCE, 9, produce("missing", 0)))
        assert isinstance(answer, Pending)
        bench.services.faults.resume()
        assert answer.value is None
