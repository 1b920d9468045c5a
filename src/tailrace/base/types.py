"""The words of the log, as types: offsets, epochs, ids and topic partitions.

Plain values, no behaviour. Units and ranges are stated once, here.
"""

from __future__ import annotations

from typing import NamedTuple, NewType
from uuid import UUID

Offset = NewType("Offset", int)
"""Position of a record in a partition, 0.. ; -1 means none."""

LeaderEpoch = NewType("LeaderEpoch", int)
"""Term of a partition's leader, 0.. ; -1 means unknown."""

ProducerId = NewType("ProducerId", int)
"""Identity of an idempotent producer, 0.. ; -1 means not idempotent."""

BrokerId = NewType("BrokerId", int)
"""Node id of a broker, 0.. ; -1 means none."""

TopicId = UUID
"""Topic id (KIP-516); `ZERO_TOPIC_ID` means none."""

ZERO_TOPIC_ID = UUID(int=0)


class TopicPartition(NamedTuple):
    """One partition of one topic, by name."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}"
