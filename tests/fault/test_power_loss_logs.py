"""Logs that lose their power after any step: what their checkpoints claim is there, and the rest is a prefix.

After each step of a scenario, in each of the ways a file system may lose what was not synced: every log opens; all
that lies below its checkpointed recovery point is there; it holds a prefix of what was appended; records deleted before
the log starts were checkpointed stay deleted; and reading from the recovery point tells the same as reading everything,
about records, epochs, producers, transactions and indexes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from uuid import UUID

import pytest
from tests.property.test_log_torn_files import picture
from tests.support.log_support import START_MS, batch_of, environment, read_values
from tests.support.power_loss_disk import PowerLossDisk, Survival

from tailrace.base.clock import ManualClock
from tailrace.base.types import TopicPartition
from tailrace.log import checkpoint
from tailrace.log.config import LogConfig, LogEnvironment
from tailrace.log.log import AppendOrigin, Log
from tailrace.log.logs import Logs
from tailrace.records.control import EndTxnMarker, build_end_txn_marker

PARTITIONS = [TopicPartition("kept", 0), TopicPartition("trimmed", 1)]
CONFIG = LogConfig(segment_bytes=1500, index_interval_bytes=200, file_delete_delay_ms=0, retention_ms=-1)
STEPS = 80

Values = list[tuple[int, bytes | None]]


def config_of(topic: str) -> LogConfig:
    return CONFIG


class Scenario:
    """What a broker does with its logs, step by step, and what it has promised so far."""

    def __init__(self, disk: PowerLossDisk, seed: int) -> None:
        self.random = Random(seed)
        self.clock = ManualClock(START_MS)
        self.logs = Logs([disk.root], environment(disk, self.clock), config_of)
        self.logs.load_all()
        self.appended: dict[TopicPartition, Values] = {partition: [] for partition in PARTITIONS}
        self.starts = dict.fromkeys(PARTITIONS, 0)
        self.sequences: dict[tuple[TopicPartition, int], int] = {}
        self.epoch = 0
        self.is_shut_down = False
        for number, partition in enumerate(PARTITIONS):
            self.logs.create(partition, UUID(int=number + 1))

    def log(self, partition: TopicPartition) -> Log:
        found = self.logs.get(partition)
        assert found is not None
        return found

    def run(self) -> Iterator[str]:
        """Do one thing after the other, telling which was done."""
        choices: list[tuple[Callable[[], None], int]] = [
            (self.append, 60),
            (self.end_transaction, 10),
            (self.flush, 6),
            (self.logs.write_checkpoints, 6),
            (self.delete_records, 4),
            (self.elect, 3),
            (self.truncate, 3),
            (self.look_after, 4),
        ]
        for _ in range(STEPS):
            [act] = self.random.choices([act for act, _ in choices], [weight for _, weight in choices])
            self.clock.advance(self.random.randrange(50))
            act()
            yield act.__name__
        assert self.logs.shut_down()
        self.is_shut_down = True
        yield "shut_down"

    def append(self) -> None:
        partition = self.random.choice(PARTITIONS)
        log = self.log(partition)
        producer = self.random.choice([5, 9])
        count = self.random.randrange(1, 4)
        sequence = self.sequences.get((partition, producer), 0)
        self.sequences[partition, producer] = sequence + count
        value = b"%d" % self.random.randrange(10**9)
        fields = {"producer_id": producer, "producer_epoch": 0, "base_sequence": sequence}
        timestamp = START_MS + self.random.randrange(1000)
        view = batch_of(count, timestamp=timestamp, value=value, is_transactional=producer == 9, **fields)
        info = log.append_as_leader(view, self.epoch)
        self.appended[partition] += [(offset, value) for offset in range(info.first_offset, info.last_offset + 1)]
        log.high_watermark = log.log_end_offset

    def end_transaction(self) -> None:
        log = self.log(self.random.choice(PARTITIONS))
        marker = build_end_txn_marker(9, 0, EndTxnMarker(self.random.random() < 0.5, 0), START_MS)
        log.append_as_leader(memoryview(marker), self.epoch, AppendOrigin.COORDINATOR)
        log.high_watermark = log.log_end_offset

    def flush(self) -> None:
        self.log(self.random.choice(PARTITIONS)).flush()

    def delete_records(self) -> None:
        partition = PARTITIONS[1]
        log = self.log(partition)
        if log.log_end_offset > log.log_start_offset:
            log.delete_records_before(self.random.randrange(log.log_start_offset, log.log_end_offset))
            self.logs.write_log_start_offsets()
            self.starts[partition] = log.log_start_offset

    def elect(self) -> None:
        self.epoch += 1
        for partition in PARTITIONS:
            self.log(partition).assign_leader_epoch(self.epoch)

    def truncate(self) -> None:
        """As a follower does: the batches above go, and others take their offsets."""
        partition = self.random.choice(PARTITIONS)
        log = self.log(partition)
        target = log.log_end_offset - self.random.randrange(6)
        if target > max(self.starts[partition], 0):
            log.truncate_to(target)
            self.appended[partition] = [each for each in self.appended[partition] if each[0] < log.log_end_offset]
            for producer in (5, 9):
                known = log.producer_states.get(producer)
                self.sequences[partition, producer] = known.last_sequence + 1 if known is not None else 0
            self.epoch += 1

    def look_after(self) -> None:
        self.logs.apply_retention()


def check_after_loss(scenario: Scenario, directory: Path, aside: Path) -> None:
    """Open what the power loss left at `directory`, and hold it against what was promised."""
    points = checkpoint.read_offsets(LogEnvironment().disk, directory / checkpoint.RECOVERY_POINTS)
    shutil.copytree(directory, aside)
    if scenario.is_shut_down:
        assert (directory / ".kafka_cleanshutdown").exists()
    logs = Logs([directory], environment(), config_of)
    logs.load_all()
    for other in (aside / checkpoint.RECOVERY_POINTS, aside / ".kafka_cleanshutdown"):
        other.unlink(missing_ok=True)
    thorough = Logs([aside], environment(), config_of)
    thorough.load_all()
    assert not logs.directories[0].failures and not thorough.directories[0].failures
    for partition in PARTITIONS:
        log = logs.get(partition)
        appended = scenario.appended[partition]
        if log is None:
            assert points.get(partition, 0) == 0
            continue
        assert log.log_end_offset >= points.get(partition, 0), "the checkpoint claims what is not there"
        assert log.log_start_offset >= scenario.starts[partition]
        expected = [each for each in appended if log.log_start_offset <= each[0] < log.log_end_offset]
        found = [each for each in read_values(log) if each[0] in dict(appended)]
        assert found == expected
        if scenario.is_shut_down:
            assert not appended or log.log_end_offset > appended[-1][0]
        same = thorough.get(partition)
        assert same is not None and picture(log) == picture(same), "read from the recovery point, read from the start"
    logs.abandon()
    thorough.abandon()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_every_step_loses_its_power(tmp_path: Path, seed: int) -> None:
    root = tmp_path / "root"
    root.mkdir()
    disk = PowerLossDisk(root)
    scenario = Scenario(disk, seed)
    for number, step in enumerate(scenario.run()):
        if step == "append" and number % 3:
            continue
        survival = list(Survival)[number % len(Survival)]
        target, aside = tmp_path / "lost", tmp_path / "aside"
        disk.lose_power(target, number, survival)
        try:
            check_after_loss(scenario, target, aside)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, after step {number} ({step}), {survival}: {error}") from error
        shutil.rmtree(target)
        shutil.rmtree(aside)


def test_a_log_directory_that_was_just_made_outlives_the_power(tmp_path: Path) -> None:
    """Its name is on the device before anything is in it."""
    root = tmp_path / "root"
    root.mkdir()
    disk = PowerLossDisk(root)
    logs = Logs([root / "data"], LogEnvironment(disk, ManualClock(START_MS)), config_of)
    disk.lose_power(tmp_path / "after", seed=1)
    logs.abandon()
    assert (tmp_path / "after" / "data" / "meta.properties").exists()
