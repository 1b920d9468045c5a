"""A retry of a batch that a restart has forgotten: looked for in the log before it is refused.

A snapshot holds the last batch of each producer, so after a restart a retry of one of the four before it looks out of
order, and an idempotent client ends with a fatal error though its records are there. They lie shortly before the first
batch that is remembered; that is read again, once such a retry comes. Kafka refuses it.
Bound: `LOOK_BACK_MAX_BYTES` of batches, and only for producers with fewer than five remembered.
"""

from __future__ import annotations

from typing import Final

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.log.producer_state import BATCHES_TO_RETAIN, BatchMetadata, ProducerStates
from tailrace.log.segments import Segments
from tailrace.records.batch import SEQUENCE_MODULUS, RecordBatch

LOOK_BACK_MAX_BYTES: Final = 8 * 1024 * 1024
"""Read at most for one retry: five requests of the default `max.request.size` and what others wrote in between."""


def admit(segments: Segments, states: ProducerStates, batch: RecordBatch, has_sequence: bool) -> BatchMetadata | None:
    """As `ProducerStates.admit`, and the duplicate too that only the log remembers. Raises KafkaError, StorageError."""
    try:
        return states.admit(batch, has_sequence=has_sequence)
    except KafkaError as error:
        return _forgotten_duplicate(segments, states, batch, error)


def _forgotten_duplicate(
    segments: Segments, states: ProducerStates, batch: RecordBatch, refusal: KafkaError
) -> BatchMetadata:
    """The batch in the log that `batch` repeats. Raises `refusal` where there is none; StorageError."""
    entry = states.get(batch.producer_id)
    if (
        refusal.code != ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
        or entry is None
        or entry.producer_epoch != batch.producer_epoch
        or not 0 < len(entry.batches) < BATCHES_TO_RETAIN
        or not 0 < (entry.batches[0].first_sequence - batch.base_sequence) % SEQUENCE_MODULUS < SEQUENCE_MODULUS // 2
    ):
        raise refusal
    end_offset = entry.batches[0].first_offset
    left = LOOK_BACK_MAX_BYTES
    for index in range(segments.floor_index(end_offset), -1, -1):
        segment = segments[index]
        found = segment.find(end_offset)
        end = found.position if found is not None else segment.size
        start = segment.offset_index.position_at_or_below(max(end - left, 0))
        for _, header in segment.headers(start, end):
            if (
                header.producer_id == batch.producer_id
                and header.producer_epoch == batch.producer_epoch
                and header.base_sequence == batch.base_sequence
                and header.last_sequence == batch.last_sequence
                and not header.is_control
            ):
                return BatchMetadata(
                    header.last_sequence, header.last_offset, header.last_offset_delta, header.max_timestamp
                )
        left -= end - start
        if left <= 0:
            break
    raise refusal
