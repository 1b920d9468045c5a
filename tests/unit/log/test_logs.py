"""The logs of a broker: lock, identity, marker, checkpoints, create and delete. wants C8; KAFKA-10471, KAFKA-13773."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from uuid import UUID

import pytest
from tests.support.breakable_disk import BreakableDisk
from tests.support.counting_disk import CountingDisk
from tests.support.log_support import START_MS, batch_of, environment, open_log, read_values

from tailrace.base.clock import ManualClock
from tailrace.base.errors import KafkaError, StorageError, TailraceError
from tailrace.base.types import TopicPartition
from tailrace.log.config import LogConfig, LogEnvironment
from tailrace.log.logs import Logs

TOPIC_ID = UUID(int=77)
A0, B1 = TopicPartition("a", 0), TopicPartition("b-c", 1)
MARKER = ".kafka_cleanshutdown"
OPEN_ONE_LOG_MAX_OPERATIONS = 24


def logs_in(*paths: Path, clock: ManualClock | None = None, **identity: object) -> Logs:
    logs = Logs(list(paths), environment(clock=clock), lambda topic: LogConfig(), **identity)  # type: ignore[arg-type]
    logs.load_all()
    return logs


def test_a_clean_round(tmp_path: Path) -> None:
    logs = logs_in(tmp_path)
    log = logs.create(A0, TOPIC_ID)
    assert logs.create(A0, TOPIC_ID) is log
    log.append_as_leader(batch_of(3), 0)
    log.high_watermark = 2
    log.delete_records_before(1)
    logs.create(B1, TOPIC_ID)
    assert logs.shut_down(broker_epoch=9)
    assert json.loads((tmp_path / MARKER).read_text()) == {"version": 0, "brokerEpoch": 9}
    assert (tmp_path / "recovery-point-offset-checkpoint").read_text() == "0\n2\na 0 3\nb-c 1 0\n"
    assert (tmp_path / "log-start-offset-checkpoint").read_text() == "0\n2\na 0 1\nb-c 1 0\n"
    assert (tmp_path / "replication-offset-checkpoint").read_text() == "0\n2\na 0 2\nb-c 1 0\n"

    again = logs_in(tmp_path)
    assert not (tmp_path / MARKER).exists(), "the marker goes at once"
    assert again.directories[0].was_clean
    assert again.directories[0].broker_epoch == 9
    assert list(again) == [] and len(again) == 2, "none is opened before it is asked for"
    assert sorted(again.topic_partitions) == [A0, B1]
    found = again.get(A0)
    assert found is not None
    assert (found.log_start_offset, found.high_watermark, found.log_end_offset) == (1, 2, 3)
    assert found.topic_id == TOPIC_ID
    assert again.cluster_id == logs.cluster_id
    assert again.shut_down()


def test_after_a_kill_nothing_is_believed(tmp_path: Path) -> None:
    logs = logs_in(tmp_path)
    log = logs.create(A0, TOPIC_ID)
    log.append_as_leader(batch_of(2), 0)
    logs.write_checkpoints()
    log.append_as_leader(batch_of(2), 0)
    logs.directories.unlock()
    path = tmp_path / "a-0" / f"{0:020d}.log"
    path.write_bytes(path.read_bytes() + b"torn tail")
    again = logs_in(tmp_path)
    assert not again.directories[0].was_clean
    found = again.get(A0)
    assert found is not None
    assert [offset for offset, _ in read_values(found)] == [0, 1, 2, 3]
    assert again.shut_down()


@pytest.mark.parametrize("is_clean", [True, False])
def test_a_start_that_fails_before_it_reads_leaves_what_it_found(tmp_path: Path, is_clean: bool) -> None:
    """A broker whose cluster's store is away tries again and again: what was closed cleanly stays so, and no other."""
    logs = logs_in(tmp_path)
    if is_clean:
        assert logs.shut_down(broker_epoch=9)
    else:
        logs.abandon()
    for _ in range(2):
        failed = Logs([tmp_path], environment(), lambda topic: LogConfig())
        assert (failed.directories[0].was_clean, (tmp_path / MARKER).exists()) == (is_clean, False)
        failed.put_back()
        assert (tmp_path / MARKER).exists() is is_clean
    again = logs_in(tmp_path)
    assert again.directories[0].was_clean is is_clean
    assert again.directories[0].broker_epoch == (9 if is_clean else -1)
    assert again.shut_down()


