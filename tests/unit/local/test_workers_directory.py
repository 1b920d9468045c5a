"""A directory that another number of workers had, or a broker that was alone."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from tailrace.base.clock import SystemClock
from tailrace.base.errors import TailraceError
from tailrace.cluster.image import MetadataImage
from tailrace.cluster.memory_store import MemoryStore
from tailrace.cluster.records import BrokerRecord, ClusterRecord, PartitionRecord, Record, TopicRecord
from tailrace.cluster.sqlite_store import SqliteStore
from tailrace.local import workers_directory as directory

TOPIC_ID = UUID(int=7)
CLUSTER_ID = "Ywi0LrotRMmdHlrKzVh6IA"


def held_by(*replicas: int) -> list[Record]:
    """Three brokers, and a topic of one partition."""
    brokers = [BrokerRecord(each, "127.0.0.1", 9092 + each, None) for each in (1, 2, 3)]
    partition = PartitionRecord(TOPIC_ID, 0, replicas[0], 4, replicas, replicas, 1)
    return [ClusterRecord(CLUSTER_ID), *brokers, TopicRecord("t", TOPIC_ID), partition]


def image_of(store: MemoryStore) -> MetadataImage:
    image = MetadataImage()
    version, records = store.load()
    image.replay(records, version)
    return image


def test_workers_that_go_are_forgotten_once_they_hold_nothing() -> None:
    store = MemoryStore(SystemClock())
    store.append(0, held_by(1))
    assert directory.forget_gone(range(1, 4), store) == [] and store.read_version() == 1
    assert directory.forget_gone(range(1, 2), store) == [2, 3]
    assert list(image_of(store).brokers) == [1]


def test_workers_that_hold_partitions_do_not_go() -> None:
    store = MemoryStore(SystemClock())
    store.append(0, held_by(1, 3))
    with pytest.raises(TailraceError) as refused:
        directory.forget_gone(range(1, 3), store)
    assert str(refused.value) == (
        "worker 3 (broker 3) holds 1 partitions, such as t-0: start with --workers 3, move them to the others, then "
        "start with fewer"
    )
    assert list(image_of(store).brokers) == [1, 2, 3]


def test_the_metadata_of_a_broker_alone_is_copied_whole(tmp_path: Path) -> None:
    alone = SqliteStore(tmp_path / "metadata.db")
    alone.append(0, [ClusterRecord(CLUSTER_ID)])
    alone.append(1, held_by(1)[1:])
    before = MetadataImage()
    before.replay(alone.load().records, 2)
    alone.close()
    store = MemoryStore(SystemClock())
    directory.copy_metadata(tmp_path / "metadata.db", store)
    assert image_of(store).records() == before.records()


def test_logs_are_moved_and_a_move_that_was_cut_short_goes_on(tmp_path: Path) -> None:
    names = ["worker-1", "t-0", "meta.properties", "recovery-point-offset-checkpoint"]
    for name in names[:2]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "00000000000000000000.log").write_bytes(b"records")
    for name in [*names[2:], "metadata.db", "metadata.db-wal", "workers.db", ".lock"]:
        (tmp_path / name).write_bytes(b"")
    target = tmp_path / "workers" / "1"
    target.mkdir(parents=True)
    (tmp_path / "t-0").rename(target / "t-0")
    directory.move_logs([tmp_path], [target])
    assert {path.name for path in target.iterdir()} == set(names)
    assert (target / "worker-1" / "00000000000000000000.log").read_bytes() == b"records"
    stayed = {"metadata.db", "metadata.db-wal", "workers.db", ".lock", "workers"}
    assert {path.name for path in tmp_path.iterdir()} == stayed
    directory.move_logs([tmp_path], [target])
    assert {path.name for path in target.iterdir()} == set(names)


def test_a_copy_that_was_not_finished_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "workers.db.new").write_bytes(b"half")
    (tmp_path / "workers.db.new-wal").write_bytes(b"half")
    assert directory.new_metadata(tmp_path) == tmp_path / "workers.db.new"
    assert not list(tmp_path.iterdir())
    (tmp_path / "workers.db.new").write_bytes(b"whole")
    (tmp_path / "metadata.db").write_bytes(b"old")
    directory.put_in_place(tmp_path)
    directory.set_metadata_aside(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"workers.db", "metadata.db.before-workers"}
