"""What keeps a broker from starting: one sentence that names the path and the cure, status 1, no trace."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.small_volume import fill, ran_in_a_namespace, small_volume

from node.served import WAIT_S, RawClient, ServedBroker, failed_start
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.metadata import MetadataRequest, MetadataRequestTopic

LISTEN = ("--listen", "127.0.0.1:0")


def refused(data_dir: Path, *arguments: str) -> str:
    status, out, err = failed_start(data_dir, *LISTEN, *arguments)
    assert (status, out) == (1, "")
    (line,) = [line for line in err.strip().splitlines() if line.startswith("tailrace:")]
    assert "Traceback" not in err
    return line


def started_once(data_dir: Path, *arguments: str) -> None:
    with ServedBroker(data_dir, *arguments) as broker:
        assert broker.stop() == 0


def _write_meta(path: Path, text: str) -> None:
    path.mkdir()
    (path / "meta.properties").write_text(text)


CASES: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "a file in its place": (lambda path: path.write_text(""), ["there is a file in the place of a directory"]),
    "a later version": (
        lambda path: _write_meta(path, "version=2\nnode.id=1\ncluster.id=c\n"),
        ["has version 2", "use a later one"],
    ),
    "another node's": (
        lambda path: _write_meta(path, "version=1\nnode.id=7\ncluster.id=c\n"),
        ["belongs to node 7, not to node 2", "set node.id to 7"],
    ),
    "no identity": (lambda path: _write_meta(path, "nonsense"), ["it is not a log directory's"]),
}


@pytest.mark.parametrize("case", CASES)
def test_a_directory_that_is_not_ours(tmp_path: Path, case: str) -> None:
    make, words = CASES[case]
    make(tmp_path / "data")
    line = refused(tmp_path / "data", "--set", "node.id=2")
    for word in [*words, str(tmp_path / "data")]:
        assert word in line


@pytest.mark.parametrize(
    ("content", "words"), [(b"garbage" * 1000, ["not a metadata file"]), (None, ["it is damaged", "put back a copy"])]
)
def test_metadata_that_cannot_be_read(tmp_path: Path, content: bytes | None, words: list[str]) -> None:
    started_once(tmp_path)
    path = tmp_path / "metadata.db"
    if content is None:
        found = path.read_bytes()
        content = found.replace(b'[{"type"', b'<{"type"')
    path.write_bytes(content)
    line = refused(tmp_path)
    for word in [*words, str(path)]:
        assert word in line


def test_log_directories_that_overlap(tmp_path: Path) -> None:
    a = tmp_path / "a"
    assert "names" in refused(tmp_path / "data", "--set", f"log.dirs={a},{a}/../a")
    a.write_text("")
    assert "there is a file in the place of a directory" in refused(tmp_path / "data", "--set", f"log.dirs={a}")
    assert "one within the other" in refused(tmp_path / "data", "--set", f"log.dirs={a},{a}/b")


def test_a_directory_without_rights(tmp_path: Path) -> None:
    """Root does without its right to pass over rights; the directory is somebody else's."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    command = [sys.executable, "-m", "tailrace", "serve", "--data-dir", str(data), *LISTEN]
    if os.geteuid():
        data.chmod(0o500)
    else:
        os.chown(data, 65534, 65534)
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner", *command]
    env = {**os.environ, "PYTHONPATH": "src"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False, env=env)
    assert (done.returncode, done.stdout) == (1, "")
    assert "has no right to; give it the directory (chown)" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_one_of_two_directories_is_gone_and_the_other_is_served(tmp_path: Path) -> None:
    """A file in the place of the mount point; then an empty directory, as when a disk is not mounted; then back."""
    a, b = tmp_path / "a", tmp_path / "b"
    arguments = ("--set", f"log.dirs={a},{b}", "--set", "num.partitions=2")
    with ServedBroker(tmp_path / "data", *arguments) as broker, RawClient(broker.address) as client:
        client.ask(ApiKey.METADATA, 12, MetadataRequest([MetadataRequestTopic(name="t")]))
        assert broker.stop() == 0
    assert len(list(b.glob("t-*"))) == 1
    b.rename(tmp_path / "away")
    for make in (lambda: b.write_text(""), lambda: (b.unlink(), b.mkdir())):
        make()
        with ServedBroker(tmp_path / "data", *arguments) as broker, RawClient(broker.address) as client:
            answer = client.ask(ApiKey.METADATA, 12, MetadataRequest([MetadataRequestTopic(name="t")]))
            leaders = sorted(partition.leader_id for partition in answer.topics[0].partitions)
            assert leaders == [-1, 1]
            broker.stop()
        assert not list(b.glob("t-*")) if b.is_dir() else True, "not made again, empty"
    for path in b.iterdir():
        path.unlink()
    b.rmdir()
    (tmp_path / "away").rename(b)
    with ServedBroker(tmp_path / "data", *arguments) as broker, RawClient(broker.address) as client:
        answer = client.ask(ApiKey.METADATA, 12, MetadataRequest([MetadataRequestTopic(name="t")]))
        assert [partition.leader_id for partition in answer.topics[0].partitions] == [1, 1]


@pytest.mark.slow
def test_volumes_without_room_and_without_rights_to_write(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    if ran_in_a_namespace(request, tmp_path):
        return
    with small_volume(tmp_path / "volume", 1 << 20) as volume:
        fill(volume)
        assert "no space is left on its volume" in refused(volume / "data")
    with small_volume(tmp_path / "other", 8 << 20) as volume:
        started_once(volume / "data")
        subprocess.run(["mount", "-o", "remount,ro", volume], check=True)
        assert "mounted read-only" in refused(volume / "data")


@pytest.mark.slow
def test_a_killed_broker_starts_again_on_a_full_volume(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    if ran_in_a_namespace(request, tmp_path):
        return
    with small_volume(tmp_path / "volume", 16 << 20) as volume:
        data = volume / "data"
        with ServedBroker(data) as broker, RawClient(broker.address) as client:
            client.ask(ApiKey.METADATA, 12, MetadataRequest([MetadataRequestTopic(name="t")]))
            deadline = time.monotonic() + WAIT_S
            while not (data / ".tailrace-reserve").exists():
                assert time.monotonic() < deadline, "made a second after the start"
                time.sleep(0.05)
            broker.stop(signal.SIGKILL)
        fill(volume)
        with ServedBroker(data) as broker, RawClient(broker.address) as client:
            answer = client.ask(ApiKey.METADATA, 12, MetadataRequest([MetadataRequestTopic(name="t")]))
            assert [partition.leader_id for partition in answer.topics[0].partitions] == [1]
