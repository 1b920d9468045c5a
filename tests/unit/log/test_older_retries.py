"""A restart forgets all but the last batch of a producer; its retries are still known for what they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.log_support import batch_of, idempotent_batch, open_log, read_values

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.log.log import Log


def written(directory: Path) -> Log:
    """Six batches of two records of a producer, others' between, closed and opened again."""
    log = open_log(directory)
    for number in range(6):
        log.append_as_leader(idempotent_batch(number * 2, 2), 0)
        log.append_as_leader(batch_of(3), 0)
        if number == 2:
            log.roll()
    log.close()
    again = open_log(directory, was_clean=True, recovery_point=log.log_end_offset)
    entry = again.producer_states.get(7)
    assert entry is not None and len(entry.batches) == 1, "the snapshot has the last one"
    return again


@pytest.mark.parametrize("number", range(5))
def test_a_retry_from_before_the_restart_is_a_duplicate(tmp_path: Path, number: int) -> None:
    log = written(tmp_path)
    before = read_values(log)
    info = log.append_as_leader(idempotent_batch(number * 2, 2), 0)
    assert (info.duplicate, info.first_offset, info.last_offset) == (True, number * 5, number * 5 + 1)
    assert read_values(log) == before
    assert not log.append_as_leader(idempotent_batch(12, 2), 0).duplicate


@pytest.mark.parametrize(("sequence", "count", "epoch"), [(1, 2, 0), (0, 1, 0), (14, 2, 0), (8, 2, 1)])
def test_what_was_never_written_is_still_refused(tmp_path: Path, sequence: int, count: int, epoch: int) -> None:
    log = written(tmp_path)
    with pytest.raises(KafkaError) as refused:
        log.append_as_leader(idempotent_batch(sequence, count, epoch=epoch), 0)
    assert refused.value.code == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER


def test_five_batches_after_the_restart_nothing_is_looked_for(tmp_path: Path) -> None:
    log = written(tmp_path)
    for number in range(6, 10):
        log.append_as_leader(idempotent_batch(number * 2, 2), 0)
    with pytest.raises(KafkaError):
        log.append_as_leader(idempotent_batch(0, 2), 0)