def test_a_second_process_is_refused_in_one_sentence(tmp_path: Path) -> None:
    logs = logs_in(tmp_path)
    with pytest.raises(TailraceError, match=r"^\S+ is in use by another process; stop that one, or"):
        logs_in(tmp_path)
    logs.shut_down()
    logs_in(tmp_path).shut_down()


def test_another_nodes_directory_is_refused(tmp_path: Path) -> None:
    logs_in(tmp_path, node_id=1, cluster_id="one").shut_down()
    with pytest.raises(TailraceError, match="belongs to node 1, not to node 2"):
        logs_in(tmp_path, node_id=2)
    with pytest.raises(TailraceError, match="belongs to cluster one, not to two"):
        logs_in(tmp_path, node_id=1, cluster_id="two")
    logs = logs_in(tmp_path, node_id=1)
    assert logs.cluster_id == "one"
    logs.shut_down()


def test_deleting_a_log(tmp_path: Path) -> None:
    clock = ManualClock(START_MS)
    logs = logs_in(tmp_path, clock=clock)
    log = logs.create(A0, TOPIC_ID)
    log.append_as_leader(batch_of(), 0)
    logs.delete(A0)
    assert logs.get(A0) is None
    (waiting,) = tmp_path.glob("a-0.*-delete")
    logs.create(A0, UUID(int=78)).append_as_leader(batch_of(), 0)
    clock.advance(60_000)
    logs.remove_doomed_files()
    assert not waiting.exists()
    assert (tmp_path / "a-0").exists()
    logs.delete(A0)
    logs.shut_down()
    assert list(tmp_path.glob("*-delete"))
    logs_in(tmp_path).shut_down()
    assert not list(tmp_path.glob("*-delete")), "what a stop left is removed at the next start"


def test_a_log_that_fails_to_load_keeps_the_marker_away(tmp_path: Path) -> None:
    logs = logs_in(tmp_path)
    for partition in (A0, B1):
        logs.create(partition, TOPIC_ID).append_as_leader(batch_of(), 0)
    logs.shut_down()
    checkpoint = (tmp_path / "recovery-point-offset-checkpoint").read_text()
    bad = tmp_path / "a-0" / f"{0:020d}.log"
    bad.unlink()
    bad.mkdir()
    again = logs_in(tmp_path)
    assert again.get(A0) is None
    assert again.get(B1) is not None, "the others are served"
    assert isinstance(again.directories[0].failures[A0], StorageError)
    assert not again.shut_down()
    assert not (tmp_path / MARKER).exists()
    assert (tmp_path / "recovery-point-offset-checkpoint").read_text() == checkpoint, "what was known is kept"


def test_malformed_checkpoints_cost_time_only(tmp_path: Path) -> None:
    logs = logs_in(tmp_path)
    logs.create(A0, TOPIC_ID).append_as_leader(batch_of(2), 0)
    logs.shut_down()
    for name in ("recovery-point", "log-start", "replication"):
        (tmp_path / f"{name}-offset-checkpoint").write_text("garbage")
    (tmp_path / MARKER).write_text("{")
    again = logs_in(tmp_path)
    found = again.get(A0)
    assert found is not None
    assert found.log_end_offset == 2
    again.shut_down()


