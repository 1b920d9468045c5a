"""Levels of free space: what is refused at each, the reserve, and how service resumes. wants C7."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from broker_bench import Bench, only
from test_produce_fetch import ask, batch, send
from tests.support.breakable_disk import GROWS, BreakableDisk

from tailrace.base.disk import VolumeSpace
from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.broker.handlers import create_topics, delete_records, fetch
from tailrace.coordinator.ports import CoordinatorRecord
from tailrace.log.log_directory import SpaceLevel
from tailrace.log.space import RESERVE_FILE, Space
from tailrace.node.coordinator_log import CoordinatorLog
from tailrace.node.space_watch import SpaceWatch
from tailrace.wire.messages.create_topics import CreatableTopic, CreateTopicsRequest
from tailrace.wire.messages.delete_records import DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic

TOTAL = 100 << 20
STORAGE = ErrorCode.KAFKA_STORAGE_ERROR


class Volume:
    """A broker on a volume of 100 MiB of which `free` bytes are free, as it says."""

    def __init__(self, path: Path) -> None:
        self.disk = BreakableDisk()
        self.path = path
        self.bench = Bench(path, settings={"log.segment.bytes": "1048576"}, disk=self.disk)
        self.logs = self.bench.logs
        self.free = TOTAL
        self.resumed = 0
        self.logs.space = Space(self.logs.directories, self.disk, lambda _: VolumeSpace(TOTAL, self.free))
        self.watch = SpaceWatch(self.logs, self.bench.services.settings, self.bench.timers, self.on_resumed)
        self.bench.topic("t")
        assert send(self.bench, "t", batch(b"x")).error_code == 0

    def on_resumed(self) -> None:
        self.resumed += 1

    @property
    def level(self) -> SpaceLevel:
        return self.logs.directories[0].space

    def produce(self) -> int:
        return int(send(self.bench, "t", batch(b"y")).error_code)

    def set_full(self) -> None:
        self.free = 0
        self.disk.fail(self.path, errno.ENOSPC, GROWS)


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    return Volume(tmp_path)


def test_below_one_percent_producing_is_refused_and_reading_is_not(volume: Volume) -> None:
    volume.free = TOTAL // 100
    volume.watch.look()
    assert volume.produce() == 0
    volume.free -= 1
    volume.watch.look()
    assert volume.level is SpaceLevel.LOW
    refused = send(volume.bench, "t", batch(b"y"))
    assert refused.error_code == STORAGE
    assert "is full" in refused.error_message
    response = fetch.handle(volume.bench.services, volume.bench.context(1, 11), ask("t", 0))
    assert only(only(response.responses).partitions).error_code == 0  # type: ignore[union-attr]
    volume.free = TOTAL // 100
    volume.watch.look()
    assert volume.level is SpaceLevel.LOW, "a little more does not make it flutter"
    volume.free = TOTAL // 80
    volume.watch.look()
    assert volume.produce() == 0
    assert volume.resumed == 1


@pytest.mark.parametrize(("setting", "low_at"), [("0", -1), ("5000", 4999)])
def test_the_bound_is_a_setting(volume: Volume, setting: str, low_at: int) -> None:
    volume.logs.space.reserved_bytes = int(setting)
    volume.free = max(low_at, 0)
    volume.logs.space.check()
    assert (volume.level is SpaceLevel.LOW) == (low_at >= 0)


def test_a_full_volume_met_between_two_looks(volume: Volume) -> None:
    """ENOSPC takes no directory offline, unlike in Kafka: the log is cut back and goes on."""
    volume.watch.look()
    volume.set_full()
    assert volume.produce() == STORAGE
    assert volume.level is SpaceLevel.NONE
    assert volume.logs.directories[0].error is None
    writes = len(volume.disk.failed)
    assert volume.produce() == STORAGE
    assert len(volume.disk.failed) == writes, "refused before it is tried"
    volume.disk.heal()
    volume.free = TOTAL
    volume.watch.look()
    assert volume.produce() == 0
    assert volume.bench.partitions.of("t", 0).log_end_offset == 2


def test_a_quota_is_believed_rather_than_the_free_bytes(volume: Volume) -> None:
    volume.watch.look()
    volume.disk.fail(volume.path, errno.EDQUOT, GROWS)
    volume.produce()
    volume.watch.look()
    assert volume.level is SpaceLevel.NONE, "the reserve could not be written"
    volume.disk.heal()
    volume.watch.look()
    assert volume.level is SpaceLevel.ENOUGH


def test_the_reserve_is_for_what_frees_space(volume: Volume) -> None:
    volume.watch.look()
    reserve = volume.path / RESERVE_FILE
    assert reserve.stat().st_size == 1 << 20
    volume.set_full()
    volume.produce()
    assert reserve.exists(), "an append does not get it"
    request = DeleteRecordsRequest([DeleteRecordsTopic("t", [DeleteRecordsPartition(0, 1)])])
    delete_records.handle(volume.bench.services, volume.bench.context(21, 2), request)
    assert not reserve.exists()
    volume.disk.heal()
    answer = delete_records.handle(volume.bench.services, volume.bench.context(21, 2), request)
    assert only(only(answer.topics).partitions).error_code == 0
    volume.free = TOTAL
    volume.watch.look()
    assert reserve.exists()


def test_offsets_are_committed_while_it_is_low_and_not_when_there_is_none(volume: Volume) -> None:
    bench = volume.bench
    bench.topic("__consumer_offsets")
    log = CoordinatorLog("__consumer_offsets", bench.partitions, bench.clock, bench.logs)
    record = [CoordinatorRecord(b"k", b"v")]
    volume.free = 1
    volume.watch.look()
    assert log.append(0, record).value is None
    volume.set_full()
    assert log.append(0, record).value is STORAGE
    volume.disk.heal()
    assert log.append(0, record).value is STORAGE, "what is left is for what frees space"


def test_topics_are_refused_in_words(volume: Volume) -> None:
    volume.free = 1
    volume.watch.look()
    request = CreateTopicsRequest([CreatableTopic("u", 1, 1)])
    with pytest.raises(KafkaError, match="is full") as refused:
        create_topics.handle(volume.bench.services, volume.bench.context(19, 7), request)
    assert refused.value.code is STORAGE
    assert volume.bench.metadata.image.topic("u") is None
    assert "is full" in str(volume.bench.services.auto_create("u").value["u"])


def test_what_is_deleted_goes_at_once_while_it_is_short(volume: Volume) -> None:
    for _ in range(5):
        assert send(volume.bench, "t", batch(bytes(500_000))).error_code == 0
    partition = volume.bench.partitions.of("t", 0)
    partition.delete_records(-1)
    assert list(volume.path.glob("t-0/*.deleted"))
    volume.watch.look()
    assert list(volume.path.glob("t-0/*.deleted")), "its delay is not over"
    volume.free = 1
    volume.watch.look()
    assert not list(volume.path.glob("t-0/*.deleted"))
    volume.bench.delete_topic("t")
    volume.watch.look()
    assert not list(volume.path.glob("t-0*"))


def test_the_look_at_start_writes_nothing_and_knows_what_is_short(volume: Volume) -> None:
    reserve = volume.path / RESERVE_FILE
    volume.watch.look(makes_reserve=False)
    assert not reserve.exists() and volume.level is SpaceLevel.ENOUGH
    volume.free = 1
    volume.watch.look(makes_reserve=False)
    assert volume.level is SpaceLevel.LOW
    volume.free = TOTAL
    volume.watch.look()
    assert reserve.stat().st_size > 0


def test_the_next_look_comes_before_a_fast_producer_can_fill_the_rest(volume: Volume) -> None:
    volume.logs.space = Space(volume.logs.directories, volume.disk, lambda _: VolumeSpace(1 << 40, volume.free))
    volume.watch = SpaceWatch(volume.logs, volume.bench.services.settings, volume.bench.timers, volume.on_resumed)
    for free, wait_ms in ((1 << 39, 30_000), (10_000_000_000 + (256 << 20), 10_000), (300 << 20, 1_000), (0, 1_000)):
        volume.free = free
        assert volume.watch.look() == wait_ms


def test_partitions_that_found_no_room_are_made_when_there_is(volume: Volume) -> None:
    volume.watch = SpaceWatch(
        volume.logs, volume.bench.services.settings, volume.bench.timers, volume.bench.leadership.lead_unled
    )
    volume.set_full()
    with pytest.raises(KafkaError):
        volume.bench.topic("u")
    assert volume.bench.partitions.get_present("u", 0) is None
    volume.disk.heal()
    volume.free = TOTAL
    volume.watch.look()
    assert volume.bench.partitions.get_present("u", 0) is not None
