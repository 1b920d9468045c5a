"""More partitions than descriptors: every one is written, read, and found again after a stop and after a kill."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from node.served import RawClient, ServedBroker
from tailrace.base.limits import OPEN_LOG_FILES_SHARE
from tailrace.records.batch import iter_whole_batches
from tailrace.records.builder import build_batch
from tailrace.records.record import Record
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.create_topics import CreatableTopic, CreateTopicsRequest
from tailrace.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from tailrace.wire.messages.list_offsets import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic
from tailrace.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData

DESCRIPTORS = 256
PARTITIONS = 500
VALUE = b"v" * 20_000
ALL = range(PARTITIONS)


def open_descriptors(broker: ServedBroker) -> int:
    return len(os.listdir(f"/proc/{broker.process.pid}/fd"))


def produce_to_all(client: RawClient) -> None:
    """More than is sent with the answer itself, so that every fetch needs files."""
    record = bytes(build_batch([Record(0, 1_700_000_000_000, b"k", VALUE)]))
    partitions = [PartitionProduceData(index, bytearray(record)) for index in ALL]
    request = ProduceRequest(
        acks=-1, timeout_ms=30_000, topic_data=[TopicProduceData("wide", partition_data=partitions)]
    )
    answer = client.ask(ApiKey.PRODUCE, 9, request)
    assert {each.error_code for each in answer.responses[0].partition_responses} == {0}


def fetch_all(client: RawClient, offset: int) -> set[int]:
    """The partitions that have a record at `offset`, asked for until there is no more."""
    found: set[int] = set()
    while len(found) < PARTITIONS:
        left = [
            FetchPartition(index, fetch_offset=offset, partition_max_bytes=1 << 20)
            for index in ALL
            if index not in found
        ]
        request = FetchRequest(
            max_wait_ms=100, min_bytes=1, max_bytes=50 << 20, topics=[FetchTopic("wide", partitions=left)]
        )
        answer = client.ask(ApiKey.FETCH, 11, request)
        got = set()
        for each in answer.responses[0].partitions:
            assert each.error_code == 0
            if each.records:
                (batch, *_) = iter_whole_batches(memoryview(each.records))
                assert batch.base_offset == offset and next(iter(batch.records())).value == VALUE
                got.add(each.partition_index)
        if not got:
            break
        found |= got
    return found


def ends(client: RawClient) -> list[int]:
    partitions = [ListOffsetsPartition(index, timestamp=-1) for index in ALL]
    answer = client.ask(ApiKey.LIST_OFFSETS, 4, ListOffsetsRequest(topics=[ListOffsetsTopic("wide", partitions)]))
    return [each.offset for each in answer.topics[0].partitions]


def test_partitions_beyond_the_descriptors_are_served(tmp_path: Path) -> None:
    with ServedBroker(tmp_path, descriptors=DESCRIPTORS) as broker, RawClient(broker.address) as client:
        before = open_descriptors(broker)
        topics = [CreatableTopic("wide", PARTITIONS, 1)]
        created = client.ask(ApiKey.CREATE_TOPICS, 5, CreateTopicsRequest(topics=topics, timeout_ms=30_000))
        assert created.topics[0].error_code == 0
        assert open_descriptors(broker) - before < 20, "an unused partition holds none"
        for _ in range(2):
            produce_to_all(client)
            assert open_descriptors(broker) <= before + DESCRIPTORS * OPEN_LOG_FILES_SHARE + 20
        assert fetch_all(client, 0) == fetch_all(client, 1) == set(ALL)
        assert open_descriptors(broker) < DESCRIPTORS
        assert broker.stop(signal.SIGTERM) == 0
    with ServedBroker(tmp_path, descriptors=DESCRIPTORS) as broker, RawClient(broker.address) as client:
        assert ends(client) == [2] * PARTITIONS
        produce_to_all(client)
        broker.stop(signal.SIGKILL)
    with ServedBroker(tmp_path, descriptors=DESCRIPTORS) as broker, RawClient(broker.address) as client:
        assert ends(client) == [3] * PARTITIONS
        assert fetch_all(client, 2) == set(ALL)
