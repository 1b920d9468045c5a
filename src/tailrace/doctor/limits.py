"""From when on something is told, and how much is looked at: the number and its reason. Each name carries its unit."""

from __future__ import annotations

from typing import Final

NAMES_SHOWN_MAX: Final = 5
"""Names in one finding; the rest are counted. A thousand topics with one fault are one finding."""

CONFIG_TOPICS_STEP: Final = 500
"""Topics whose settings are asked for in one request: some 40 settings each, 2 MB an answer."""

TIMESTAMP_PARTITIONS_MAX: Final = 2_000
"""Partitions whose latest timestamp is asked for: each may cost a broker a look into an index on disk."""

GROUPS_MAX: Final = 500
"""Groups whose offsets are looked at, the first by name; what is left out is told."""

TRANSACTIONS_MAX: Final = 200
"""Transactional ids that are described, one request each."""

LATE_MS: Final = 5 * 60_000
"""A group whose next record is older than this lags. Pauses of deployments are shorter."""

FUTURE_MS: Final = 5 * 60_000
"""A record dated further ahead than this has a wrong date. NTP keeps clocks within a second."""

CLOCK_SKEW_MS: Final = 2_000
"""Clocks further apart than this are told: an answer over HTTP takes milliseconds, NTP is better than a second."""

TRANSACTION_OPEN_MS: Final = 15 * 60_000
"""`transaction.max.timeout.ms` of a cluster that nobody changed: by then a coordinator has ended what it knows."""

TRANSACTION_MARGIN_MS: Final = 60_000
"""How long after its timeout a transaction may still be open: coordinators look every ten seconds, and after a failover
count from its beginning."""

VOLUME_WARNING_SHARE: Final = 0.10
"""A volume with less than this left is told: file systems slow down there, and a weekend fills it."""

VOLUME_PROBLEM_SHARE: Final = 0.02
"""With less than this left it is a problem. Tailrace refuses records at 1 %, Kafka stops at none."""

LEADER_SKEW_COUNT: Final = 10
"""Leaders that a broker has more than its share before it is told; below it one topic explains it."""

NOT_PREFERRED_SHARE: Final = 0.10
"""Share of partitions not led by their preferred leader: `leader.imbalance.per.broker.percentage`."""

SKEW_RECORDS_MIN: Final = 10_000
"""A topic with fewer records is not looked at for partitions that have most of them."""

SKEW_SHARE: Final = 4.0
"""A partition with so many times its share of a topic's records is told."""

TYPO_TOPICS_MAX: Final = 200
"""Empty topics that are compared with others by name."""

DESCRIPTORS_SHARE: Final = 0.8
"""Share of the descriptors of a process from which on it is told."""

DESCRIPTORS_MIN: Final = 4096
"""A limit below this is told: the usual soft limit of 1,024 is for programs that use select(2)."""

LOOP_BUSY_SHARE: Final = 0.9
"""Share of the time that a loop is busy from which on it is at its limit; over the life of the process."""

REBALANCES_PER_MINUTE: Final = 1.0
"""More rebalances than this, over the life of the process, are told."""

REBALANCES_AFTER_S: Final = 300.0
"""A process younger than this is not judged by its rates: everything rebalances after a start."""

SEGMENT_LOOKS_MAX: Final = 20_000
"""Segments of a data directory that are looked at; of what is left out the number is told."""

HEAD_BYTES: Final = 61
"""The head of a record batch: offset, length, epoch, magic, checksum and the rest, up to its records."""