def test_several_directories_share_the_logs(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    logs = logs_in(first, second)
    for partition in range(4):
        logs.create(TopicPartition("t", partition), TOPIC_ID)
    assert sorted(len(list(path.glob("t-*"))) for path in (first, second)) == [2, 2]
    assert {logs.directory_of(log.topic_partition).path for log in logs} == {first, second}
    assert logs.shut_down()
    again = logs_in(first, second)
    assert len(again) == 4
    again.shut_down()
    open_log(first / "t-1")
    open_log(second / "t-1")
    twice = logs_in(first, second)
    assert twice.get(TopicPartition("t", 1)) is None, "nobody knows which is right: neither is served"
    for directory in twice.directories:
        assert "is in two log directories" in str(directory.failures[TopicPartition("t", 1)])
    with pytest.raises(KafkaError, match="in two log directories"):
        twice.find_or_create(TopicPartition("t", 1), TOPIC_ID)
    assert not twice.shut_down()
    assert (first / "t-1").exists()
    assert (second / "t-1").exists()


def test_a_log_of_a_deleted_topic_is_set_aside(tmp_path: Path) -> None:
    """It comes back with a directory that was offline when its topic was deleted and made again."""
    before = logs_in(tmp_path)
    before.create(A0, TOPIC_ID).append_as_leader(batch_of(), 0)
    before.shut_down()
    logs = Logs([tmp_path], environment(), lambda topic: LogConfig())
    logs.load_all()
    assert logs.find_or_create(A0, UUID(int=78)).log_end_offset == 0
    assert len(list(tmp_path.glob("a-0.*-stray/*.log"))) == 1, "kept, under another name"
    logs.shut_down()


def test_of_a_partition_in_two_directories_one_may_be_of_a_deleted_topic(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    for path, topic_id in ((first, UUID(int=78)), (second, TOPIC_ID)):
        made = logs_in(path, cluster_id="one")
        made.create(A0, topic_id)
        made.shut_down()
    logs = Logs([first, second], environment(), lambda topic: LogConfig())
    logs.load_all(lambda topic: UUID(int=78))
    assert logs.get(A0) is not None
    assert logs.directory_of(A0).path == first
    assert len(list(second.glob("a-0.*-stray"))) == 1
    assert logs.shut_down()


def test_foreign_entries_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "a-9").write_text("a file, not a log")
    logs = logs_in(tmp_path)
    assert len(logs) == 0
    assert logs.shut_down()
    assert (tmp_path / "a-9").read_text() == "a file, not a log"


def test_a_clean_start_touches_no_log(tmp_path: Path) -> None:
    """Disk operations of a clean start do not grow with the partitions; issue 3: 10,000 partitions."""

    def counted_start(count: int) -> list[str]:
        path = tmp_path / str(count)
        logs = logs_in(path)
        for index in range(count):
            logs.create(TopicPartition("t", index), TOPIC_ID).append_as_leader(batch_of(2), 0)
        logs.shut_down()
        disk = CountingDisk()
        again = Logs([path], LogEnvironment(disk=disk), lambda _: LogConfig())
        again.load_all()
        started = list(disk.operations)
        assert len(again) == count and again.get(TopicPartition("t", 0)) is not None
        opened = disk.operations[len(started) :]
        assert len(opened) <= OPEN_ONE_LOG_MAX_OPERATIONS, opened
        again.shut_down()
        return started

    assert len(counted_start(3)) == len(counted_start(40))


def test_unopened_logs_keep_their_checkpoints_and_sizes(tmp_path: Path) -> None:
    logs = logs_in(tmp_path)
    for partition in (A0, B1):
        log = logs.create(partition, TOPIC_ID)
        log.append_as_leader(batch_of(5), 0)
        log.high_watermark = 5
        log.delete_records_before(2)
    size = logs.describe(A0)[1]
    assert logs.shut_down()
    names = ("recovery-point", "log-start", "replication")
    before = [(tmp_path / f"{name}-offset-checkpoint").read_text() for name in names]
    again = logs_in(tmp_path)
    assert again.describe(A0) == (again.directories[0], size, 0)
    log = again.get(A0)
    assert log is not None and (log.log_start_offset, log.high_watermark) == (2, 5)
    log.append_as_leader(batch_of(1), 0)
    again.write_checkpoints()
    again.abandon()
    assert [(tmp_path / f"{name}-offset-checkpoint").read_text() for name in names] == before
    mended = logs_in(tmp_path)
    assert [(log.topic_partition, log.log_end_offset) for log in mended] == [(A0, 6), (B1, 5)]
    assert mended.shut_down()


def test_after_an_unclean_end_no_more_is_committed_than_was_flushed(tmp_path: Path) -> None:
    """What a log lost the power before it could cut away may be back, below the high watermark that was written."""
    logs = logs_in(tmp_path)
    log = logs.create(A0, TOPIC_ID)
    log.append_as_leader(batch_of(3), 0)
    log.flush()
    log.append_as_leader(batch_of(2), 0)
    log.high_watermark = 5
    logs.write_checkpoints()
    logs.abandon()
    again = logs_in(tmp_path).get(A0)
    assert again is not None
    assert again.high_watermark == again.recovery_point <= 3 and again.log_end_offset == 5


def test_retention_opens_what_may_be_due_and_leaves_it_unopened(tmp_path: Path) -> None:
    clock = ManualClock()
    path = tmp_path / "data"
    names = [TopicPartition("t", index) for index in range(3)]
    logs = logs_in(path, clock=clock)
    for age, name in enumerate(names):
        log = logs.create(name, TOPIC_ID)
        log.append_as_leader(batch_of(2, timestamp=int(clock.wall_ms()) - age * 60_000), 0)
        log.high_watermark = 2
    logs.shut_down()
    disk = CountingDisk()
    environment_ = LogEnvironment(disk=disk, clock=clock)
    again = Logs([path], environment_, lambda _: LogConfig(retention_ms=90_000))
    again.load_all()
    assert again.apply_retention() == 1, "the oldest is beyond retention"
    assert [log.topic_partition for log in again] == [names[2]]
    assert again.is_unopened(names[0]) and again.is_unopened(names[1])
    count = len(disk.operations)
    assert again.apply_retention() == 0
    assert [each for each in disk.operations[count:] if "t-2" not in each] == [], "nothing is due"
    clock.advance(31_000)
    assert again.apply_retention() == 1
    assert again.is_unopened(names[0])
    again.update_config("t")
    count = len(disk.operations)
    again.apply_retention()
    assert any("t-0" in each for each in disk.operations[count:]), "other settings, another look"
    assert again.shut_down()


def test_a_log_is_not_made_again_while_a_directory_is_missing(tmp_path: Path) -> None:
    """An empty log in its place would be a loss nobody notices. KIP-112, KIP-858."""
    disk = BreakableDisk()
    paths = [tmp_path / "1", tmp_path / "2"]
    logs = Logs(paths, environment(disk), lambda topic: LogConfig())
    for partition in range(4):
        logs.create(TopicPartition("t", partition), TOPIC_ID)
    logs.shut_down()
    disk.fail(paths[1], errno.EIO)
    logs = Logs(paths, environment(disk), lambda topic: LogConfig())
    logs.load_all()
    assert [directory.error is None for directory in logs.directories] == [True, False]
    lost = next(p for p in (TopicPartition("t", index) for index in range(4)) if p not in logs)
    with pytest.raises(KafkaError, match="offline or missing"):
        logs.find_or_create(lost, TOPIC_ID)
    assert logs.directory_of(logs.create(TopicPartition("u", 0), TOPIC_ID).topic_partition).path == paths[0]
    assert not logs.shut_down()
    alone = Logs(paths[:1], environment(), lambda topic: LogConfig())
    alone.load_all()
    alone.directories.missing_ids = frozenset({"known from elsewhere"})
    with pytest.raises(KafkaError, match="offline or missing"):
        alone.find_or_create(lost, TOPIC_ID)
    alone.shut_down()


def test_without_any_directory_there_is_no_start(tmp_path: Path) -> None:
    disk = BreakableDisk()
    disk.fail(tmp_path, errno.EACCES)
    with pytest.raises(StorageError, match="injected"):
        Logs([tmp_path / "1", tmp_path / "2"], environment(disk), lambda topic: LogConfig())
