"""What docs/operations/storage.md promises of a whole directory: files deleted, copied, moved, restored."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.node.served import ServedBroker, failed_start
from tests.node.test_live_settings import RawClient, now_ms, produce

import tailrace
from tailrace.cluster.settings import BrokerSettings
from tailrace.embedded.seeds import StoredRecord
from tailrace.node.from_kafka import from_kafka
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.create_topics import CreatableTopic, CreateTopicsRequest

VALUES = [f"value {number}" for number in range(50)]


def fill(data: Path) -> list[StoredRecord]:
    with tailrace.Broker(topics={"t": 2}, data_dir=data) as broker:
        for partition in range(2):
            broker.produce("t", VALUES, partition=partition)
        return broker.records("t")


def records(data: Path, **settings: str) -> list[StoredRecord]:
    with tailrace.Broker(data_dir=data, settings=settings) as broker:
        return broker.records("t")


@pytest.mark.parametrize(
    "name",
    [
        ".kafka_cleanshutdown",
        "recovery-point-offset-checkpoint",
        "log-start-offset-checkpoint",
        "replication-offset-checkpoint",
        "cleaner-offset-checkpoint",
        ".lock",
        "meta.properties",
        "*checkpoint",
    ],
)
def test_a_file_of_the_log_directory_may_be_deleted(tmp_path: Path, name: str) -> None:
    before = fill(tmp_path)
    cluster_id = [line for line in (tmp_path / "meta.properties").read_text().splitlines() if "cluster.id" in line]
    for path in tmp_path.glob(name):
        path.unlink()
    assert records(tmp_path) == before
    assert cluster_id[0] in (tmp_path / "meta.properties").read_text()
    assert records(tmp_path) == before, "and once more, from what was written anew"


def test_what_is_left_of_kafka_or_half_deleted_may_go_or_stay(tmp_path: Path) -> None:
    before = fill(tmp_path)
    (tmp_path / "__cluster_metadata-0").mkdir()
    (tmp_path / "__cluster_metadata-0" / "00000000000000000000.log").write_bytes(b"not ours")
    (tmp_path / "bootstrap.checkpoint").write_bytes(b"not ours")
    (tmp_path / "gone-0.0123456789abcdef0123456789abcdef-delete").mkdir()
    (tmp_path / "t-0" / "00000000000000000000.log.deleted").write_bytes(b"old")
    assert records(tmp_path) == before
    assert (tmp_path / "__cluster_metadata-0" / "00000000000000000000.log").read_bytes() == b"not ours"
    assert not list(tmp_path.glob("*-delete")) and not list(tmp_path.glob("t-0/*.deleted"))


def test_lost_metadata_is_refused_and_can_be_guessed(tmp_path: Path) -> None:
    before = fill(tmp_path)
    for path in tmp_path.glob("metadata.db*"):
        path.unlink()
    status, _, said = failed_start(tmp_path)
    assert status == 1 and "tailrace from-kafka" in said
    assert not (tmp_path / "metadata.db").exists()
    from_kafka(BrokerSettings(), tmp_path)
    assert records(tmp_path) == before


def test_a_partition_moves_to_another_disk(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    before = fill(first)
    second.mkdir()
    shutil.move(first / "t-1", second / "t-1")
    found = records(first, **{"log.dirs": f"{first},{second}"})
    assert found == before


def test_a_directory_moves_to_another_place(tmp_path: Path) -> None:
    before = fill(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b", copy_function=shutil.copy)  # without the files' times
    assert records(tmp_path / "b") == before


def test_a_copy_taken_while_the_process_stood_still_is_a_backup(tmp_path: Path) -> None:
    """As a snapshot of the file system: everything at one moment. Restoring it is a start after a crash."""
    live, copy = tmp_path / "live", tmp_path / "copy"
    with ServedBroker(live) as broker, RawClient(broker.address) as client:
        topic = CreatableTopic(name="t", num_partitions=1, replication_factor=1)
        client.ask(ApiKey.CREATE_TOPICS, 7, CreateTopicsRequest(topics=[topic], timeout_ms=1000))
        acknowledged, copied = _while_writing(client, lambda: _still_copy(broker.process.pid, live, copy))
        assert acknowledged > copied
    found = records(copy)
    assert copied <= len(found) <= acknowledged
    assert [record.offset for record in found] == list(range(len(found)))


def _while_writing(client: RawClient, then: Callable[[], None]) -> tuple[int, int]:
    """(records acknowledged in the end, when `then` began)."""
    count = 0
    done = threading.Event()
    started = threading.Event()

    def write() -> None:
        nonlocal count
        after = 0
        while after < 50:
            assert produce(client, now_ms()) == 0
            count += 1
            after += done.is_set()
            if count == 100:
                started.set()

    writer = threading.Thread(target=write)
    writer.start()
    assert started.wait(20)
    before = count
    then()
    done.set()
    writer.join(20)
    return count, before


def _still_copy(pid: int, source: Path, target: Path) -> None:
    os.kill(pid, signal.SIGSTOP)
    try:
        shutil.copytree(source, target)
    finally:
        os.kill(pid, signal.SIGCONT)
