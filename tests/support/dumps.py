"""Batches read straight from the files of a log directory."""

from __future__ import annotations

from pathlib import Path

from tailrace.records.batch import iter_whole_batches


def last_idempotent_batch(directory: Path) -> tuple[bytes, int]:
    """The last batch with a producer id, its base offset 0 as a client sends it, and the base offset it had."""
    for segment in sorted(directory.glob("*.log"), reverse=True):
        found = [batch for batch in iter_whole_batches(memoryview(segment.read_bytes())) if batch.producer_id >= 0]
        if found:
            return bytes(8) + bytes(found[-1].view)[8:], found[-1].base_offset
    raise AssertionError(f"no idempotent batch in {directory}")
