"""Log directories are registered, and one that is gone is missed until nothing of it is. KIP-858."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tailrace.base.clock import ManualClock
from tailrace.base.rand import SeededRandom
from tailrace.cluster.memory_store import MemoryStore
from tailrace.cluster.metadata import Metadata
from tailrace.cluster.records import BrokerRecord, decode_records, encode_records
from tailrace.cluster.settings import BrokerSettings
from tailrace.log.config import LogConfig, LogEnvironment
from tailrace.log.log_directories import LogDirectories
from tailrace.log.logs import Logs
from tailrace.node.registration import forget_missing, register_broker

BROKER = BrokerRecord(1, "", 0, None)


@pytest.fixture
def metadata() -> Metadata:
    return Metadata(MemoryStore(ManualClock()), 1, BrokerSettings({}), SeededRandom(1))


def register(metadata: Metadata, *paths: Path, forget: bool = False) -> LogDirectories:
    logs = Logs(paths, LogEnvironment(), lambda topic: LogConfig(), cluster_id="one")
    register_broker(metadata, logs.directories, BROKER, forget=forget)
    logs.shut_down()
    return logs.directories


def registered(metadata: Metadata) -> list[str]:
    return [path for _, path in metadata.image.brokers[1].directories]


def test_what_is_there_is_registered_once(metadata: Metadata, tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    assert register(metadata, a, b).are_complete
    version = metadata.image.version
    assert register(metadata, a, b).are_complete
    assert metadata.image.version == version, "a start that finds the same writes nothing"
    assert registered(metadata) == [str(a), str(b)]


def test_a_disk_that_is_not_mounted_is_missed(
    metadata: Metadata, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its mount point is an empty directory: it becomes a directory of its own, and the other is still missed."""
    a, b = tmp_path / "a", tmp_path / "b"
    register(metadata, a, b)
    b.rename(tmp_path / "unmounted")
    b.mkdir()
    with caplog.at_level(logging.ERROR):
        assert not register(metadata, a, b).are_complete
    assert f"missing: {b}" in caplog.text
    assert "log.dirs.forget.missing=true" in caplog.text
    assert len(registered(metadata)) == 3
    assert not register(metadata, a, b).are_complete, "and so at the start after"


def test_a_directory_that_comes_back_is_no_longer_missed(metadata: Metadata, tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    register(metadata, a, b)
    assert len(register(metadata, a).missing_ids) == 1
    assert register(metadata, a, b).are_complete


def test_what_nothing_is_missed_of_is_forgotten(metadata: Metadata, tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    register(metadata, a, b)
    directories = register(metadata, a)
    forget_missing(metadata, directories)
    assert directories.are_complete
    assert registered(metadata) == [str(a)]


def test_a_lost_directory_can_be_given_up(metadata: Metadata, tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    register(metadata, a, b)
    assert register(metadata, a, forget=True).are_complete
    assert registered(metadata) == [str(a)]


def test_the_record_is_stored_and_read(metadata: Metadata) -> None:
    record = BROKER._replace(directories=(("id", "/a"), ("other", "/b")))
    assert decode_records(encode_records([record])) == [record]
    old = '[{"type":"broker","broker_id":1,"host":"","port":0,"rack":null}]'
    assert decode_records(old) == [BROKER], "written before there were directories in it"
