"""A directory changes hands: what is taken over, what is refused, what is said. Against Kafka itself: tests/compat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import UUID

import pytest

from tailrace.base.disk import RealDisk, lock_directory
from tailrace.base.errors import TailraceError
from tailrace.base.types import TopicPartition
from tailrace.cluster.image import MetadataImage
from tailrace.cluster.kafka_bootstrap import BOOTSTRAP_FILE, VOTERS_FILE, bootstrap_snapshot
from tailrace.cluster.kafka_metadata import KafkaMetadata
from tailrace.cluster.records import (
    BrokerRecord,
    ClusterRecord,
    ConfigRecord,
    PartitionRecord,
    ProducerIdsRecord,
    Record,
    ResourceType,
    TopicRecord,
)
from tailrace.cluster.settings import BrokerSettings
from tailrace.cluster.sqlite_store import SqliteStore
from tailrace.log import checkpoint, meta_properties, partition_metadata
from tailrace.log.meta_properties import MetaProperties
from tailrace.log.producer_snapshot import encode_snapshot
from tailrace.log.producer_state import ProducerEntry
from tailrace.node.from_kafka import Adopted, from_kafka
from tailrace.node.kafka_directory import refuse_unknown_logs
from tailrace.node.to_kafka import Controller, to_kafka

TOPIC_ID = UUID(int=7)
CONTROLLER = Controller("CONTROLLER", "localhost", 9093)
META = MetaProperties("Ywi0LrotRMmdHlrKzVh6IA", 3, "BWsQHHq7Q0y6vqcrhTjftA")
TOPIC: Sequence[Record] = (
    TopicRecord("t", TOPIC_ID),
    *(PartitionRecord(TOPIC_ID, index, 3, 5, (3,), (3,), 2) for index in range(2)),
)


def kafka_directory(path: Path, records: Sequence[Record] = TOPIC, partitions: int = 2) -> Path:
    """What Kafka leaves, as far as metadata goes; its snapshot is written by our own writer."""
    image = MetadataImage()
    image.replay([ClusterRecord(META.cluster_id), *records], 1)
    log = path / "__cluster_metadata-0"
    log.mkdir(parents=True)
    meta_properties.write(RealDisk(), path, META)
    (log / "00000000000000000009-0000000001.checkpoint").write_bytes(bootstrap_snapshot(image, 3, {}, 0))
    for index in range(partitions):
        directory = path / f"t-{index}"
        directory.mkdir()
        partition_metadata.write(RealDisk(), directory, TOPIC_ID)
    return path


def metadata_of(path: Path) -> MetadataImage:
    store = SqliteStore(path / "metadata.db")
    image = MetadataImage()
    version, records = store.load()
    store.close()
    image.replay(records, version)
    return image


def take_over(path: Path, **settings: str) -> Adopted:
    return from_kafka(BrokerSettings(settings), path)


def files(path: Path) -> Iterator[tuple[str, bytes]]:
    for file in sorted(path.rglob("*")):
        if file.is_file() and file.name != ".lock":
            yield str(file.relative_to(path)), file.read_bytes()


def test_topics_partitions_settings_and_producer_ids_become_ours(tmp_path: Path) -> None:
    configs = ConfigRecord(ResourceType.TOPIC, "t", "retention.ms", "5")
    kafka_directory(tmp_path, [*TOPIC, configs, ProducerIdsRecord(3, 4000)])
    checkpoint.write_epochs(RealDisk(), tmp_path / "t-1" / "leader-epoch-checkpoint", [(0, 0), (9, 4)])
    before = dict(files(tmp_path))
    found = take_over(tmp_path)
    assert found == Adopted(META.cluster_id, 3, 1, 2, [])
    image = metadata_of(tmp_path)
    topic = image.topic("t")
    assert topic is not None and topic.topic_id == TOPIC_ID
    assert [(p.leader, p.leader_epoch, p.replicas) for p in topic.partitions] == [(3, 6, (3,)), (3, 10, (3,))]
    assert image.configs(ResourceType.TOPIC, "t") == {"retention.ms": "5"}
    assert (image.cluster_id, image.next_producer_id) == (META.cluster_id, 4000)
    after = {name: data for name, data in files(tmp_path) if not name.startswith("metadata.db")}
    assert after == before, "nothing but metadata.db is written"


def test_a_directory_that_is_ours_already_is_refused(tmp_path: Path) -> None:
    take_over(kafka_directory(tmp_path))
    with pytest.raises(TailraceError, match="has metadata already"):
        take_over(tmp_path)


def test_a_directory_in_use_is_refused(tmp_path: Path) -> None:
    lock = lock_directory(kafka_directory(tmp_path))
    assert lock is not None
    with pytest.raises(TailraceError, match="in use by another process"):
        take_over(tmp_path)
    lock.close()
    take_over(tmp_path)


def test_partitions_that_lie_on_other_brokers_are_refused(tmp_path: Path) -> None:
    kafka_directory(tmp_path, partitions=1)
    log = tmp_path / "__cluster_metadata-0"
    snapshot = next(log.iterdir())
    image = MetadataImage()
    image.replay([ClusterRecord("c"), *TOPIC], 1)
    snapshot.write_bytes(bootstrap_snapshot(image, 4, {}, 0))  # replicas on node 4
    with pytest.raises(TailraceError, match="no replica of t-1;"):
        take_over(tmp_path)
    assert not (tmp_path / "metadata.db").exists()


def test_a_partition_that_was_created_just_before_the_end_is_empty(tmp_path: Path) -> None:
    assert take_over(kafka_directory(tmp_path, partitions=1)).partition_count == 2


def test_a_partition_of_a_log_directory_that_was_not_named_is_refused(tmp_path: Path) -> None:
    kafka_directory(tmp_path, partitions=1)
    snapshot = next((tmp_path / "__cluster_metadata-0").iterdir())
    image = MetadataImage()
    image.replay([ClusterRecord("c"), *TOPIC], 1)
    snapshot.write_bytes(bootstrap_snapshot(image, 3, {TopicPartition("t", 1): UUID(int=77)}, 0))
    with pytest.raises(TailraceError, match="no directory of t-1;"):
        take_over(tmp_path)
    (tmp_path / "t-1").mkdir()
    assert take_over(tmp_path).partition_count == 2


def test_a_missing_log_directory_keeps_it_from_being_handed_over(tmp_path: Path) -> None:
    take_over(kafka_directory(tmp_path))
    store = SqliteStore(tmp_path / "metadata.db")
    store.append(store.load().version, [BrokerRecord(3, "", 0, None, ((META.directory_id, "/a"), ("other", "/b")))])
    store.close()
    with pytest.raises(TailraceError, match="are missing: /b;"):
        to_kafka(BrokerSettings(), tmp_path, CONTROLLER)


def test_a_directory_of_another_topic_of_the_name_is_refused(tmp_path: Path) -> None:
    kafka_directory(tmp_path)
    partition_metadata.write(RealDisk(), tmp_path / "t-0", UUID(int=99))
    with pytest.raises(TailraceError, match="older topic of the same name"):
        take_over(tmp_path)


def test_strays_and_foreign_settings_are_said(tmp_path: Path) -> None:
    tiered = ConfigRecord(ResourceType.TOPIC, "t", "remote.storage.enable", "true")
    kafka_directory(tmp_path, [*TOPIC, tiered])
    (tmp_path / "stray-0").mkdir()
    notes = take_over(tmp_path).notes
    assert any("stray-0" in note for note in notes)
    assert any("remote.storage.enable=true" in note for note in notes)


def test_without_kafkas_metadata_topics_are_their_directories_and_keep_everything(tmp_path: Path) -> None:
    kafka_directory(tmp_path)
    next((tmp_path / "__cluster_metadata-0").iterdir()).unlink()
    (tmp_path / "__cluster_metadata-0").rmdir()
    (tmp_path / "__consumer_offsets-0").mkdir()
    (tmp_path / "t-0" / "00000000000000000000.snapshot").write_bytes(encode_snapshot([ProducerEntry(77)]))
    found = take_over(tmp_path)
    assert (found.topic_count, found.partition_count) == (2, 3)
    assert any("retention.ms=-1" in note for note in found.notes)
    image = metadata_of(tmp_path)
    assert image.configs(ResourceType.TOPIC, "t") == {"retention.ms": "-1"}
    assert image.configs(ResourceType.TOPIC, "__consumer_offsets") == {"cleanup.policy": "compact"}
    assert image.next_producer_id > 77
    topic = image.topic("t")
    assert topic is not None and topic.topic_id == TOPIC_ID


def test_without_kafkas_metadata_a_hole_is_refused(tmp_path: Path) -> None:
    kafka_directory(tmp_path)
    next((tmp_path / "__cluster_metadata-0").iterdir()).unlink()
    (tmp_path / "__cluster_metadata-0").rmdir()
    (tmp_path / "t-3").mkdir()
    with pytest.raises(TailraceError, match="partition 3 but no partition 2"):
        take_over(tmp_path)


def test_logs_in_several_directories(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    kafka_directory(first, partitions=1)
    (second / "t-1").mkdir(parents=True)
    meta_properties.write(RealDisk(), second, META._replace(directory_id="AAAAAAAAQ0y6vqcrhTjftA"))
    data = tmp_path / "data"
    settings = BrokerSettings({"log.dirs": f"{first},{second}"})
    assert from_kafka(settings, data).partition_count == 2
    found = to_kafka(settings, data, CONTROLLER)
    assert (found.partition_count, found.unknown) == (2, [])
    assert (first / BOOTSTRAP_FILE).exists()


def test_handed_over_and_taken_back_is_the_same(tmp_path: Path) -> None:
    kafka_directory(tmp_path, [*TOPIC, ConfigRecord(ResourceType.TOPIC, "t", "retention.ms", "5")])
    take_over(tmp_path)
    before = metadata_of(tmp_path)
    found = to_kafka(BrokerSettings(), tmp_path, CONTROLLER)
    assert (found.cluster_id, found.node_id, found.topic_count, found.unknown) == (META.cluster_id, 3, 1, [])
    assert [path.name for path in (tmp_path / "__cluster_metadata-0").iterdir()] == [VOTERS_FILE]
    kafka = KafkaMetadata()
    kafka.replay_snapshot(memoryview((tmp_path / BOOTSTRAP_FILE).read_bytes()), 0)
    topic = before.topic("t")
    assert topic is not None
    assert [p.leader_epoch for p in kafka.topics[TOPIC_ID].partitions.values()] == [
        p.leader_epoch for p in topic.partitions
    ]
    with pytest.raises(TailraceError, match="does not tell of them"):
        refuse_unknown_logs(tmp_path, [tmp_path])
    with pytest.raises(TailraceError, match="there is no"):
        to_kafka(BrokerSettings(), tmp_path, CONTROLLER)
    take_over(tmp_path)  # Kafka has not started in between
    after = metadata_of(tmp_path)
    assert {name: len(topic.partitions) for name, topic in after.topics.items()} == {"t": 2}
    assert after.configs(ResourceType.TOPIC, "t") == {"retention.ms": "5"}


def test_logs_get_their_topic_id_and_strangers_are_named(tmp_path: Path) -> None:
    take_over(kafka_directory(tmp_path))
    (tmp_path / "t-0" / "partition.metadata").unlink()
    (tmp_path / "stray-0").mkdir()
    assert to_kafka(BrokerSettings(), tmp_path, CONTROLLER).unknown == ["stray-0"]
    assert partition_metadata.read(RealDisk(), tmp_path / "t-0") == TOPIC_ID


def test_an_empty_or_missing_directory_is_no_reason_to_refuse_a_start(tmp_path: Path) -> None:
    refuse_unknown_logs(tmp_path, [tmp_path, tmp_path / "missing"])
    (tmp_path / "t-0.abc-delete").mkdir()
    refuse_unknown_logs(tmp_path, [tmp_path])
    (tmp_path / str(TopicPartition("t", 0))).mkdir()
    with pytest.raises(TailraceError, match="from-kafka"):
        refuse_unknown_logs(tmp_path, [tmp_path])
