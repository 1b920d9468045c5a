"""Every file beside the batches cut at every byte, missing, zeroed or overwritten: the log opens as if it were whole.

The picture of an undamaged log is the model: its records, epochs, producers, aborted transactions, indexes, answers by
time. After an unclean stop with nothing flushed every other file may be anything. Where some of it was flushed, only
what was written since may be; after a clean end a file that is missing or torn is still made again (systems B2 c).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.faulty_disk import FaultyDisk
from tests.support.log_support import START_MS, batch_of, environment, open_log, read_values

from tailrace.log.config import LogConfig
from tailrace.log.log import AppendOrigin, Log
from tailrace.records.control import EndTxnMarker, build_end_txn_marker

SMALL = LogConfig(segment_bytes=2000, index_interval_bytes=200)
BATCHES = 59
FLUSHED_AT = 56

Damage = Callable[[bytes], Iterator[bytes | None]]


class Template:
    """A log as a kill leaves it, and one closed cleanly, with what each must look like."""

    def __init__(self, root: Path) -> None:
        self.killed = root / "killed"
        self.closed = root / "closed"
        log, self.flushed_offset = written(self.killed)
        log.abandon()
        log, _ = written(self.closed)
        log.close()
        reopened = reopen(self.killed)
        self.picture = picture(reopened)
        self.active = reopened.segments.active.base_offset
        reopened.abandon()


def written(directory: Path) -> tuple[Log, int]:
    """A log of several segments, epochs, producers and transactions; how far it was flushed."""
    log = open_log(directory, SMALL, environment(disk=FaultyDisk()))
    flushed = 0
    sequences = {5: 0, 9: 0}
    for number in range(BATCHES):
        # The timestamps do not rise with the offsets, so that the time index has fewer entries than the other.
        timestamp = START_MS + (number * 7) % 90 + number
        producer = 9 if number % 4 == 1 else 5
        fields = {"producer_id": producer, "producer_epoch": 0, "base_sequence": sequences[producer]}
        sequences[producer] += 2
        view = batch_of(2, timestamp=timestamp, value=b"%d" % number, is_transactional=producer == 9, **fields)
        log.append_as_leader(view, number // 7)
        if number % 8 == 6:
            marker = build_end_txn_marker(9, 0, EndTxnMarker(number % 16 == 6, 0), timestamp)
            log.append_as_leader(memoryview(marker), number // 7, AppendOrigin.COORDINATOR)
        log.high_watermark = log.log_end_offset
        if number == FLUSHED_AT:
            log.flush()
            flushed = log.log_end_offset
    return log, flushed


def reopen(directory: Path, *, was_clean: bool = False, recovery_point: int = 0) -> Log:
    env = environment(disk=FaultyDisk())
    return open_log(directory, SMALL, env, was_clean=was_clean, recovery_point=recovery_point)


def picture(log: Log, *, with_indexes: bool = True) -> dict[str, object]:
    """All that a log can be asked, and what its indexes hold."""
    seen: dict[str, object] = {
        "values": read_values(log),
        "epochs": log.leader_epochs.entries,
        "producers": [
            (e.producer_id, e.producer_epoch, e.last_sequence, e.last_offset, e.current_txn_first_offset)
            for e in sorted(log.active_producers(), key=lambda entry: entry.producer_id)
        ],
        "aborted": log.aborted_transactions(0, log.log_end_offset),
        "by time": [log.offset_for_timestamp(START_MS + ms) for ms in range(0, 150, 5)],
        "latest": log.max_timestamp_offset(),
        "end": log.log_end_offset,
    }
    if with_indexes:
        seen["indexes"] = [(s.offset_index.entries(), s.time_index.entries()) for s in log.segments]
    return seen


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return Template(tmp_path_factory.mktemp("templates"))


def cut(data: bytes) -> Iterator[bytes | None]:
    return (data[:size] for size in range(len(data)))


def replaced(data: bytes) -> Iterator[bytes | None]:
    """Gone; zeros, as ext4 leaves; something else's bytes; zeros after it, as Kafka's preallocation leaves."""
    yield None
    yield bytes(len(data))
    yield bytes(4096)
    yield b"\xff" * len(data)
    yield bytes(range(256)) * 2
    yield data + bytes(4096)
    for at in range(0, len(data), 8):
        yield data[:at] + bytes(len(data) - at)


def trials(source: Path, names: list[str], damage: Damage, directory: Path) -> Iterator[str]:
    """Fresh copies of `source` at `directory`, each with one file damaged; tells how."""
    for name in names:
        data = (source / name).read_bytes()
        for number, content in enumerate(damage(data)):
            shutil.copytree(source, directory)
            if content is None:
                (directory / name).unlink()
            else:
                (directory / name).write_bytes(content)
            yield f"{name}: {damage.__name__} {number}"
            shutil.rmtree(directory)


def files(directory: Path, *suffixes: str) -> list[str]:
    found = sorted(path.name for path in directory.iterdir() if path.name.endswith(suffixes))
    assert found, suffixes
    return found[-2:] if suffixes == (".snapshot",) else found  # older ones are not read


def test_the_template_has_everything(template: Template) -> None:
    seen = template.picture
    assert len(files(template.killed, ".log")) >= 3
    for kind in (".index", ".timeindex", ".txnindex", ".snapshot", "leader-epoch-checkpoint"):
        assert files(template.killed, kind)
    assert len(seen["epochs"]) == 9 and len(seen["aborted"]) == 3  # type: ignore[arg-type]
    assert template.active < template.flushed_offset < seen["end"]  # type: ignore[operator]
    assert len(seen["indexes"][-1][0]) > 3  # type: ignore[index]


@pytest.mark.slow
@pytest.mark.parametrize("damage", [cut, replaced])
@pytest.mark.parametrize("suffix", [".index", ".timeindex", ".txnindex", ".snapshot", "leader-epoch-checkpoint"])
def test_after_an_unclean_stop_every_file_is_made_again(
    template: Template, tmp_path: Path, suffix: str, damage: Damage
) -> None:
    directory = tmp_path / "log"
    for trial in trials(template.killed, files(template.killed, suffix), damage, directory):
        log = reopen(directory)
        assert picture(log) == template.picture, trial
        log.abandon()


@pytest.mark.slow
@pytest.mark.parametrize("damage", [cut, replaced])
@pytest.mark.parametrize("suffix", [".index", ".timeindex", ".txnindex", ".snapshot", "leader-epoch-checkpoint"])
def test_above_a_recovery_point_inside_the_segment(
    template: Template, tmp_path: Path, suffix: str, damage: Damage
) -> None:
    directory = tmp_path / "log"
    names = [name for name in files(template.killed, suffix) if name[0] == "l" or int(name[:20]) >= template.active]
    for trial in trials(template.killed, names, damage, directory):
        name = trial.split(":")[0]
        if has_lost_whole_entries(directory / name, template.killed / name):
            continue  # of those that were flushed: what recovery may believe
        log = reopen(directory, recovery_point=template.flushed_offset)
        assert picture(log) == template.picture, trial
        log.abandon()


def has_lost_whole_entries(path: Path, original: Path) -> bool:
    """Whether a time or transaction index lacks entries, or has others, in a way that nothing but the batches tells."""
    size = {".timeindex": 12, ".txnindex": 34}.get(path.suffix)
    if size is None:
        return False
    whole = original.read_bytes()
    left = path.read_bytes() if path.exists() else b""
    if size == 34 and not left:
        return True  # a missing transaction index is that of a log in which nothing aborted
    return len(left) % size == 0 and left[:4] == whole[:4] and not left.startswith(whole)


@pytest.mark.slow
@pytest.mark.parametrize("damage", [cut, replaced])
@pytest.mark.parametrize("suffix", [".index", ".timeindex", ".txnindex", ".snapshot", "leader-epoch-checkpoint"])
def test_after_a_clean_end_what_can_be_seen_to_be_torn_is_made_again(
    template: Template, tmp_path: Path, suffix: str, damage: Damage
) -> None:
    entry_size = {".index": 8, ".timeindex": 12, ".txnindex": 34}.get(suffix, 0)
    directory = tmp_path / "log"
    expected = {k: v for k, v in template.picture.items() if k != "indexes"}
    for trial in trials(template.closed, files(template.closed, suffix), damage, directory):
        name = trial.split(":")[0]
        left = (directory / name).read_bytes() if (directory / name).exists() else None
        whole = (template.closed / name).read_bytes()
        log = reopen(directory, was_clean=True)
        if entry_size and left is not None and len(left) % entry_size == 0 and left != whole:
            log.abandon()
            continue  # nothing tells that entries are missing or wrong; it opened, and that is all that is asked
        if suffix == ".txnindex" and left is None:
            log.abandon()
            continue
        assert picture(log, with_indexes=False) == expected, trial
        log.abandon()


def test_a_log_of_the_format_before_kafka_0_11_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    from zlib import crc32

    from tailrace.base.errors import ErrorCode, KafkaError

    directory = tmp_path / "topic-0"
    directory.mkdir()
    body = b"\x01\x00" + (1_500_000_000_000).to_bytes(8, "big") + b"\xff\xff\xff\xff" + b"\x00\x00\x00\x05value"
    message = crc32(body).to_bytes(4, "big") + body
    data = b"".join(o.to_bytes(8, "big") + len(message).to_bytes(4, "big") + message for o in range(20))
    path = directory / "00000000000000000000.log"
    path.write_bytes(data)
    for was_clean in (False, True):
        with pytest.raises(KafkaError) as refused:
            open_log(directory, was_clean=was_clean)
        assert refused.value.code == ErrorCode.UNSUPPORTED_FOR_MESSAGE_FORMAT
        assert path.read_bytes() == data
