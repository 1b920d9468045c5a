"""What the controller decides when somebody asks for an election: another leader, or why not. Pure.

    preferred   the first replica leads again, where it does not, is active and in sync
    unclean     where nobody leads, whoever is active, and what only the others held is lost

A leader that is not active, as on a log directory that failed, leads nothing, whatever the image says. A refusal is a
KafkaError with Kafka's code.
Not its business: elections nobody asked for (`elections`), who may ask, the wire.
Source: KIP-460, Kafka ReplicationControlManager.electLeader.
"""

from __future__ import annotations

from enum import IntEnum

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.cluster.elections import NO_LEADER, ActiveBrokers, ElectionRules, elect_preferred, elect_unclean
from tailrace.cluster.image import MetadataImage, PartitionImage
from tailrace.cluster.records import PartitionRecord, Record


class ElectionType(IntEnum):
    """int8 on the wire."""

    PREFERRED = 0
    UNCLEAN = 1


def decide_election(
    image: MetadataImage, topic: str, index: int, kind: ElectionType, active: ActiveBrokers
) -> list[Record]:
    """Elect a leader of one partition. `active`: brokers that may lead this partition.

    Raises KafkaError: UNKNOWN_TOPIC_OR_PARTITION, ELECTION_NOT_NEEDED, PREFERRED_LEADER_NOT_AVAILABLE or
    ELIGIBLE_LEADERS_NOT_AVAILABLE.
    """
    found = image.topic(topic)
    if found is None:
        raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"No such topic as {topic}")
    partition = image.partition(topic, index)
    if partition is None:
        raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"No such partition as {topic}-{index}")
    before = partition if partition.leader in active else partition._replace(leader=NO_LEADER)
    elected = _preferred(before, active) if kind is ElectionType.PREFERRED else _unclean(before, active)
    return [PartitionRecord(found.topic_id, index, *elected)]


def _preferred(before: PartitionImage, active: ActiveBrokers) -> PartitionImage:
    if before.leader == before.replicas[0]:
        raise _not_needed()
    elected = elect_preferred(before, active)
    if elected is None:
        raise KafkaError(ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE, "The preferred leader is not active and in sync.")
    return elected


def _unclean(before: PartitionImage, active: ActiveBrokers) -> PartitionImage:
    if before.leader != NO_LEADER:
        raise _not_needed()
    election = elect_unclean(before, active, ElectionRules())
    if election is None:
        raise KafkaError(ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE, "No replica is active.")
    return election.partition


def _not_needed() -> KafkaError:
    return KafkaError(ErrorCode.ELECTION_NOT_NEEDED, "Leader election not needed for topic partition.")
