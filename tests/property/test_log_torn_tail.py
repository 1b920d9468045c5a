"""The last segment cut at every byte of its last batches: reopened, the log ends with the last whole batch (B2 c)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.faulty_disk import FaultyDisk
from tests.support.log_support import START_MS, batch_of, environment, open_log, read_values

from tailrace.log.config import LogConfig
from tailrace.records.compression import Codec

SMALL = LogConfig(segment_bytes=1000, index_interval_bytes=100)


def written(directory: Path, codec: Codec) -> tuple[list[int], list[tuple[int, bytes | None]], Path]:
    """A log of several segments: positions of the last one's batches and its end, all values, its last file."""
    log = open_log(directory, SMALL, environment(disk=FaultyDisk()))
    for i in range(30):
        view = batch_of(2, timestamp=START_MS + i, codec=codec, producer_id=5, producer_epoch=0, base_sequence=i * 2)
        log.append_as_leader(view, i // 7)
    active = log.segments.active
    positions = [position for position, _ in active.headers()]
    return [*positions, active.size], read_values(log), active.path


@pytest.mark.parametrize("codec", [Codec.NONE, Codec.ZSTD])
def test_every_cut_of_the_last_batches(tmp_path: Path, codec: Codec) -> None:
    template = tmp_path / "template"
    boundaries, values, path = written(template, codec)
    assert len(boundaries) > 3
    first = int(path.stem)
    for size in range(boundaries[-3], boundaries[-1] + 1):
        directory = tmp_path / "cut"
        shutil.copytree(template, directory)
        last = directory / path.name
        last.write_bytes(path.read_bytes()[:size])
        log = open_log(directory, SMALL, environment(disk=FaultyDisk()))
        whole = sum(1 for boundary in boundaries[1:] if boundary <= size)
        assert log.log_end_offset == first + whole * 2
        assert read_values(log) == values[: log.log_end_offset]
        assert last.stat().st_size == boundaries[whole]
        sequence = log.log_end_offset
        retry = batch_of(2, producer_id=5, producer_epoch=0, base_sequence=sequence - 2)
        assert log.append_as_leader(retry, 9).duplicate
        following = batch_of(2, producer_id=5, producer_epoch=0, base_sequence=sequence)
        assert log.append_as_leader(following, 9).first_offset == log.log_end_offset - 2
        log.close()
        assert len(read_values(open_log(directory, SMALL, was_clean=True))) == log.log_end_offset
        shutil.rmtree(directory)


@given(
    flips=st.lists(st.tuples(st.integers(0, 100_000), st.integers(1, 255)), min_size=1, max_size=3),
    suffix=st.sampled_from([".log", ".index", ".timeindex", ".snapshot", "leader-epoch-checkpoint"]),
    clean=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_noise_in_any_file_never_crashes_and_never_invents(
    tmp_path_factory: pytest.TempPathFactory, flips: list[tuple[int, int]], suffix: str, clean: bool
) -> None:
    """After an unclean stop everything is checked; what is served was written, up to the first damage."""
    directory = tmp_path_factory.mktemp("noise")
    _, values, _ = written(directory, Codec.NONE)
    paths = sorted(directory.glob(f"*{suffix}"))
    for where, value in flips:
        path = paths[where % len(paths)]
        data = bytearray(path.read_bytes())
        if data:
            data[where % len(data)] ^= value
            path.write_bytes(data)
    log = open_log(directory, SMALL, environment(disk=FaultyDisk()), was_clean=clean and suffix != ".log")
    if not clean:
        # A base offset is outside the CRC, and holes are legal (compaction): a flip there may shift one batch.
        served = [value for _, value in read_values(log)]
        assert served == [value for _, value in values][: len(served)]
        if suffix != ".log":
            assert log.log_end_offset == 60
    shutil.rmtree(directory)
