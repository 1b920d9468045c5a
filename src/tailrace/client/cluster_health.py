"""What is wrong with a cluster, and why, in words: judges a `ClusterState` and fills in its problems. Pure.

a replica is out of sync because   its broker is not registered, fenced, silent; its log directory has failed; it is
                                   behind by so many records; it has them all and is about to join
a partition is offline because     nobody who may lead it is there: of those in sync, what is each one's trouble
"""

from __future__ import annotations

from tailrace.client.cluster_state import (
    NOBODY,
    OFFLINE,
    UNDER_MIN_ISR,
    UNDER_REPLICATED,
    BrokerState,
    ClusterState,
    PartitionState,
    ReplicaState,
)


def judge(state: ClusterState) -> None:
    """Fill in what is wrong, of replicas and partitions."""
    brokers = {broker.broker: broker for broker in state.brokers}
    for partition in state.partitions:
        for replica in partition.replicas:
            if not replica.is_in_sync or partition.leader == NOBODY:
                replica.why = _why_not_in_sync(partition, replica, brokers.get(replica.broker))
        partition.problems = _problems(partition)
        partition.why = _why(partition) if partition.problems else ""


def _problems(partition: PartitionState) -> list[str]:
    found = []
    if partition.leader == NOBODY:
        found.append(OFFLINE)
    if partition.min_insync_replicas is not None and len(partition.in_sync) < partition.min_insync_replicas:
        found.append(UNDER_MIN_ISR)
    if any(not replica.is_in_sync for replica in partition.replicas):
        found.append(UNDER_REPLICATED)
    return found


def _why_not_in_sync(partition: PartitionState, replica: ReplicaState, broker: BrokerState | None) -> str:
    who = f"broker {replica.broker}"
    if broker is None:
        return f"{who} is not registered"
    if broker.is_fenced:
        return f"{who} is fenced: dead, stopped or cut off"
    if broker.trouble:
        return f"{who} {broker.trouble}"
    if replica.is_offline and broker.failed_log_dirs:
        return f"{who}: log directory {', '.join(broker.failed_log_dirs)} has failed"
    if replica.is_offline:
        return f"{who}: its replica is offline"
    if replica.is_in_sync or partition.leader == NOBODY:
        return ""
    if replica.lag_records is None:
        return f"{who} does not tell how far it is"
    if replica.lag_records > 0:
        return f"{who} is {replica.lag_records:,} record{'' if replica.lag_records == 1 else 's'} behind"
    return f"{who} has every record and is not in sync yet"


def _why(partition: PartitionState) -> str:
    replicas = {replica.broker: replica for replica in partition.replicas}
    if OFFLINE in partition.problems:
        may_lead = partition.in_sync or partition.eligible_leaders
        if not may_lead:
            return _sentence("nobody is in sync", [replica.why for replica in partition.replicas])
        which = "in sync" if partition.in_sync else "eligible"
        names = ", ".join(map(str, may_lead))
        troubles = [replicas[each].why for each in may_lead if each in replicas]
        return _sentence(f"none that may lead is there ({which}: {names})", troubles)
    late = [replica.why for replica in partition.replicas if not replica.is_in_sync]
    if UNDER_MIN_ISR in partition.problems:
        refused = f"acks=all is refused: {len(partition.in_sync)} in sync of {partition.min_insync_replicas} wanted"
        return _sentence(refused, late)
    return "; ".join(late)


def _sentence(what: str, reasons: list[str]) -> str:
    told = [reason for reason in reasons if reason]
    return f"{what}; {'; '.join(told)}" if told else what
