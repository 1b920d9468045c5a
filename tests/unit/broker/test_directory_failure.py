"""A log directory that fails: its partitions are offline, the others are served, nothing hangs. KIP-112, wants C11."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from broker_bench import Bench, only
from test_produce_fetch import ask, batch, send
from tests.support.breakable_disk import BreakableDisk

from tailrace.base.errors import ErrorCode, StorageError
from tailrace.base.types import TopicPartition
from tailrace.broker.handlers import (
    delete_records,
    describe_log_dirs,
    describe_topic_partitions,
    fetch,
    find_coordinator,
    list_offsets,
    metadata,
)
from tailrace.wire.messages.delete_records import DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic
from tailrace.wire.messages.describe_log_dirs import DescribeLogDirsRequest
from tailrace.wire.messages.describe_topic_partitions import DescribeTopicPartitionsRequest
from tailrace.wire.messages.find_coordinator import FindCoordinatorRequest
from tailrace.wire.messages.heartbeat import HeartbeatRequest
from tailrace.wire.messages.list_offsets import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic
from tailrace.wire.messages.metadata import MetadataRequest

STORAGE = ErrorCode.KAFKA_STORAGE_ERROR


class TwoDirectories:
    """A broker with topic "t" of four partitions over log directories a and b; partition 0 lies in a."""

    def __init__(self, tmp_path: Path) -> None:
        self.disk = BreakableDisk()
        self.paths = [tmp_path / "a", tmp_path / "b"]
        self.bench = Bench(*self.paths, disk=self.disk)
        self.bench.topic("t", 4)
        for index in range(4):
            assert send(self.bench, "t", batch(b"x"), index=index).error_code == 0
        home = self.bench.logs.directory_of(TopicPartition("t", 0))
        self.lost = self.of(home.path)
        self.kept = sorted(set(range(4)) - set(self.lost))
        self.lost_path = home.path

    def of(self, path: Path) -> list[int]:
        logs = self.bench.logs
        return [p.partition for p in (log.topic_partition for log in logs) if logs.directory_of(p).path == path]

    def codes(self) -> dict[int, int]:
        return {index: send(self.bench, "t", batch(b"y"), index=index).error_code for index in range(4)}


@pytest.fixture
def two(tmp_path: Path) -> TwoDirectories:
    return TwoDirectories(tmp_path)


def fetched(two: TwoDirectories, index: int, wait_ms: int = 0) -> Any:
    request = ask("t", 0, wait_ms)
    request.topics[0].partitions[0].partition = index
    return fetch.handle(two.bench.services, two.bench.context(1, 11), request)


def code_of(response: Any) -> int:
    return int(only(only(response.responses).partitions).error_code)


def test_logs_spread_by_fewest(two: TwoDirectories) -> None:
    assert len(two.lost) == len(two.kept) == 2


@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS, errno.EACCES])
def test_one_directory_takes_only_its_partitions(two: TwoDirectories, number: int) -> None:
    """The one that is written first finds out; the other of the directory is offline at once."""
    two.disk.fail(two.lost_path, number)
    expected = {index: STORAGE if index in two.lost else 0 for index in range(4)}
    assert two.codes() == expected
    two.disk.heal()
    assert two.codes() == expected, "a directory stays offline until the next start"
    for index in range(4):
        assert code_of(fetched(two, index)) == expected[index]


def test_every_api_says_so(two: TwoDirectories) -> None:
    bench = two.bench
    two.disk.fail(two.lost_path, errno.EIO)
    two.codes()
    lost, kept = two.lost[0], two.kept[0]
    asked = [ListOffsetsPartition(index, timestamp=-1) for index in (lost, kept)]
    listed = list_offsets.handle(
        bench.services, bench.context(2, 5), ListOffsetsRequest(-1, topics=[ListOffsetsTopic("t", asked)])
    )
    assert [found.error_code for found in listed.topics[0].partitions] == [STORAGE, 0]
    doomed = [DeleteRecordsPartition(index, 1) for index in (lost, kept)]
    deleted = delete_records.handle(
        bench.services, bench.context(21, 2), DeleteRecordsRequest([DeleteRecordsTopic("t", doomed)])
    )
    assert [found.error_code for found in deleted.topics[0].partitions] == [STORAGE, 0]
    told = metadata.handle(bench.services, bench.context(3, 12), MetadataRequest(topics=None))
    for partition in only(told.topics).partitions:
        is_lost = partition.partition_index in two.lost
        assert partition.leader_id == (-1 if is_lost else 1)
        assert partition.error_code == (ErrorCode.LEADER_NOT_AVAILABLE if is_lost else 0)
        assert list(partition.offline_replicas) == ([1] if is_lost else [])
        assert list(partition.isr_nodes) == [1]
    described = describe_topic_partitions.handle(bench.services, bench.context(75, 0), DescribeTopicPartitionsRequest())
    assert [p.leader_id for p in only(described.topics).partitions] == [-1 if i in two.lost else 1 for i in range(4)]
    dirs = describe_log_dirs.handle(bench.services, bench.context(35, 4), DescribeLogDirsRequest(None))
    by_path = {Path(found.log_dir): found for found in dirs.results}
    assert by_path[two.lost_path].error_code == STORAGE
    assert by_path[two.lost_path].topics == []
    kept_path = next(path for path in two.paths if path != two.lost_path)
    assert by_path[kept_path].error_code == 0
    assert [p.partition_index for p in only(by_path[kept_path].topics).partitions] == two.kept


def test_waiting_readers_learn_it(two: TwoDirectories) -> None:
    request = ask("t", 1, 10_000)
    request.topics[0].partitions[0].partition = two.lost[0]
    waiting = fetch.handle(two.bench.services, two.bench.context(1, 11), request)
    assert not waiting.done  # type: ignore[union-attr]
    two.disk.fail(two.lost_path, errno.EIO)
    send(two.bench, "t", batch(b"y"), index=two.lost[1])
    two.bench.run_soon()
    assert code_of(waiting.value) == STORAGE  # type: ignore[union-attr]


def test_readers_by_topic_id_are_told_when_every_partition_is_lost(two: TwoDirectories) -> None:
    topic_id = two.bench.metadata.image.topics["t"].topic_id
    for path in two.paths:
        two.disk.fail(path, errno.EIO)
    assert set(two.codes().values()) == {STORAGE}
    response = fetch.handle(two.bench.services, two.bench.context(1, 13), ask("", 0, topic_id=topic_id))
    assert code_of(response) == STORAGE


def test_a_failed_directory_is_not_touched_again(two: TwoDirectories) -> None:
    two.disk.fail(two.lost_path, errno.EIO)
    two.codes()
    two.disk.heal()
    two.disk.touched.clear()
    two.codes()
    two.bench.logs.write_checkpoints()
    two.bench.logs.apply_retention()
    two.bench.logs.flush_due()
    assert not two.bench.logs.shut_down()
    assert [path for path in two.disk.touched if path.startswith(str(two.lost_path))] == []
    assert not (two.lost_path / ".kafka_cleanshutdown").exists()
    assert sum((path / ".kafka_cleanshutdown").exists() for path in two.paths) == 1


def test_an_fsync_is_not_tried_twice(two: TwoDirectories) -> None:
    """ENOSPC from fsync is no full disk but lost pages: the directory goes."""
    log = next(log for log in two.bench.logs if log.topic_partition.partition == two.lost[0])
    two.disk.fail(two.lost_path, errno.ENOSPC, {"fsync"})
    with pytest.raises(StorageError) as failed:
        log.flush()
    two.bench.services.on_storage_error(failed.value)
    assert two.codes()[two.lost[0]] == STORAGE
    count = len(two.disk.failed)
    two.bench.logs.flush_due()
    two.bench.logs.write_checkpoints()
    two.bench.logs.shut_down()
    assert len(two.disk.failed) == count


def test_after_a_restart_everything_is_back(two: TwoDirectories) -> None:
    two.disk.fail(two.lost_path, errno.EIO)
    two.codes()
    two.bench.logs.shut_down()
    two.disk.heal()
    again = two.bench.restarted()
    ends = {index: again.partitions.of("t", index).log_end_offset for index in range(4)}
    assert ends == {index: 1 if index in two.lost else 2 for index in range(4)}


def test_new_partitions_go_where_it_works(two: TwoDirectories) -> None:
    two.disk.fail(two.lost_path, errno.EIO)
    made = two.bench.topic("u", 3)
    assert len(made) == 3
    assert len(two.of(two.lost_path)) == 0


def test_a_topic_with_lost_partitions_can_be_deleted(two: TwoDirectories) -> None:
    two.disk.fail(two.lost_path, errno.EIO)
    two.codes()
    two.bench.delete_topic("t")
    assert send(two.bench, "t", batch(b"x")).error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert two.bench.partitions.offline == []


def test_a_coordinator_whose_log_is_offline_is_not_available(two: TwoDirectories) -> None:
    """Of two partitions of the groups' topic one is lost: its groups have no coordinator, the others keep theirs."""
    bench = two.bench
    bench.topic("__consumer_offsets", 2)
    two.disk.fail(two.lost_path, errno.EIO)
    two.codes()
    (lost,) = [each.partition for each in bench.partitions.offline if each.topic == "__consumer_offsets"]
    keys = [f"group-{number}" for number in range(20)]
    request = FindCoordinatorRequest(key_type=0, coordinator_keys=keys)
    found = find_coordinator.handle(bench.services, bench.context(10, 4), request)
    assert {c.error_code for c in found.coordinators} == {0, ErrorCode.COORDINATOR_NOT_AVAILABLE}
    for coordinator in found.coordinators:
        is_lost = bench.services.groups.partition_for(coordinator.key) == lost
        assert (coordinator.error_code == ErrorCode.COORDINATOR_NOT_AVAILABLE) == is_lost
        asked = HeartbeatRequest(coordinator.key, 1, "member")
        beat = bench.services.groups.heartbeat(asked).value
        assert beat.error_code == (ErrorCode.NOT_COORDINATOR if is_lost else ErrorCode.UNKNOWN_MEMBER_ID)
