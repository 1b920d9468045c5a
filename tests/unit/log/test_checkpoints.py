"""Small files: checkpoints, leader epochs, partition.metadata, meta.properties, file names."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from tailrace.base.disk import RealDisk
from tailrace.base.errors import TailraceError
from tailrace.base.types import ZERO_TOPIC_ID, TopicPartition
from tailrace.log import filenames, meta_properties, partition_metadata
from tailrace.log.checkpoint import MalformedCheckpoint, read_epochs, read_offsets, write_epochs, write_offsets
from tailrace.log.leader_epochs import LeaderEpochs
from tailrace.log.meta_properties import MetaProperties

DISK = RealDisk()


def test_offsets_come_back_in_kafkas_text(tmp_path: Path) -> None:
    path = tmp_path / "recovery-point-offset-checkpoint"
    assert read_offsets(DISK, path) == {}
    offsets = {TopicPartition("b", 1): 7, TopicPartition("a.b_c-d", 0): 1 << 40}
    write_offsets(DISK, path, offsets)
    assert path.read_text() == "0\n2\na.b_c-d 0 1099511627776\nb 1 7\n"
    assert read_offsets(DISK, path) == offsets
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "text",
    ["", "1\n0\n", "0\n", "0\nx\n", "0\n2\na 0 1\n", "0\n1\na 0\n", "0\n1\na b c\n", "\0\0\0\0", "0\n1\na 0 1 2\n"],
)
def test_malformed_checkpoints_say_so(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x"
    path.write_text(text)
    with pytest.raises(MalformedCheckpoint):
        read_offsets(DISK, path)


def test_epochs_come_back(tmp_path: Path) -> None:
    write_epochs(DISK, tmp_path / "x", [(0, 0), (3, 17)])
    assert (tmp_path / "x").read_text() == "0\n2\n0 0\n3 17\n"
    assert read_epochs(DISK, tmp_path / "x") == [(0, 0), (3, 17)]


def leader_epochs(tmp_path: Path, *entries: tuple[int, int]) -> LeaderEpochs:
    epochs = LeaderEpochs(DISK, tmp_path / "leader-epoch-checkpoint")
    for epoch, start in entries:
        epochs.assign(epoch, start)
    return epochs


def loaded(tmp_path: Path) -> list[tuple[int, int]]:
    epochs = leader_epochs(tmp_path)
    assert epochs.load()
    return epochs.entries


def test_assigning_epochs(tmp_path: Path) -> None:
    epochs = leader_epochs(tmp_path, (-1, 0), (0, 0), (0, 5), (2, 10))
    assert epochs.entries == loaded(tmp_path) == [(0, 0), (2, 10)]
    assert epochs.latest_epoch == 2
    epochs.assign(3, 10)
    assert epochs.entries == loaded(tmp_path) == [(0, 0), (3, 10)], "an epoch without records gives way"
    epochs.assign(1, 4)
    assert epochs.entries == [(0, 0), (1, 4)], "and so do those a truncation has undone"
    assert [epochs.epoch_for(o) for o in (0, 3, 4, 100)] == [0, 0, 1, 1]


def test_truncating_epochs(tmp_path: Path) -> None:
    entries = [(0, 0), (1, 10), (4, 20)]
    epochs = leader_epochs(tmp_path, *entries)
    epochs.truncate_from_end(20)
    assert epochs.entries == loaded(tmp_path) == entries[:2]
    epochs.truncate_from_start(5)
    assert epochs.entries == loaded(tmp_path) == [(0, 5), (1, 10)]
    epochs.truncate_from_start(10)
    assert epochs.entries == [(1, 10)]
    epochs.truncate_from_start(100)
    assert epochs.entries == loaded(tmp_path) == [(1, 100)]
    epochs.clear()
    assert loaded(tmp_path) == []


@pytest.mark.parametrize("text", ["0\n2\n1 5\n0 6\n", "0\n2\n0 6\n1 5\n", "", "0\n1\n\n"])
def test_epochs_that_do_not_rise_are_not_loaded(tmp_path: Path, text: str) -> None:
    (tmp_path / "leader-epoch-checkpoint").write_text(text)
    assert not leader_epochs(tmp_path).load()


def test_partition_metadata(tmp_path: Path) -> None:
    topic_id = UUID("0f0e0d0c-0b0a-4908-8706-050403020100")
    assert partition_metadata.read(DISK, tmp_path) == ZERO_TOPIC_ID
    partition_metadata.write(DISK, tmp_path, topic_id)
    assert (tmp_path / "partition.metadata").read_text() == "version: 0\ntopic_id: Dw4NDAsKSQiHBgUEAwIBAA\n"
    assert partition_metadata.read(DISK, tmp_path) == topic_id
    (tmp_path / "partition.metadata").write_text("version: 0\ntopic_id: !")
    assert partition_metadata.read(DISK, tmp_path) == ZERO_TOPIC_ID


def test_meta_properties(tmp_path: Path) -> None:
    meta = MetaProperties("cluster", 3, "directory")
    assert meta_properties.read(DISK, tmp_path) is None
    meta_properties.write(DISK, tmp_path, meta)
    assert meta_properties.read(DISK, tmp_path) == meta
    (tmp_path / "meta.properties").write_text("#\n#Mon Nov 21\nversion=1\nnode.id=3\ncluster.id=cluster\n")
    assert meta_properties.read(DISK, tmp_path) == MetaProperties("cluster", 3, "")
    (tmp_path / "meta.properties").write_text("node.id=x\n")
    with pytest.raises(TailraceError, match="is not a log directory"):
        meta_properties.read(DISK, tmp_path)


def test_file_names() -> None:
    assert filenames.offset_file(Path("d"), 42, ".log").name == "00000000000000000042.log"
    assert filenames.offset_of("00000000000000000042.log", ".log") == 42
    assert [filenames.offset_of(n, ".log") for n in ("42.log", "00000000000000000042.index", "x.log", ".log")] == [
        None
    ] * 4
    assert filenames.parse_directory("a-b-7") == TopicPartition("a-b", 7)
    assert [filenames.parse_directory(n) for n in ("a", "-1", "a-", "a-b", "a-1.0f-delete")] == [None] * 5
    name = filenames.deleted_directory(TopicPartition("x" * 249, 12), UUID(int=5).hex)
    assert len(name) == 255
    assert name.endswith(f".{UUID(int=5).hex}-delete")
