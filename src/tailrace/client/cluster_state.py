"""How a cluster is, as its brokers tell it: who is there, who leads what, who is in sync, how far behind others are.

Pure: values, made by `cluster_questions`. What is wrong, and why, is in `cluster_health`. JSON keys do not change.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Final

NOBODY: Final = -1


@dataclass(slots=True)
class BrokerState:
    """One broker. `trouble`: why it serves nobody, or not all; empty when it does."""

    broker: int
    host: str
    port: int
    rack: str | None
    is_controller: bool
    is_fenced: bool
    trouble: str = ""
    failed_log_dirs: list[str] = field(default_factory=list)
    leaders: int = 0
    replicas: int = 0
    size_bytes: int | None = None

    @property
    def is_healthy(self) -> bool:
        """Whether it serves, with all its log directories."""
        return not (self.is_fenced or self.trouble or self.failed_log_dirs)


@dataclass(slots=True)
class ReplicaState:
    """One replica. Of what its broker does not tell, or its leader, the numbers are None.

    `lag_records`, `lag_bytes`: how far its log's end, and its size, are behind its leader's; 0 of the leader.
    `why`: why it is not in sync.
    """

    broker: int
    is_in_sync: bool
    is_offline: bool
    end_offset: int | None = None
    size_bytes: int | None = None
    lag_records: int | None = None
    lag_bytes: int | None = None
    why: str = ""


@dataclass(slots=True)
class PartitionState:
    """One partition. `leader` is -1 when there is none; `replicas` in their order, the preferred leader first."""

    topic: str
    partition: int
    leader: int
    leader_epoch: int
    in_sync: list[int]
    min_insync_replicas: int | None
    replicas: list[ReplicaState]
    eligible_leaders: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """What is wrong with it: `offline`, `under-min-isr`, `under-replicated`."""
    why: str = ""
    """One sentence, where something is."""


@dataclass(slots=True)
class ClusterState:
    """Everything, brokers by number and partitions by topic and number."""

    cluster_id: str
    controller: int
    brokers: list[BrokerState]
    partitions: list[PartitionState]

    @property
    def is_healthy(self) -> bool:
        """Whether every broker serves and every replica is in sync."""
        well = all(broker.is_healthy for broker in self.brokers)
        return well and not any(partition.problems for partition in self.partitions)

    def counts(self) -> dict[str, int]:
        """Partitions by what is wrong with them, and brokers that serve."""
        count = {
            "brokers": len(self.brokers),
            "brokers_healthy": sum(each.is_healthy for each in self.brokers),
            "topics": len({each.topic for each in self.partitions}),
            "partitions": len(self.partitions),
        }
        for problem in PROBLEMS:
            count[problem.replace("-", "_")] = sum(problem in each.problems for each in self.partitions)
        return count

    def as_json(self) -> dict[str, Any]:
        """The document of `cluster describe --json`."""
        return {
            "cluster_id": self.cluster_id,
            "controller": self.controller,
            "healthy": self.is_healthy,
            **self.counts(),
            "broker_states": [asdict(broker) for broker in self.brokers],
            "partition_states": [asdict(partition) for partition in self.partitions],
        }


OFFLINE: Final = "offline"
UNDER_MIN_ISR: Final = "under-min-isr"
UNDER_REPLICATED: Final = "under-replicated"
PROBLEMS: Final = (OFFLINE, UNDER_MIN_ISR, UNDER_REPLICATED)
