"""kafka-python 3 as a driver of the story."""

from collections.abc import Mapping, Sequence
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from tests.harness.drivers import HEARTBEAT_INTERVAL_MS, SESSION_TIMEOUT_MS, PolledMember, Record, Stored

TIMEOUT_S = 60.0
ACKS: dict[str, int | str] = {"0": 0, "1": 1, "all": "all"}


class KafkaPythonDriver:
    """One admin client; a new producer or consumer for each call, as each needs its own settings."""

    name = "kafka-python"

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self.admin = KafkaAdminClient(bootstrap_servers=bootstrap)

    def create_topic(self, topic: str, partitions: int, config: Mapping[str, str]) -> None:
        self.admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=dict(config))])

    def delete_topic(self, topic: str) -> None:
        self.admin.delete_topics([topic])

    def topics(self) -> set[str]:
        return set(self.admin.list_topics())

    def partition_count(self, topic: str) -> int:
        [described] = self.admin.describe_topics([topic])
        return len(described["partitions"])

    def produce(
        self, topic: str, partition: int, records: Sequence[Record], codec: str = "none", acks: str = "all"
    ) -> None:
        producer = KafkaProducer(
            bootstrap_servers=self.bootstrap,
            compression_type=None if codec == "none" else codec,
            acks=ACKS[acks],
            enable_idempotence=acks == "all",
            linger_ms=5,
        )
        try:
            sent = [
                producer.send(topic, r.value, r.key, list(r.headers), partition, timestamp_ms=r.timestamp_ms)
                for r in records
            ]
            producer.flush(TIMEOUT_S)
            for future in sent:
                future.get(TIMEOUT_S)
        finally:
            producer.close(TIMEOUT_S)

    def read(self, topic: str, partition: int, offset: int, count: int) -> list[Stored]:
        with self._consumer() as consumer:
            target = TopicPartition(topic, partition)
            consumer.assign([target])
            consumer.seek(target, offset)
            stored: list[Stored] = []
            while len(stored) < count:
                polled = consumer.poll(timeout_ms=int(TIMEOUT_S * 1000), max_records=count - len(stored))
                assert polled, f"only {len(stored)} of {count} records came"
                stored += [as_stored(record) for record in polled[target]]
            return stored

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        target = TopicPartition(topic, partition)
        with self._consumer() as consumer:
            return consumer.beginning_offsets([target])[target], consumer.end_offsets([target])[target]

    def offset_at(self, topic: str, partition: int, timestamp_ms: int) -> int | None:
        target = TopicPartition(topic, partition)
        with self._consumer() as consumer:
            found = consumer.offsets_for_times({target: timestamp_ms})[target]
            return None if found is None else found.offset

    def join(self, group: str, topic: str, instance_id: str | None = None, cooperative: bool = False) -> PolledMember:
        config = {
            "group_id": group,
            "group_instance_id": instance_id,
            "session_timeout_ms": SESSION_TIMEOUT_MS,
            "heartbeat_interval_ms": HEARTBEAT_INTERVAL_MS,
            "partition_assignment_strategy": [CooperativeStickyAssignor if cooperative else RangePartitionAssignor],
        }
        return PolledMember(lambda member: KafkaPythonMember(self._consumer(config), topic, member))

    def committed(self, group: str, topic: str, partitions: Sequence[int]) -> dict[int, int]:
        with self._consumer({"group_id": group}) as consumer:
            return {p: consumer.committed(TopicPartition(topic, p)) for p in partitions}

    def alter_config(self, topic: str, name: str, value: str) -> None:
        self.admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {name: value})])

    def config(self, topic: str, name: str) -> str:
        resource = ConfigResource(ConfigResourceType.TOPIC, topic)
        described = self.admin.describe_configs([resource], config_filter="all")
        return str(described["topic"][topic][name]["value"])

    def delete_records(self, topic: str, partition: int, before_offset: int) -> None:
        self.admin.delete_records({TopicPartition(topic, partition): before_offset})

    def close(self) -> None:
        self.admin.close()

    def _consumer(self, config: Mapping[str, Any] | None = None) -> KafkaConsumer:
        defaults = {"enable_auto_commit": False, "auto_offset_reset": "earliest", "group_id": None}
        return KafkaConsumer(bootstrap_servers=self.bootstrap, **{**defaults, **(config or {})})


class KafkaPythonMember:
    """A subscribed consumer that tells its rebalances."""

    def __init__(self, consumer: KafkaConsumer, topic: str, member: PolledMember) -> None:
        self.consumer = consumer
        consumer.subscribe([topic], listener=Listener(member))

    def poll(self) -> list[Stored]:
        # A poll that ends while the group is joined loses the assignment that comes just after (kafka-python 3.0.12).
        polled = self.consumer.poll(timeout_ms=500)
        return [as_stored(record) for batch in polled.values() for record in batch]

    def assignment(self) -> frozenset[int]:
        return frozenset(p.partition for p in self.consumer.assignment())

    def commit(self) -> None:
        self.consumer.commit()

    def close(self) -> None:
        self.consumer.close(autocommit=False)


class Listener(ConsumerRebalanceListener):
    """Passes the library's announcements on."""

    def __init__(self, member: PolledMember) -> None:
        self.member = member

    def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        self.member.announce("revoked", frozenset(p.partition for p in revoked))

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self.member.announce("assigned", frozenset(p.partition for p in assigned))


def as_stored(record: Any) -> Stored:
    """A ConsumerRecord in the story's words."""
    headers = tuple((name, value) for name, value in record.headers)
    return Stored(record.partition, record.offset, Record(record.key, record.value, headers, record.timestamp))
