"""confluent-kafka (librdkafka) as a driver of the story."""

from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType
from tests.harness.drivers import HEARTBEAT_INTERVAL_MS, SESSION_TIMEOUT_MS, PolledMember, Record, Stored

TIMEOUT_S = 60.0


class ConfluentDriver:
    """One admin client; a new producer or consumer for each call, as each needs its own settings."""

    name = "confluent-kafka"

    def __init__(self, bootstrap: str) -> None:
        self.common: dict[str, Any] = {"bootstrap.servers": bootstrap, "error_cb": lambda error: None}
        self.admin = AdminClient(self.common)

    def create_topic(self, topic: str, partitions: int, config: Mapping[str, str]) -> None:
        self.admin.create_topics([NewTopic(topic, partitions, 1, config=dict(config))])[topic].result(TIMEOUT_S)

    def delete_topic(self, topic: str) -> None:
        self.admin.delete_topics([topic])[topic].result(TIMEOUT_S)

    def topics(self) -> set[str]:
        return set(self.admin.list_topics(timeout=TIMEOUT_S).topics)

    def partition_count(self, topic: str) -> int:
        return len(self.admin.list_topics(topic, timeout=TIMEOUT_S).topics[topic].partitions)

    def produce(
        self, topic: str, partition: int, records: Sequence[Record], codec: str = "none", acks: str = "all"
    ) -> None:
        failures: list[KafkaError] = []
        producer = Producer({**self.common, "compression.type": codec, "acks": acks, "linger.ms": 5})
        for record in records:
            producer.produce(
                topic,
                record.value,
                record.key,
                partition,
                on_delivery=lambda error, message: failures.append(error) if error else None,
                timestamp=record.timestamp_ms,
                headers=list(record.headers),
            )
        assert producer.flush(TIMEOUT_S) == 0, "records were not delivered in time"
        if failures:
            raise KafkaException(failures[0])

    def read(self, topic: str, partition: int, offset: int, count: int) -> list[Stored]:
        consumer = self._consumer()
        try:
            consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])
            consumer.seek(TopicPartition(topic, partition, offset))
            stored: list[Stored] = []
            while len(stored) < count:
                polled = consumer.consume(count - len(stored), TIMEOUT_S)
                assert polled, f"only {len(stored)} of {count} records came"
                stored += [as_stored(message) for message in polled]
            return stored
        finally:
            consumer.close()

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        consumer = self._consumer()
        try:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), TIMEOUT_S)
            return low, high
        finally:
            consumer.close()

    def offset_at(self, topic: str, partition: int, timestamp_ms: int) -> int | None:
        consumer = self._consumer()
        try:
            [found] = consumer.offsets_for_times([TopicPartition(topic, partition, timestamp_ms)], TIMEOUT_S)
            return found.offset if found.offset >= 0 else None
        finally:
            consumer.close()

    def join(self, group: str, topic: str, instance_id: str | None = None, cooperative: bool = False) -> PolledMember:
        config = {"group.id": group, "session.timeout.ms": SESSION_TIMEOUT_MS}
        config["heartbeat.interval.ms"] = HEARTBEAT_INTERVAL_MS
        config["partition.assignment.strategy"] = "cooperative-sticky" if cooperative else "range"
        if instance_id is not None:
            config["group.instance.id"] = instance_id
        return PolledMember(lambda member: ConfluentMember(self._consumer(config), topic, member, cooperative))

    def committed(self, group: str, topic: str, partitions: Sequence[int]) -> dict[int, int]:
        consumer = self._consumer({"group.id": group})
        try:
            answer = consumer.committed([TopicPartition(topic, p) for p in partitions], TIMEOUT_S)
            return {entry.partition: entry.offset for entry in answer}
        finally:
            consumer.close()

    def alter_config(self, topic: str, name: str, value: str) -> None:
        change = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[change])
        self.admin.incremental_alter_configs([resource])[resource].result(TIMEOUT_S)

    def config(self, topic: str, name: str) -> str:
        resource = ConfigResource(ResourceType.TOPIC, topic)
        return str(self.admin.describe_configs([resource])[resource].result(TIMEOUT_S)[name].value)

    def delete_records(self, topic: str, partition: int, before_offset: int) -> None:
        target = TopicPartition(topic, partition, before_offset)
        deleted = self.admin.delete_records([target])[target].result(TIMEOUT_S)
        assert deleted.low_watermark == before_offset

    def close(self) -> None:
        pass

    def _consumer(self, config: Mapping[str, Any] | None = None) -> Consumer:
        defaults = {"group.id": "no-group", "enable.auto.commit": False, "auto.offset.reset": "earliest"}
        return Consumer({**self.common, **defaults, **(config or {})})


class ConfluentMember:
    """A subscribed consumer that tells its rebalances."""

    def __init__(self, consumer: Consumer, topic: str, member: PolledMember, cooperative: bool) -> None:
        self.consumer = consumer
        consumer.subscribe(
            [topic],
            on_assign=lambda _, partitions: member.announce("assigned", numbers(partitions)),
            on_revoke=lambda _, partitions: member.announce("revoked", numbers(partitions)),
        )

    def poll(self) -> list[Stored]:
        return [as_stored(message) for message in self.consumer.consume(500, 0.1)]

    def assignment(self) -> frozenset[int]:
        return numbers(self.consumer.assignment())

    def commit(self) -> None:
        for entry in self.consumer.commit(asynchronous=False):
            if entry.error:
                raise KafkaException(entry.error)

    def close(self) -> None:
        self.consumer.close()


def numbers(partitions: Sequence[TopicPartition]) -> frozenset[int]:
    """Their partition numbers."""
    return frozenset(entry.partition for entry in partitions)


def as_stored(message: Message) -> Stored:
    """A message in the story's words; KafkaException when it carries an error instead."""
    if message.error():
        raise KafkaException(message.error())
    headers = tuple((name, value) for name, value in message.headers() or [])
    _, timestamp_ms = message.timestamp()
    record = Record(message.key(), message.value(), headers, timestamp_ms)
    return Stored(message.partition(), message.offset(), record)
