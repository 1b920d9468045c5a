"""Groups that this broker coordinates: how many, their members, and how far they lag behind.

Lag is counted in offsets, from the committed one to the high watermark, of partitions that have a replica open here; of
others this broker knows no end, and their lag is another's to tell. Markers of transactions count as offsets, as in
every tool. Not its business: who rebalances why (the log says it).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tailrace.base.types import TopicPartition
from tailrace.coordinator.groups.classic_group import ClassicGroup
from tailrace.node.metrics.limits import GROUPS_SHOWN_MAX, OTHER, STEP_COUNT
from tailrace.node.metrics.topics import label_of
from tailrace.node.observed import Observed
from tailrace.observe.exposition import NO_LABELS, Exposition
from tailrace.replication.partitions import Partitions


def group_metrics(out: Exposition, observed: Observed) -> Iterator[None]:
    """Of the groups in the partitions of the offsets topic that this broker leads."""
    coordinator, partitions = observed.services.groups, observed.services.partitions
    groups = coordinator.all_groups()
    states: Counter[str] = Counter()
    members: Counter[str] = Counter()
    lags: Counter[tuple[str, str]] = Counter()
    looked_count = 0
    for index, group in enumerate(groups):
        label = group.group_id if index < GROUPS_SHOWN_MAX else OTHER
        states[_state_of(group)] += 1
        members[label] += _member_count(group)
        for topic, partition, committed in list(group.offsets):
            lag = _lag(partitions, topic, partition, committed.offset)
            if lag is not None:
                lags[label, label_of(partitions.traffic, topic)] += lag
            looked_count += 1
            if looked_count % STEP_COUNT == 0:
                yield
    prefix = "kafka_coordinator_group_groupmetadatamanager"
    out.gauge(f"{prefix}_numgroups", "Groups that this broker coordinates.", [(NO_LABELS, len(groups))])
    by_state = [({"state": state}, count) for state, count in sorted(states.items())]
    out.gauge("tailrace_groups", "Groups by state.", by_state)
    out.counter("tailrace_group_rebalances", "Rebalances; the log has why.", [(NO_LABELS, coordinator.rebalance_count)])
    by_group = [({"consumergroup": group}, count) for group, count in members.items()]
    out.gauge("kafka_consumergroup_members", "Members of a group.", by_group)
    out.gauge(
        "kafka_consumergroup_lag_sum",
        "Offsets between what a group has committed and the high watermark, over a topic's partitions.",
        [({"consumergroup": group, "topic": topic}, lag) for (group, topic), lag in lags.items()],
    )
    yield


def _lag(partitions: Partitions, topic: str, index: int, offset: int) -> int | None:
    found = partitions.get_present(topic, index) or partitions.get_followed(TopicPartition(topic, index))
    return None if found is None else max(found.high_watermark - offset, 0)


def _state_of(group: ClassicGroup) -> str:
    modern = group.consumer or group.share
    return str(modern.state if modern is not None else group.state)


def _member_count(group: ClassicGroup) -> int:
    modern = group.consumer or group.share
    return len(modern.members if modern is not None else group.members)
