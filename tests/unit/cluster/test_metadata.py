"""The image, commits to it, listeners, and what survives a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailrace.base.clock import ManualClock
from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.rand import SeededRandom
from tailrace.base.types import TopicPartition
from tailrace.cluster.controller import (
    TopicWish,
    decide_create_partitions,
    decide_create_topics,
    decide_delete_topic,
)
from tailrace.cluster.image import ConfigResource, MetadataDelta, MetadataImage
from tailrace.cluster.memory_store import MemoryStore
from tailrace.cluster.metadata import COMPACT_AFTER_RECORDS, Metadata
from tailrace.cluster.records import BrokerRecord, ConfigRecord, Record, ResourceType
from tailrace.cluster.settings import BrokerSettings
from tailrace.cluster.sqlite_store import SqliteStore
from tailrace.cluster.store import MetadataStore, StaleVersion


def open_metadata(store: MetadataStore | None = None, static: dict[str, str] | None = None) -> Metadata:
    metadata = Metadata(store or MemoryStore(ManualClock()), 1, BrokerSettings(static), SeededRandom(3))
    metadata.register_broker(BrokerRecord(1, "", 0, None))
    return metadata


def create(metadata: Metadata, *wishes: TopicWish) -> None:
    decision = decide_create_topics(metadata.image, wishes, metadata.topic_defaults, metadata.new_topic_id)
    assert decision.refused == {}
    metadata.commit_now(decision.records)


def contents(image: MetadataImage) -> list[Record]:
    return sorted(image.records(), key=repr)


def test_an_empty_store_is_given_a_cluster_id_that_stays(tmp_path: Path) -> None:
    metadata = open_metadata(SqliteStore(tmp_path / "m.db"))
    cluster_id = metadata.image.cluster_id
    assert len(cluster_id) == 22
    metadata.close()
    again = open_metadata(SqliteStore(tmp_path / "m.db"))
    assert again.image.cluster_id == cluster_id
    again.close()


def test_everything_committed_is_there_after_reopening(tmp_path: Path) -> None:
    metadata = open_metadata(SqliteStore(tmp_path / "m.db"))
    create(metadata, TopicWish("a", 3, configs={"retention.ms": "5"}), TopicWish("b"))
    metadata.commit_now(decide_create_partitions(metadata.image, "b", 4, None))
    topic = metadata.image.topic("a")
    assert topic is not None
    assert metadata.producer_ids.take() == 0
    before = contents(metadata.image)
    metadata.close()
    again = open_metadata(SqliteStore(tmp_path / "m.db"))
    assert contents(again.image) == before
    assert again.image.topic_by_id(topic.topic_id) is again.image.topic("a")
    assert again.producer_ids.take() == 1000, "ids of the lost block are never given out again"
    again.close()


def test_listeners_hear_of_topics_partitions_configs_and_deletions() -> None:
    metadata = open_metadata()
    deltas: list[MetadataDelta] = []
    metadata.listen(deltas.append)
    create(metadata, TopicWish("a", 2, configs={"retention.ms": "5"}))
    assert [topic.name for topic in deltas[0].topics_created] == ["a"]
    assert len(deltas[0].topics_created[0].partitions) == 2
    assert deltas[0].partitions_added == []
    assert deltas[0].configs_changed == [ConfigResource(ResourceType.TOPIC, "a")]
    metadata.commit_now(decide_create_partitions(metadata.image, "a", 3, None))
    assert deltas[1].partitions_added == [TopicPartition("a", 2)]
    topic = metadata.image.topic("a")
    assert topic is not None
    metadata.commit_now(decide_delete_topic(metadata.image, topic))
    assert [gone.name for gone in deltas[2].topics_deleted] == ["a"]
    assert metadata.image.topic("a") is None
    assert metadata.image.topic_by_id(topic.topic_id) is None
    assert metadata.image.configs(ResourceType.TOPIC, "a") == {}


def test_a_listener_may_commit_and_everybody_hears_in_order() -> None:
    metadata = open_metadata()
    heard: list[str] = []

    def commit_more(delta: MetadataDelta) -> None:
        heard.append("first " + str([topic.name for topic in delta.topics_created]))
        if delta.topics_created and delta.topics_created[0].name == "a":
            create(metadata, TopicWish("b"))

    metadata.listen(commit_more)
    metadata.listen(lambda delta: heard.append("second " + str([topic.name for topic in delta.topics_created])))
    create(metadata, TopicWish("a"))
    assert heard == ["first ['a']", "second ['a']", "first ['b']", "second ['b']"]


def test_a_failed_append_leaves_the_image_alone() -> None:
    store = MemoryStore(ManualClock())
    metadata = open_metadata(store)
    store.append(metadata.image.version, [ConfigRecord(4, "", "log.retention.ms", "5")])
    before = contents(metadata.image)
    with pytest.raises(StaleVersion):
        create(metadata, TopicWish("a"))
    assert contents(metadata.image) == before


def test_what_another_process_commits_is_replayed() -> None:
    store = MemoryStore(ManualClock())
    here = open_metadata(store)
    there = open_metadata(MemoryStore(ManualClock(), shared_with=store))
    create(there, TopicWish("a"))
    assert here.image.topic("a") is not None
    create(here, TopicWish("b"))
    assert there.image.topic("b") is not None
    assert here.image.version == there.image.version


def test_settings_of_a_topic_follow_its_own_and_the_brokers() -> None:
    metadata = open_metadata(static={"log.retention.hours": "1"})
    create(metadata, TopicWish("a"))
    assert metadata.topic_configs("a")["retention.ms"] == 3_600_000
    metadata.commit_now([ConfigRecord(ResourceType.BROKER, "", "log.retention.ms", "7")])
    assert metadata.topic_configs("a")["retention.ms"] == 7
    metadata.commit_now([ConfigRecord(ResourceType.BROKER, "1", "log.retention.ms", "8")])
    assert metadata.topic_configs("a")["retention.ms"] == 8
    metadata.commit_now([ConfigRecord(ResourceType.TOPIC, "a", "retention.ms", "9")])
    assert metadata.topic_configs("a")["retention.ms"] == 9
    metadata.commit_now([ConfigRecord(ResourceType.TOPIC, "a", "retention.ms", None)])
    assert metadata.topic_configs("a")["retention.ms"] == 8


def test_producer_ids_are_distinct_and_cost_a_commit_in_a_thousand() -> None:
    metadata = open_metadata()
    before = metadata.image.version
    assert [metadata.producer_ids.take() for _ in range(2001)] == list(range(2001))
    assert metadata.image.version == before + 3


def test_a_long_history_is_compacted_at_start(tmp_path: Path) -> None:
    metadata = open_metadata(SqliteStore(tmp_path / "m.db"))
    for batch in range(0, COMPACT_AFTER_RECORDS + 100, 100):
        changes = [ConfigRecord(ResourceType.BROKER, "", "log.retention.ms", str(batch + n)) for n in range(100)]
        metadata.commit_now(changes)
    before, version = contents(metadata.image), metadata.image.version
    metadata.close()
    again = open_metadata(SqliteStore(tmp_path / "m.db"))
    assert (contents(again.image), again.image.version) == (before, version)
    again.close()
    store = SqliteStore(tmp_path / "m.db")
    assert len(store.load().records) == len(before)
    store.close()


def test_deleting_what_the_same_batch_created_leaves_no_trace() -> None:
    metadata = open_metadata()
    decision = decide_create_topics(metadata.image, [TopicWish("a")], metadata.topic_defaults, metadata.new_topic_id)
    scratch = MetadataImage()
    scratch.replay(decision.records, 1)
    topic = scratch.topic("a")
    assert topic is not None
    delta = MetadataImage().replay([*decision.records, *decide_delete_topic(scratch, topic)], 1)
    assert delta.topics_created == []
    assert delta.topics_deleted == []


def test_partitions_cannot_be_added_to_a_topic_that_is_not_there() -> None:
    with pytest.raises(KafkaError) as refused:
        decide_create_partitions(MetadataImage(), "a", 3, None)
    assert refused.value.code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
