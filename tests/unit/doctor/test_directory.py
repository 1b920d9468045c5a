"""Each check of a log directory: silent on one that a broker left well, and telling when one thing is wrong with it."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.log_support import batch_of

from tailrace.base.disk import VolumeSpace
from tailrace.base.types import TopicPartition
from tailrace.doctor.check_directory import check_descriptors, check_together
from tailrace.doctor.directory import examine_directories, judge
from tailrace.doctor.directory_facts import DirectoryFacts, file_system_of, look_at
from tailrace.doctor.finding import Finding, Severity
from tailrace.doctor.holder import Holder, find_holder

LIMIT = 1 << 20
SEGMENT = "orders-0/00000000000000000000.log"
HOLDS = (
    "import fcntl,sys; f=open(sys.argv[1],'wb'); fcntl.lockf(f,fcntl.LOCK_EX); print(1,flush=True); sys.stdin.read()"
)


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """A directory as after a clean end: one log of two segments."""
    (tmp_path / "meta.properties").write_text("version=1\ncluster.id=c\nnode.id=1\ndirectory.id=d\n")
    (tmp_path / ".kafka_cleanshutdown").write_text('{"version":0,"brokerEpoch":1}')
    (tmp_path / "metadata.db").write_bytes(b"")
    (tmp_path / "recovery-point-offset-checkpoint").write_text("0\n1\norders 0 2\n")
    log = tmp_path / "orders-0"
    log.mkdir()
    for base in (0, 1):
        (log / f"{base:020d}.log").write_bytes(base.to_bytes(8, "big") + bytes(batch_of())[8:])
        (log / f"{base:020d}.index").write_bytes(b"")
        (log / f"{base:020d}.timeindex").write_bytes(bytes(12))
    return tmp_path


def told(path: Path, **changed: object) -> dict[str, Finding]:
    """What is found, by check; without what depends on where tests run."""
    facts = look_at(path)
    facts.file_system, facts.space = "ext4", VolumeSpace(100, 50)
    for name, value in changed.items():
        setattr(facts, name, value)
    return {each.check: each for each in judge([facts], LIMIT)}


def test_nothing_is_found_where_all_is_well(left: Path) -> None:
    assert told(left) == {}
    assert look_at(left).partitions == [TopicPartition("orders", 0)]
    assert len(look_at(left).segments) == 2


def test_looking_changes_nothing(left: Path) -> None:
    before = {each: each.stat().st_mtime_ns for each in left.rglob("*")}
    examine_directories([left])
    assert {each: each.stat().st_mtime_ns for each in left.rglob("*")} == before


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    found = told(tmp_path / "nowhere")
    assert list(found) == ["directory-unreadable"]
    assert "no such file" in found["directory-unreadable"].what


def test_who_may_write(left: Path) -> None:
    assert told(left, is_writable=False)["directory-not-writable"].severity is Severity.PROBLEM
    assert "0, 1000" in told(left, owners=frozenset({1000, 0}))["directory-owners-mixed"].what


@pytest.mark.parametrize(("kind", "words"), [("tmpfs", "in memory"), ("overlay", "container"), ("nfs4", "network")])
def test_places_where_files_do_not_stay(left: Path, kind: str, words: str) -> None:
    assert words in told(left, file_system=kind)["file-system"].what


def test_room(left: Path) -> None:
    assert told(left, space=VolumeSpace(1000, 90))["volume-full"].severity is Severity.WARNING
    assert told(left, space=VolumeSpace(1000, 9))["volume-full"].severity is Severity.PROBLEM


def test_whose_directory_it_is(left: Path) -> None:
    (left / "metadata.db").unlink()
    (left / "__cluster_metadata-0").mkdir()
    assert "from-kafka" in told(left)["directory-of-kafka"].cure
    shutil.rmtree(left / "__cluster_metadata-0")
    (left / "meta.properties").unlink()
    assert "identity-missing" in told(left)
    (left / "meta.properties").write_text("nonsense")
    assert "meta.properties" in told(left)["file-malformed"].what
    (left / "recovery-point-offset-checkpoint").write_text("0\n7\n")
    assert "file-malformed" in told(left)


def test_an_unclean_end_says_how_much_is_read_again(left: Path) -> None:
    (left / ".kafka_cleanshutdown").unlink()
    one = (left / SEGMENT).stat().st_size
    assert f"checks {one / 1e6:,.1f} MB of 1 logs" in told(left)["unclean-end"].what
    assert told(left, holder=Holder(1)) == {}, "a broker that runs has no marker"


def test_leftovers_and_strays(left: Path) -> None:
    (left / "orders-0" / "00000000000000000000.log.cleaned").write_bytes(b"")
    assert "orders-0/00000000000000000000.log.cleaned" in told(left)["leftover-files"].what
    assert told(left, holder=Holder(1)) == {}, "work under way"
    (left / f"old-0.{'a' * 32}-stray").mkdir()
    assert "stray-logs" in told(left)


@pytest.mark.parametrize(
    ("at", "value", "words"),
    [(16, b"\x63", "format 99"), (0, b"\x00" * 7 + b"\x09", "offset 9"), (0, b"\xff", "offset -")],
)
def test_a_segment_that_does_not_begin_as_one(left: Path, at: int, value: bytes, words: str) -> None:
    content = bytearray((left / SEGMENT).read_bytes())
    content[at : at + len(value)] = value
    (left / SEGMENT).write_bytes(content)
    assert words in told(left)["segment-damaged"].subject


def test_a_segment_that_is_cut(left: Path) -> None:
    (left / SEGMENT).write_bytes(b"abc")
    assert "3 bytes" in told(left)["segment-damaged"].subject
    (left / SEGMENT).write_bytes(b"")
    assert told(left) == {}, "compaction may leave one empty"


def test_indexes_that_do_not_fit(left: Path) -> None:
    index = left / SEGMENT.replace(".log", ".index")
    index.write_bytes(bytes(9))
    assert "index-damaged" in told(left)
    index.write_bytes((0).to_bytes(4, "big") + (1 << 20).to_bytes(4, "big"))
    assert "index-damaged" in told(left)
    index.write_bytes(bytes(4096))
    assert told(left) == {}, "Kafka fills the newest up with zeros"


def test_descriptors() -> None:
    facts = DirectoryFacts(Path("/d"))
    assert [each.check for each in check_descriptors(facts, 1024)] == ["descriptors-few"]
    facts.partitions = [TopicPartition("t", index) for index in range(10_000)]
    assert [each.check for each in check_descriptors(facts, 16_384)] == ["descriptors-few"]
    assert list(check_descriptors(facts, LIMIT)) == []
    facts.holder = Holder(7, "tailrace", 1000, 900)
    assert [each.subject for each in check_descriptors(facts, LIMIT)] == ["process 7 (tailrace)"]


def test_directories_of_several_brokers(left: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other") / "d"
    shutil.copytree(left, other)
    assert [each.check for each in check_together([look_at(left), look_at(other)])] == ["log-twice"]
    (other / "meta.properties").write_text("version=1\ncluster.id=c\nnode.id=2\n")
    found = [each.check for each in check_together([look_at(left), look_at(other)])]
    assert found == ["directories-of-several", "log-twice"]


def test_the_kernel_says_who_holds_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    assert find_holder(lock) is None
    lock.write_bytes(b"")
    assert find_holder(lock) is None
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = find_holder(lock)
        assert found is not None and found.pid == process.pid
        with lock.open("wb") as file, pytest.raises(OSError):
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # asking has not taken it away
        process.communicate()
    assert find_holder(lock) is None


def test_the_type_of_a_file_system() -> None:
    assert file_system_of(Path("/proc")) in ("proc", "")
