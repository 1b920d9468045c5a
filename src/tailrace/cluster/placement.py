"""Where the replicas of partitions go. Pure.

    racks a: 1 2   b: 3 4   c: 5 6     partition 0 ──> 1 4 5    partition 1 ──> 3 5 2    partition 2 ──> 5 2 4

Each replica of a partition goes to the next rack, so that no rack has two while another has none; brokers without a
rack are a rack of their own. Leaders are dealt round robin over racks and over the brokers of each, from a start that
moves with the topic's name, so that many topics of one partition do not all lead on the same broker. After as many
partitions as there are brokers these are dealt in another order: what one broker leaves behind is not all for its
neighbour. Brokers that are fenced get a replica only where their rack has no other, and lead nothing.
Invariant: where partition N goes depends on the topic's name, N and the brokers alone, so a topic that grows goes on
where it ended, and a decision that is made again is the same.
Source: Kafka StripedReplicaPlacer, whose start is random and whose leaders within racks are not dealt evenly.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import NamedTuple, TypeAlias
from zlib import crc32

from tailrace.base.errors import ErrorCode, KafkaError


class UsableBroker(NamedTuple):
    """A broker that is registered."""

    broker_id: int
    rack: str | None = None
    is_fenced: bool = False


_Racks: TypeAlias = dict[str | None, list[UsableBroker]]


class Placing(NamedTuple):
    """What is to be placed: partitions first_partition.. of a topic."""

    topic: str
    first_partition: int
    partition_count: int
    replication_factor: int


def place_replicas(wanted: Placing, brokers: Sequence[UsableBroker]) -> list[tuple[int, ...]]:
    """Replicas of each partition, the preferred leader first.

    Raises KafkaError(INVALID_REPLICATION_FACTOR) when there are too few brokers, or all are fenced.
    """
    factor = wanted.replication_factor
    refusal = f"Unable to replicate the partition {factor} time(s): "
    if all(broker.is_fenced for broker in brokers):
        raise KafkaError(ErrorCode.INVALID_REPLICATION_FACTOR, f"{refusal}All brokers are currently fenced.")
    if factor > len(brokers):
        raise KafkaError(
            ErrorCode.INVALID_REPLICATION_FACTOR,
            f"{refusal}The target replication factor of {factor} cannot be reached because only {len(brokers)} "
            "broker(s) are registered or some brokers have all their log directories cordoned.",
        )
    start = crc32(wanted.topic.encode())
    able_count = sum(not broker.is_fenced for broker in brokers)
    placed: list[tuple[int, ...]] = []
    dealt_lap, racks = -1, _Racks()
    for index in range(wanted.first_partition, wanted.first_partition + wanted.partition_count):
        lap = index // able_count
        if lap != dealt_lap:
            dealt_lap, racks = lap, _dealt(wanted.topic, lap, brokers)
        placed.append(_place(racks, start + index, factor))
    return placed


def _dealt(topic: str, lap: int, brokers: Sequence[UsableBroker]) -> _Racks:
    """Racks in the order of their names, each with its brokers in the order of this lap, in the first that of ids."""
    racks: _Racks = {}
    for broker in sorted(brokers, key=lambda it: crc32(f"{topic}/{lap}/{it.broker_id}".encode()) if lap else it[0]):
        racks.setdefault(broker.rack, []).append(broker)
    return dict(sorted(racks.items(), key=lambda item: (item[0] is not None, item[0])))


def _place(racks: _Racks, turn: int, factor: int) -> tuple[int, ...]:
    """Replicas of one partition."""
    names = list(racks)
    may_lead = [name for name in names if not all(broker.is_fenced for broker in racks[name])]
    first = names.index(may_lead[turn % len(may_lead)])
    ring = names[first:] + names[:first]
    left: dict[str | None, list[int]] = {}
    replicas: list[int] = []
    for step in count():
        name = ring[step % len(ring)]
        if name not in left:
            left[name] = _in_turn(racks[name], turn // len(may_lead) + (step and first + step))
        if left[name]:
            replicas.append(left[name].pop(0))
        if len(replicas) == factor:
            break
    return tuple(replicas)


def _in_turn(brokers: Sequence[UsableBroker], turn: int) -> list[int]:
    """The brokers of one rack from `turn` on, those that are fenced last."""
    able = [broker.broker_id for broker in brokers if not broker.is_fenced]
    fenced = [broker.broker_id for broker in brokers if broker.is_fenced]
    first = turn % len(able) if able else 0
    return able[first:] + able[:first] + fenced


def check_assignment(replicas: Sequence[int], brokers: Sequence[int]) -> None:
    """Raise KafkaError(INVALID_REPLICA_ASSIGNMENT) unless `replicas` are distinct registered brokers, at least one."""
    code = ErrorCode.INVALID_REPLICA_ASSIGNMENT
    if not replicas:
        raise KafkaError(code, "The manual partition assignment includes an empty replica list.")
    seen: set[int] = set()
    for broker in sorted(replicas):
        if broker in seen:
            raise KafkaError(code, f"The manual partition assignment includes the broker {broker} more than once.")
        seen.add(broker)
        if broker not in brokers:
            raise KafkaError(
                code, f"The manual partition assignment includes broker {broker}, but no such broker is registered."
            )
