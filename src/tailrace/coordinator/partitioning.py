"""Which partition of a coordinator's topic keeps a key: `abs(hash) % count`, with Java's hash of a string."""

from __future__ import annotations

from functools import lru_cache

from tailrace.coordinator.limits import HASHED_KEYS_MAX


@lru_cache(maxsize=HASHED_KEYS_MAX)
def java_hash(text: str) -> int:
    """Java's String.hashCode: over UTF-16 code units, wrapped to a signed 32-bit number."""
    value = 0
    data = text.encode("utf-16-be", "surrogatepass")
    for index in range(0, len(data), 2):
        value = (31 * value + (data[index] << 8 | data[index + 1])) & 0xFFFFFFFF
    return value - (1 << 32) if value & 0x80000000 else value


def partition_for(key: str, partition_count: int) -> int:
    """Partition of `key` among `partition_count`. abs(-2**31), which Java does not have, is 0: Kafka's `Utils.abs`."""
    hashed = java_hash(key)
    return (0 if hashed == -(1 << 31) else abs(hashed)) % partition_count
