"""aiokafka as a driver of the story: one event loop in a thread of its own runs everything."""

import asyncio
import threading
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from tests.harness.drivers import HEARTBEAT_INTERVAL_MS, SESSION_TIMEOUT_MS, Record, Stored

T = TypeVar("T")
TIMEOUT_S = 60.0
ACKS: dict[str, int | str] = {"0": 0, "1": 1, "all": "all"}


class Loop:
    """An event loop in a thread; `run` waits for a coroutine there."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(TIMEOUT_S * 2)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


class AiokafkaDriver:
    """One admin client; a new producer or consumer for each call, as each needs its own settings."""

    name = "aiokafka"

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self.loop = Loop()
        self.admin = self.loop.run(self._start_admin())

    async def _start_admin(self) -> AIOKafkaAdminClient:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        return admin

    def create_topic(self, topic: str, partitions: int, config: Mapping[str, str]) -> None:
        answer = self.loop.run(self.admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=dict(config))]))
        assert [error for _, error, *_ in answer.topic_errors] == [0], answer

    def delete_topic(self, topic: str) -> None:
        self.loop.run(self.admin.delete_topics([topic]))

    def topics(self) -> set[str]:
        return set(self.loop.run(self.admin.list_topics()))

    def partition_count(self, topic: str) -> int:
        [described] = self.loop.run(self.admin.describe_topics([topic]))
        return len(described["partitions"])

    def produce(
        self, topic: str, partition: int, records: Sequence[Record], codec: str = "none", acks: str = "all"
    ) -> None:
        self.loop.run(self._produce(topic, partition, records, codec, acks))

    async def _produce(self, topic: str, partition: int, records: Sequence[Record], codec: str, acks: str) -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=self.bootstrap,
            compression_type=None if codec == "none" else codec,
            acks=ACKS[acks],
            enable_idempotence=acks == "all",
            linger_ms=5,
        )
        await producer.start()
        try:
            sent = [
                await producer.send(topic, r.value, r.key, partition, r.timestamp_ms, list(r.headers)) for r in records
            ]
            await producer.flush()
            await asyncio.gather(*sent)
        finally:
            await producer.stop()

    def read(self, topic: str, partition: int, offset: int, count: int) -> list[Stored]:
        return self.loop.run(self._read(topic, partition, offset, count))

    async def _read(self, topic: str, partition: int, offset: int, count: int) -> list[Stored]:
        async with self._consumer() as consumer:
            target = TopicPartition(topic, partition)
            consumer.assign([target])
            consumer.seek(target, offset)
            stored: list[Stored] = []
            while len(stored) < count:
                record = await asyncio.wait_for(consumer.getone(), TIMEOUT_S)
                stored.append(as_stored(record))
            return stored

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        return self.loop.run(self._bounds(TopicPartition(topic, partition)))

    async def _bounds(self, target: TopicPartition) -> tuple[int, int]:
        async with self._consumer() as consumer:
            low = await consumer.beginning_offsets([target])
            high = await consumer.end_offsets([target])
            return low[target], high[target]

    def offset_at(self, topic: str, partition: int, timestamp_ms: int) -> int | None:
        return self.loop.run(self._offset_at(TopicPartition(topic, partition), timestamp_ms))

    async def _offset_at(self, target: TopicPartition, timestamp_ms: int) -> int | None:
        async with self._consumer() as consumer:
            found = (await consumer.offsets_for_times({target: timestamp_ms}))[target]
            return None if found is None else found.offset

    def join(
        self, group: str, topic: str, instance_id: str | None = None, cooperative: bool = False
    ) -> "AiokafkaMember":
        assert not cooperative, "aiokafka has no incremental assignor"
        return AiokafkaMember(self, group, topic, instance_id)

    def committed(self, group: str, topic: str, partitions: Sequence[int]) -> dict[int, int]:
        return self.loop.run(self._committed(group, topic, partitions))

    async def _committed(self, group: str, topic: str, partitions: Sequence[int]) -> dict[int, int]:
        async with self._consumer({"group_id": group}) as consumer:
            return {p: await consumer.committed(TopicPartition(topic, p)) for p in partitions}

    def alter_config(self, topic: str, name: str, value: str) -> None:
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, {name: value})
        for answer in self.loop.run(self.admin.alter_configs([resource])):
            assert [entry[0] for entry in answer.resources] == [0], answer

    def config(self, topic: str, name: str) -> str:
        resource = ConfigResource(ConfigResourceType.TOPIC, topic)
        [answer] = self.loop.run(self.admin.describe_configs([resource]))
        [(_, _, _, _, entries)] = answer.resources
        return str({entry[0]: entry[1] for entry in entries}[name])

    def delete_records(self, topic: str, partition: int, before_offset: int) -> None:
        target = {TopicPartition(topic, partition): RecordsToDelete(before_offset=before_offset)}
        self.loop.run(self.admin.delete_records(target))

    def close(self) -> None:
        self.loop.run(self.admin.close())
        self.loop.close()

    def _consumer(self, config: Mapping[str, Any] | None = None) -> AIOKafkaConsumer:
        defaults = {"enable_auto_commit": False, "auto_offset_reset": "earliest", "group_id": None}
        return AIOKafkaConsumer(bootstrap_servers=self.bootstrap, **{**defaults, **(config or {})})


class AiokafkaMember:
    """A member polled by a task of the driver's loop."""

    def __init__(self, driver: AiokafkaDriver, group: str, topic: str, instance_id: str | None) -> None:
        self._loop = driver.loop
        self._received: list[Stored] = []
        self._events: list[tuple[str, frozenset[int]]] = []
        config = {
            "group_id": group,
            "group_instance_id": instance_id,
            "session_timeout_ms": SESSION_TIMEOUT_MS,
            "heartbeat_interval_ms": HEARTBEAT_INTERVAL_MS,
            "partition_assignment_strategy": (RangePartitionAssignor,),
        }
        self._consumer, self._task = self._loop.run(self._start(driver, config, topic))

    async def _start(
        self, driver: AiokafkaDriver, config: Mapping[str, Any], topic: str
    ) -> tuple[AIOKafkaConsumer, asyncio.Task[None]]:
        consumer = driver._consumer(config)
        consumer.subscribe([topic], listener=Listener(self._events))
        await consumer.start()
        return consumer, asyncio.create_task(self._poll(consumer))

    async def _poll(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            polled = await consumer.getmany(timeout_ms=100)
            self._received += [as_stored(record) for batch in polled.values() for record in batch]

    def assignment(self) -> frozenset[int]:
        return frozenset(p.partition for p in self._consumer.assignment())

    def events(self) -> list[tuple[str, frozenset[int]]]:
        return list(self._events)

    def received(self) -> list[Stored]:
        if self._task.done() and not self._task.cancelled():
            self._task.result()
        return list(self._received)

    def commit(self) -> None:
        self._loop.run(self._consumer.commit())

    def close(self) -> None:
        self._loop.run(self._stop())

    async def _stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._consumer.stop()


class Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Notes the library's announcements."""

    def __init__(self, events: list[tuple[str, frozenset[int]]]) -> None:
        self.events = events

    def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        self.events.append(("revoked", frozenset(p.partition for p in revoked)))

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self.events.append(("assigned", frozenset(p.partition for p in assigned)))


def as_stored(record: Any) -> Stored:
    """A ConsumerRecord in the story's words."""
    headers = tuple((name, value) for name, value in record.headers)
    return Stored(record.partition, record.offset, Record(record.key, record.value, headers, record.timestamp))
