"""What the clients of a run write to and how they are set up; and the values, whose every byte is checked.

    plain       two partitions; records stay
    flushed     flush.messages, so that the recovery point lies inside the active segment
    trimmed     DeleteRecords, again and again
    expiring    retention by size takes segments away
    compacted   few keys, compacted as often as the broker will
    ledger      two partitions; transactions that are committed or aborted, and records outside of any
    copied      what the copiers made of the ledger, each record once

Values carry their own checksum and a filling that follows from their name, so that one changed byte shows.
"""

from __future__ import annotations

import logging
import zlib
from typing import Any

from tests.history.model import Key, PartitionRules

TIMEOUT_S = 60.0
SHORT_TIMEOUT_S = 5.0
TRANSACTION_TIMEOUT_MS = 4_000
SESSION_TIMEOUT_MS = 3_000
FILLING_MAX_BYTES = 3000
COMPACTED_KEY_COUNT = 20
ROLLING = {"segment.ms": "150", "index.interval.bytes": "300", "file.delete.delay.ms": "100"}

TOPICS: dict[str, tuple[int, dict[str, str], PartitionRules]] = {
    "plain": (2, {}, PartitionRules()),
    "flushed": (1, {"flush.messages": "7"}, PartitionRules()),
    "trimmed": (1, {}, PartitionRules()),
    "expiring": (1, {"retention.bytes": "200000"}, PartitionRules(expires=True)),
    "compacted": (
        1,
        {
            "cleanup.policy": "compact",
            "min.cleanable.dirty.ratio": "0.01",
            "max.compaction.lag.ms": "300",
            "delete.retention.ms": "100",
        },
        PartitionRules(is_compacted=True),
    ),
    "ledger": (2, {}, PartitionRules(has_markers=True)),
    "copied": (2, {}, PartitionRules(has_markers=True)),
}


def keys_of(*topics: str) -> list[Key]:
    """The partitions of topics."""
    return [Key(topic, partition) for topic in topics for partition in range(TOPICS[topic][0])]


KEYS = keys_of(*TOPICS)
LEDGER = keys_of("ledger")
SENT_TO = [key for key in KEYS if key.topic != "copied"]
"""What producers without transactions write to. Only copiers write to `copied`."""

SILENT = logging.Logger("librdkafka", logging.CRITICAL + 1)
FORGETFUL = frozenset({"trimmed", "expiring", "compacted"})
"""Where records go soon after they were written. An idempotent producer whose answers were lost may then, after a
crash, end with OUT_OF_ORDER_SEQUENCE_NUMBER, as with Apache Kafka: a snapshot holds a producer's last batch alone, and
those before it, that it retries, are not in the log any more. Nothing is lost or doubled by it."""

COMMON: dict[str, Any] = {
    "reconnect.backoff.ms": 10,
    "reconnect.backoff.max.ms": 100,
    "retry.backoff.ms": 10,
    "retry.backoff.max.ms": 100,
    "socket.timeout.ms": 2000,
    "socket.connection.setup.timeout.ms": 2000,
    "api.version.request.timeout.ms": 2000,
    "topic.metadata.refresh.fast.interval.ms": 20,
    "error_cb": lambda error: None,
    "logger": SILENT,
    "log_level": 0,
}
"""Of every librdkafka client: it comes back at once, and a stalled connection is given up while the run lasts."""

BROKER_SETTINGS = {
    "log.retention.check.interval.ms": "100",
    "log.cleaner.backoff.ms": "100",
    "log.flush.offset.checkpoint.interval.ms": "150",
    "log.flush.start.offset.checkpoint.interval.ms": "150",
    "log.roll.ms": "200",
    "log.segment.delete.delay.ms": "100",
    "group.min.session.timeout.ms": "1000",
    "group.consumer.session.timeout.ms": str(SESSION_TIMEOUT_MS),
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.heartbeat.interval.ms": "500",
    "group.consumer.min.heartbeat.interval.ms": "500",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
}


def encode_value(name: str) -> bytes:
    """The record of a name: name, filling, checksum."""
    body = name.encode() + b"|" + name.encode() * (zlib.crc32(name.encode()) % FILLING_MAX_BYTES // len(name))
    return body + b"|%08x" % zlib.crc32(body)


def decode_value(value: bytes | None) -> str:
    """The name in a record, or something nobody sent where a byte is not as it was."""
    name = (value or b"").partition(b"|")[0].decode(errors="replace")
    return name if value is not None and name and encode_value(name) == value else f"changed {value!r}"
