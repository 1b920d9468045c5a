"""Topics and records of a cluster for `tailrace.Cluster`: asked of whoever leads, and again while an election is on.

Only what was surely not done is tried again: a refusal that names another leader, or none. Not its business: speed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from threading import Event
from typing import Any, Final, TypeVar

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.client.plain_requests import BrokerAddress, NotAnswered, PlainRequests
from tailrace.embedded import admin
from tailrace.embedded.admin import AdminConnection, raise_if_error
from tailrace.embedded.seeds import StoredRecord
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.create_topics import CreatableTopic, CreatableTopicConfig, CreateTopicsRequest
from tailrace.wire.messages.metadata import MetadataRequest, MetadataRequestTopic

RETRY_S: Final = 0.1
CREATE_TIMEOUT_MS: Final = 10_000

_PASSING: Final = frozenset(
    {
        ErrorCode.LEADER_NOT_AVAILABLE,
        ErrorCode.NOT_LEADER_OR_FOLLOWER,
        ErrorCode.OFFSET_NOT_AVAILABLE,
    }
)
"""Refusals that end with an election: nothing was done."""

Result = TypeVar("Result")


def pause(seconds: float) -> None:
    """Wait."""
    Event().wait(seconds)


async def create_topic(
    asks: PlainRequests, name: str, partitions_replicas: tuple[int, int], configs: Mapping[str, str]
) -> None:
    """Create a topic of so many partitions and replicas. Raises KafkaError."""
    wanted = [CreatableTopicConfig(setting, value) for setting, value in configs.items()]
    topic = CreatableTopic(name, *partitions_replicas, configs=wanted)

    request = CreateTopicsRequest(topics=[topic], timeout_ms=CREATE_TIMEOUT_MS)
    (result,) = (await asks.ask(ApiKey.CREATE_TOPICS, request)).topics
    raise_if_error(result.error_code, f"cannot create topic {name}", result.error_message)


async def produce(asks: PlainRequests, topic: str, build: Callable[[int], Mapping[int, bytearray]]) -> dict[int, int]:
    """Write what `build(number of partitions)` makes for each partition; the offset of each."""
    count = len(await _until_done(lambda: _leaders(asks, topic, create=True)))
    offsets: dict[int, int] = {}
    for partition, batch in build(count).items():

        async def write(connection: AdminConnection, index: int = partition, data: bytearray = batch) -> dict[int, int]:
            return await admin.append(connection, topic, {index: data})

        offsets |= await _at_leader(asks, topic, partition, write)
    return offsets


async def read(asks: PlainRequests, topic: str, partition: int | None) -> list[StoredRecord]:
    """Every committed record of a partition, or of all."""
    count = len(await _until_done(lambda: _leaders(asks, topic, create=False)))
    found: list[StoredRecord] = []
    for number in range(count) if partition is None else [partition]:

        async def read_one(connection: AdminConnection, index: int = number) -> list[StoredRecord]:
            return await admin.read_partition(connection, topic, index)

        found += await _at_leader(asks, topic, number, read_one)
    return found


async def _at_leader(
    asks: PlainRequests, topic: str, partition: int, work: Callable[[AdminConnection], Coroutine[Any, Any, Result]]
) -> Result:
    async def once() -> Result:
        leaders = await _leaders(asks, topic, create=False)
        if partition not in leaders:
            raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"there is no partition {topic}-{partition}")
        address = leaders[partition]
        if address is None:
            raise KafkaError(ErrorCode.LEADER_NOT_AVAILABLE, f"nobody leads {topic}-{partition}")
        connection = AdminConnection(*address)
        try:
            await connection.__aenter__()
        except OSError as error:  # nothing was sent
            raise KafkaError(ErrorCode.LEADER_NOT_AVAILABLE, f"{topic}-{partition}: its leader is gone") from error
        try:
            return await work(connection)
        finally:
            await connection.__aexit__(None, None, None)

    return await _until_done(once)


async def _until_done(work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """Try again while it is refused and that will pass. Whoever calls bounds the time."""
    while True:
        try:
            return await work()
        except NotAnswered:
            pass
        except KafkaError as error:
            if error.code not in _PASSING:
                raise
        await asyncio.sleep(RETRY_S)


async def _leaders(asks: PlainRequests, topic: str, *, create: bool) -> dict[int, BrokerAddress | None]:
    """Where the leader of each partition is. Raises KafkaError for a topic that is not there."""
    request = MetadataRequest([MetadataRequestTopic(name=topic)], allow_auto_topic_creation=create)
    answer = await asks.ask(ApiKey.METADATA, request)
    (found,) = answer.topics
    if create and found.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION:
        raise KafkaError(ErrorCode.LEADER_NOT_AVAILABLE, f"topic {topic} is being made")
    raise_if_error(found.error_code, f"cannot use topic {topic}")
    addresses = {broker.node_id: (broker.host, broker.port) for broker in answer.brokers}
    return {each.partition_index: addresses.get(each.leader_id) for each in found.partitions}
