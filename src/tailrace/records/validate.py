"""What a leader asks of a producer's batch before it is appended. Pure: bytes and rules in, a batch or a refusal out.

The header is always checked; records are read only where a rule is about them (a key for compaction, a least
timestamp), or to name those at fault in a refusal (KIP-467). That record offsets inside a batch run 0..n-1 is taken
from the header's two counts, which must agree; reading each record to see it would cost more than the append.
Not its business: sequences and epochs (`log.producer_state`), segment size. Source: Kafka LogValidator.
"""

from __future__ import annotations

from itertools import islice
from typing import Final, NamedTuple

from tailrace.base.errors import ErrorCode, InvalidRecords, KafkaError
from tailrace.records.batch import (
    CODEC_MASK,
    CONTROL_MASK,
    MAGIC,
    MAGIC_OFFSET,
    TIMESTAMP_TYPE_MASK,
    RecordBatch,
)
from tailrace.records.builder import seal_batch
from tailrace.records.compression import CODEC_NAMES, Codec, compress

RECORD_ERRORS_MAX: Final = 1000
"""Records named in one refusal: beyond that the answer grows without telling the producer more."""

INT64_MAX: Final = (1 << 63) - 1
_LAST_CODEC: Final = int(Codec.ZSTD)


class BatchRules(NamedTuple):
    """The settings that decide about a batch. Times are ms, sizes bytes."""

    max_message_bytes: int = 1_048_588
    is_compacted: bool = False
    is_append_time: bool = False
    timestamp_before_max_ms: int = INT64_MAX
    timestamp_after_max_ms: int = 3600 * 1000
    compression_type: str = "producer"


def single_batch(view: memoryview) -> RecordBatch:
    """The one batch a Produce v3+ partition must hold.

    Raises KafkaError: INVALID_RECORD where there is none, more than one, or one of an older format; CORRUPT_MESSAGE
    where it is cut.
    """
    size = len(view)
    if size == 0:
        raise _invalid("Exactly one record batch is required, there is none.")
    if size > MAGIC_OFFSET and view[MAGIC_OFFSET] < MAGIC:
        raise _invalid(f"Only record batches with magic {MAGIC} are allowed.")
    batch = RecordBatch.parse(view)
    if batch.size != size:
        raise _invalid("Exactly one record batch is allowed, there are more bytes.")
    return batch


def validate_client_batch(batch: RecordBatch, rules: BatchRules, now_ms: int) -> None:
    """Check a client's batch. Raises KafkaError, or InvalidRecords where single records are at fault."""
    if batch.size > rules.max_message_bytes:
        raise KafkaError(
            ErrorCode.MESSAGE_TOO_LARGE,
            f"The batch of {batch.size} bytes is larger than max.message.bytes {rules.max_message_bytes}.",
        )
    if not batch.crc_valid():
        raise KafkaError(ErrorCode.CORRUPT_MESSAGE, "The batch does not match its CRC.")
    if batch.attributes & CODEC_MASK > _LAST_CODEC:
        raise _invalid(f"Compression codec {batch.attributes & CODEC_MASK} does not exist.")
    if batch.base_offset != 0:
        raise _invalid(f"The base offset of a produced batch is {batch.base_offset}, not 0.")
    if batch.attributes & CONTROL_MASK:
        raise _invalid("Clients cannot write control records.")
    if batch.last_offset_delta < 0 or batch.record_count != batch.last_offset_delta + 1:
        raise _invalid(f"{batch.record_count} records do not match a last offset delta of {batch.last_offset_delta}.")
    if batch.producer_id >= 0:
        if batch.base_sequence < 0 or batch.producer_epoch < 0:
            raise _invalid(
                f"Sequence {batch.base_sequence} or epoch {batch.producer_epoch} of a producer id is missing."
            )
    elif batch.is_transactional:
        raise _invalid("A transactional batch has no producer id.")
    _check_timestamps(batch, rules, now_ms)
    if rules.is_compacted:
        _check_keys(batch)


def recompressed(batch: RecordBatch, compression_type: str) -> bytearray | None:
    """The batch in the topic's own codec; None where it is in it already or the producer's codec is kept."""
    if compression_type == "producer":
        return None
    codec = Codec(CODEC_NAMES[compression_type])
    if codec is batch.codec:
        return None
    attributes = (batch.attributes & ~CODEC_MASK) | codec
    fields = (
        attributes,
        batch.last_offset_delta,
        batch.base_timestamp,
        batch.max_timestamp,
        batch.producer_id,
        batch.producer_epoch,
        batch.base_sequence,
        batch.record_count,
    )
    return seal_batch(batch.base_offset, batch.partition_leader_epoch, fields, compress(codec, batch.payload()))


def _check_timestamps(batch: RecordBatch, rules: BatchRules, now_ms: int) -> None:
    if rules.is_append_time:
        return
    if batch.attributes & TIMESTAMP_TYPE_MASK:
        raise KafkaError(ErrorCode.INVALID_TIMESTAMP, "Clients cannot write batches with log append time.")
    latest = now_ms + rules.timestamp_after_max_ms
    if batch.max_timestamp > latest:
        raise _timestamp_error(batch, -INT64_MAX, latest)
    if rules.timestamp_before_max_ms < INT64_MAX:
        earliest = now_ms - rules.timestamp_before_max_ms
        if any(0 <= record.timestamp < earliest for record in batch.records()):
            raise _timestamp_error(batch, earliest, latest)


def _timestamp_error(batch: RecordBatch, earliest: int, latest: int) -> InvalidRecords:
    message = "One or more records have been rejected due to invalid timestamp."
    errors = (
        (index, f"Timestamp {record.timestamp} is not within [{max(earliest, 0)}, {latest}].")
        for index, record in enumerate(batch.records())
        if record.timestamp != -1 and not earliest <= record.timestamp <= latest
    )
    return InvalidRecords(ErrorCode.INVALID_TIMESTAMP, message, list(islice(errors, RECORD_ERRORS_MAX)))


def _check_keys(batch: RecordBatch) -> None:
    without = (index for index, record in enumerate(batch.records()) if record.key is None)
    errors = [
        (index, "Compacted topic cannot accept message without key.") for index in islice(without, RECORD_ERRORS_MAX)
    ]
    if errors:
        message = "One or more records have been rejected because they have no key and the topic is compacted."
        raise InvalidRecords(ErrorCode.INVALID_RECORD, message, errors)


def _invalid(message: str) -> KafkaError:
    return KafkaError(ErrorCode.INVALID_RECORD, message)
