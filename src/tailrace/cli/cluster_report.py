"""`tailrace cluster describe` for people: a summary first, then the brokers, then what is not well and why.

A cluster of thousands of partitions stays readable: of those that are well nothing is shown unless it is asked for, of
the others the worst first, SHOWN_MAX at most.
"""

from __future__ import annotations

from typing import Final

import click

from tailrace.cli.output import note, plural, print_table, size_text
from tailrace.client.cluster_state import (
    NOBODY,
    OFFLINE,
    PROBLEMS,
    UNDER_MIN_ISR,
    BrokerState,
    ClusterState,
    PartitionState,
    ReplicaState,
)

SHOWN_MAX: Final = 50
"""Partitions that are not well and are shown; `--all` shows every one."""

_WORDS: Final = {OFFLINE: "offline", UNDER_MIN_ISR: "under min.insync.replicas"}


def print_report(state: ClusterState, *, shows_all: bool) -> None:
    """Everything, on stdout; what was left out, on stderr."""
    click.echo(_summary(state))
    columns = ["broker", "address", "rack", "state", "leaders", "replicas", "size"]
    print_table(columns, [_broker_row(each) for each in state.brokers])
    unwell = sorted((each for each in state.partitions if each.problems), key=_severity)
    shown = state.partitions if shows_all else unwell[:SHOWN_MAX]
    if shown:
        click.echo("")
        columns = ["topic", "partition", "leader", "in sync", "replicas", "behind", "problem", "why"]
        print_table(columns, [_partition_row(each) for each in shown])
    if len(unwell) > len(shown):
        note(f"{len(unwell) - len(shown):,} more are not well; --all or --json shows them")


def _summary(state: ClusterState) -> str:
    counts = state.counts()
    serving = f"{counts['brokers_healthy']} of {plural(counts['brokers'], 'broker')} serve"
    partitions = plural(counts["partitions"], "partition")
    unwell = [
        f"{counts[problem.replace('-', '_')]:,} {_WORDS.get(problem, problem)}"
        for problem in PROBLEMS
        if counts[problem.replace("-", "_")]
    ]
    told = ", ".join(unwell) if unwell else "all in sync" if counts["partitions"] else "none"
    return f"cluster {state.cluster_id}  {serving}  {plural(counts['topics'], 'topic')}, {partitions}: {told}"


def _broker_row(broker: BrokerState) -> list[object]:
    address = f"{broker.host}:{broker.port}" if broker.host else None
    if broker.is_fenced:
        state = "fenced"
    elif broker.trouble:
        state = broker.trouble
    elif broker.failed_log_dirs:
        state = f"failed: {', '.join(broker.failed_log_dirs)}"
    else:
        state = "serves"
    if broker.is_controller:
        state += ", controller"
    size = None if broker.size_bytes is None else size_text(broker.size_bytes)
    return [broker.broker, address, broker.rack, state, broker.leaders, broker.replicas, size]


def _severity(partition: PartitionState) -> tuple[int, str, int]:
    return min(PROBLEMS.index(problem) for problem in partition.problems), partition.topic, partition.partition


def _partition_row(partition: PartitionState) -> list[object]:
    behind = [_behind(each) for each in partition.replicas if each.broker != partition.leader]
    return [
        partition.topic,
        partition.partition,
        "none" if partition.leader == NOBODY else str(partition.leader),
        ",".join(map(str, partition.in_sync)) or None,
        ",".join(str(each.broker) for each in partition.replicas),
        "; ".join(filter(None, behind)) or None,
        ", ".join(partition.problems) or None,
        partition.why or None,
    ]


def _behind(replica: ReplicaState) -> str:
    """`2: 120 records, 4.5 KB`; empty for one that has everything, or that nothing is known of."""
    if not replica.lag_records:
        return ""
    size = f", {size_text(replica.lag_bytes)}" if replica.lag_bytes else ""
    return f"{replica.broker}: {plural(replica.lag_records, 'record')}{size}"
