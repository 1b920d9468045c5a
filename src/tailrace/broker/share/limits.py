"""Bounds of share partitions that are not Kafka settings: the number, its reason, what happens at it."""

from __future__ import annotations

from typing import Final

SHARE_PARTITIONS_MAX: Final = 10_000
"""Most share partitions held in memory, 2 KB each while little is in flight. Beyond it one in which nothing is locked
goes, whose state is read again when it is asked for; where everything is locked it is let be."""

HEADERS_READ_BYTES: Final = 8 * 1024
"""Read at a time to see where batches end. Smaller batches come several to a read, larger ones cost a read each."""

THROTTLE_DELIVERIES_MIN: Final = 2
"""Fewest deliveries after which a record is suspected of making its consumers fail. Kafka's constant."""

STORE_RETRY_MS: Final = 100
"""Pause before a store that is not available is asked again."""

STORE_RETRIES_MAX: Final = 20
"""How often an acknowledgement is tried to be kept before its member is told that it could not be. Reading a state has
no such end: those who fetch meanwhile get nothing, each in its own time, and clients know no error to be told."""

EXPIRED_RETRY_MS: Final = 100
"""Shortest time between two looks at locks that have run out."""
