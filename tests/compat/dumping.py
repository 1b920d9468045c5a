"""Apache Kafka's DumpLogSegments over whole directories: every file it reads, with every check it has."""

import re
import subprocess
from pathlib import Path

from tests.harness.brokers import java_command

SUFFIXES = (".log", ".index", ".timeindex", ".txnindex", ".snapshot")
COMPLAINTS = (
    "Mismatches in",
    "Misindexed",
    "Index offset:",
    "Found timestamp mismatch",
    "Found out of order timestamp",
    "Indexed offset:",
    "isvalid: false",
    "Exception",
    "Error",
    "invalid bytes",
    "is not a valid",
)
"""What it prints where something is wrong; it ends with status 0 all the same."""

HOLE = re.compile(r"^ +(\d+) is followed by (\d+)$", re.MULTILINE)
"""Offsets that do not follow each other. It begins each segment with "-1 is followed by", which means nothing."""


def dump(paths: list[Path], *options: str) -> str:
    """What DumpLogSegments says of the files. CalledProcessError where it gives up."""
    command = [*java_command("-Xmx256m"), "org.apache.kafka.tools.DumpLogSegments", *options]
    files = ",".join(str(path) for path in paths)
    ended = subprocess.run([*command, "--files", files], capture_output=True, text=True, timeout=120, check=False)
    said = ended.stdout + ended.stderr
    assert ended.returncode == 0, said[-2000:]
    return said


def holes(said: str) -> list[tuple[int, int]]:
    """Offsets that are followed by others than the next."""
    return [(int(before), int(after)) for before, after in HOLE.findall(said)]


def assert_kafka_accepts(directory: Path) -> str:
    """Every file below `directory` that DumpLogSegments reads passes all its checks; what it said of the records."""
    files = sorted(path for path in directory.rglob("*") if path.suffix in SUFFIXES and path.stat().st_size)
    files = [path for path in files if "__cluster_metadata" not in str(path)]
    assert files
    said = dump(files, "--print-data-log", "--deep-iteration")
    _assert_no_complaint(said)
    indexes = [path for path in files if path.suffix in (".index", ".timeindex")]
    if indexes:
        _assert_no_complaint(dump(indexes, "--verify-index-only"))
        sane = dump(indexes, "--index-sanity-check")
        assert sane.count("passed sanity check") == len(indexes), sane
    return said


def _assert_no_complaint(said: str) -> None:
    """Holes are for the caller to judge: compaction leaves them."""
    found = [line for line in said.splitlines() if any(complaint in line for complaint in COMPLAINTS)]
    assert not found, "\n".join(found[:20])
