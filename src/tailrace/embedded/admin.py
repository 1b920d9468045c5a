"""The few requests an embedded broker makes of itself: create topics, write seed records, read records back.

They go over a real socket, one connection a call, like any client's: what they see is what clients see, faults and
pauses included. Versions are those in which topics still go by name. Does not retry.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.embedded.seeds import StoredRecord
from tailrace.records.batch import iter_whole_batches
from tailrace.wire.api import ApiKey, api
from tailrace.wire.frame import SIZE_BYTES, decode_response, encode_request
from tailrace.wire.messages.create_topics import CreatableTopic, CreatableTopicConfig, CreateTopicsRequest
from tailrace.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from tailrace.wire.messages.list_offsets import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic
from tailrace.wire.messages.metadata import MetadataRequest, MetadataRequestTopic
from tailrace.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData

VERSIONS: Final = {
    ApiKey.CREATE_TOPICS: 7,
    ApiKey.FETCH: 12,
    ApiKey.LIST_OFFSETS: 7,
    ApiKey.METADATA: 12,
    ApiKey.PRODUCE: 11,
}

CLIENT_ID: Final = "tailrace-embedded"
REQUEST_TIMEOUT_MS: Final = 10_000
FETCH_BYTES: Final = 4 * 1024 * 1024
EARLIEST_TIMESTAMP: Final = -2
ALL_IN_SYNC: Final = -1


class AdminConnection:
    """One connection to a broker. Use as an async context manager; one request at a time."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._correlation_id = 0
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> AdminConnection:
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._writer is not None
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            pass

    async def request(self, key: ApiKey, message: Any) -> Any:  # generated messages share no useful base
        """Send one request and return its response."""
        assert self._reader is not None and self._writer is not None
        described = api(key)
        assert described is not None
        self._correlation_id += 1
        version = VERSIONS[key]
        self._writer.write(encode_request(described, version, self._correlation_id, CLIENT_ID, message))
        await self._writer.drain()
        try:
            size = int.from_bytes(await self._reader.readexactly(SIZE_BYTES), "big")
            content = await self._reader.readexactly(size)
        except asyncio.IncompleteReadError as cut:
            raise KafkaError(ErrorCode.NETWORK_EXCEPTION, f"the broker cut the connection at {described.name}") from cut
        correlation_id, response = decode_response(described, version, memoryview(content))
        assert correlation_id == self._correlation_id, "answer to another request"
        return response


async def create_topic(connection: AdminConnection, name: str, partitions: int, configs: Mapping[str, str]) -> None:
    """Create a topic; raises KafkaError when it is refused."""
    topic = CreatableTopic(
        name=name,
        num_partitions=partitions,
        replication_factor=-1,
        configs=[CreatableTopicConfig(setting, value) for setting, value in configs.items()],
    )
    request = CreateTopicsRequest(topics=[topic], timeout_ms=REQUEST_TIMEOUT_MS)
    response = await connection.request(ApiKey.CREATE_TOPICS, request)
    (result,) = response.topics
    raise_if_error(result.error_code, f"cannot create topic {name}", result.error_message)


async def partition_count(connection: AdminConnection, topic: str, *, create: bool) -> int:
    """Number of partitions; with `create` an unknown topic is made if the broker's settings allow."""
    request = MetadataRequest(topics=[MetadataRequestTopic(name=topic)], allow_auto_topic_creation=create)
    response = await connection.request(ApiKey.METADATA, request)
    (found,) = response.topics
    if create and found.error_code in (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ErrorCode.LEADER_NOT_AVAILABLE):
        response = await connection.request(ApiKey.METADATA, request)  # the first answer may come before the topic
        (found,) = response.topics
    raise_if_error(found.error_code, f"cannot use topic {topic}")
    return len(found.partitions)


async def append(connection: AdminConnection, topic: str, batches: Mapping[int, bytes | bytearray]) -> dict[int, int]:
    """Write one batch to each of some partitions; returns the offset each batch got."""
    data = [PartitionProduceData(partition, batch) for partition, batch in batches.items()]
    request = ProduceRequest(
        acks=ALL_IN_SYNC, timeout_ms=REQUEST_TIMEOUT_MS, topic_data=[TopicProduceData(name=topic, partition_data=data)]
    )
    response = await connection.request(ApiKey.PRODUCE, request)
    (result,) = response.responses
    offsets: dict[int, int] = {}
    for partition in result.partition_responses:
        raise_if_error(partition.error_code, f"cannot write to {topic}-{partition.index}", partition.error_message)
        offsets[partition.index] = partition.base_offset
    return offsets


async def read_partition(connection: AdminConnection, topic: str, partition: int) -> list[StoredRecord]:
    """Every record of a partition up to its high watermark, control records left out."""
    offset = await _earliest_offset(connection, topic, partition)
    records: list[StoredRecord] = []
    while True:
        result = await _fetch(connection, topic, partition, offset)
        batches = list(iter_whole_batches(memoryview(result.records or b"")))
        for batch in batches:
            if not batch.is_control:
                records.extend(
                    StoredRecord(topic, partition, record.offset, record.timestamp, record.key, record.value,
                                 tuple(record.headers))
                    for record in batch.records()
                    if record.offset >= offset
                )  # fmt: skip
            offset = max(offset, batch.next_offset)
        if not batches or offset >= result.high_watermark:
            return records


async def _earliest_offset(connection: AdminConnection, topic: str, partition: int) -> int:
    asked = ListOffsetsPartition(partition_index=partition, timestamp=EARLIEST_TIMESTAMP)
    request = ListOffsetsRequest(replica_id=-1, topics=[ListOffsetsTopic(name=topic, partitions=[asked])])
    response = await connection.request(ApiKey.LIST_OFFSETS, request)
    (found,) = response.topics[0].partitions
    raise_if_error(found.error_code, f"cannot read {topic}-{partition}")
    return int(found.offset)


async def _fetch(connection: AdminConnection, topic: str, partition: int, offset: int) -> Any:
    asked = FetchPartition(partition=partition, fetch_offset=offset, partition_max_bytes=FETCH_BYTES)
    request = FetchRequest(max_bytes=FETCH_BYTES, topics=[FetchTopic(topic=topic, partitions=[asked])])
    response = await connection.request(ApiKey.FETCH, request)
    raise_if_error(response.error_code, f"cannot read {topic}-{partition}")
    (result,) = response.responses[0].partitions
    raise_if_error(result.error_code, f"cannot read {topic}-{partition}")
    return result


def raise_if_error(code: int, what: str, message: str | None = None) -> None:
    """Raise KafkaError for any code but NONE. `what` says what was attempted, `message` is the broker's reason."""
    if code != ErrorCode.NONE:
        error = ErrorCode(code)
        raise KafkaError(error, f"{what}: {message or error.name}")
