"""Partitions: leaders, replicas in sync, how they are spread, dates of records. Pure: facts -> findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tailrace.client.cluster_state import NOBODY, OFFLINE, UNDER_MIN_ISR, UNDER_REPLICATED, PartitionState
from tailrace.doctor.facts import ClusterFacts
from tailrace.doctor.finding import Finding, named, note, problem, span_text, warning
from tailrace.doctor.limits import FUTURE_MS, LEADER_SKEW_COUNT, NOT_PREFERRED_SHARE, SKEW_RECORDS_MIN, SKEW_SHARE


def check_replicas(facts: ClusterFacts) -> Iterator[Finding]:
    """Each kind of trouble, those with the same reason together."""
    kinds = (
        (OFFLINE, "partition-offline", "nobody leads: no record is taken or given"),
        (UNDER_MIN_ISR, "partition-under-min-isr", "fewer replicas in sync than min.insync.replicas"),
        (UNDER_REPLICATED, "partition-under-replicated", "replicas out of sync: one more failure may cost records"),
    )
    for kind, check, what in kinds:
        by_reason: dict[str, list[str]] = {}
        for each in facts.state.partitions:
            if each.problems and each.problems[0] == kind and not _wants_too_many(each):
                by_reason.setdefault(each.why or "the cluster does not say why", []).append(_name(each))
        for why, names in by_reason.items():
            make = warning if kind == UNDER_REPLICATED else problem
            cure = (
                "start the brokers that are named, or see why they do not keep up: `tailrace cluster describe`"
                if kind != OFFLINE
                else "start a broker that may lead; without one, an unclean election gives up what only it has "
                "(kafka-leader-election --election-type unclean)"
            )
            yield make(check, named("partition", names), what, why, cure)


def check_leader_skew(facts: ClusterFacts) -> Iterator[Finding]:
    """Leaders do the work: each broker should lead its share, each partition be led by its preferred replica."""
    alive = [each for each in facts.state.brokers if not each.is_fenced and not each.trouble]
    led = [each for each in facts.state.partitions if each.leader != NOBODY]
    astray = [each for each in led if each.replicas and each.leader != each.replicas[0].broker]
    if led and len(astray) > max(len(led) * NOT_PREFERRED_SHARE, 1):
        yield note(
            "leaders-not-preferred",
            named("partition", [_name(each) for each in astray]),
            f"{len(astray):,} of {len(led):,} are not led by their preferred replica",
            "a broker was away, and leadership stays where it went",
            "kafka-leader-election --election-type preferred --all-topic-partitions, once every replica is in sync",
        )
    if len(alive) < 2:
        return
    counts = Counter({each.broker: 0 for each in alive}) + Counter()
    counts.update(each.leader for each in led)
    for broker in alive:
        share = len(led) / len(alive)
        if counts[broker.broker] > share + LEADER_SKEW_COUNT and counts[broker.broker] > share * 1.5:
            yield warning(
                "leader-skew",
                f"broker {broker.broker}",
                f"leads {counts[broker.broker]:,} partitions, its share is {share:.0f}",
                "others were away or joined later, or topics were placed by hand",
                "elect preferred leaders, or move replicas with kafka-reassign-partitions",
            )


def check_record_skew(facts: ClusterFacts) -> Iterator[Finding]:
    """A topic whose records go to one partition has the throughput of one."""
    topics: dict[str, dict[int, int]] = {}
    for (topic, index), end in facts.ends.items():
        if not topic.startswith("__"):
            topics.setdefault(topic, {})[index] = end - facts.log_starts.get((topic, index), 0)
    for topic, counts in topics.items():
        total = sum(counts.values())
        most = max(counts, key=lambda index: counts[index])
        share = total / len(counts)
        if len(counts) >= 3 and total >= SKEW_RECORDS_MIN and counts[most] > share * min(SKEW_SHARE, len(counts) - 0.5):
            yield note(
                "partition-skew",
                f"topic {topic}",
                f"partition {most} has {counts[most]:,} of {total:,} records in {len(counts)} partitions",
                "one key is far more frequent than the others, or producers choose the partition themselves",
                "choose a key that spreads; consumers of that partition are the limit of the group",
            )


def check_dates(facts: ClusterFacts) -> Iterator[Finding]:
    """Records from the future are not deleted by time, and hold everything older in their segment."""
    ahead = {place: latest for place, latest in facts.latest_ms.items() if latest > facts.now_ms + FUTURE_MS}
    if not ahead:
        return
    worst = max(ahead, key=lambda place: ahead[place])
    yield warning(
        "record-from-the-future",
        named("partition", [f"{topic}-{index}" for topic, index in sorted(ahead)]),
        f"hold records dated up to {span_text(ahead[worst] - facts.now_ms)} ahead ({worst[0]}-{worst[1]}): they are "
        "kept that much longer than retention.ms says, and searches by time stop at them",
        "a producer's clock is ahead, it writes microseconds where milliseconds belong, or the clock here is behind",
        "compare `date` there and here; message.timestamp.after.max.ms of the topic refuses such records",
    )


def _wants_too_many(partition: PartitionState) -> bool:
    """Whether it is led, and min.insync.replicas cannot be met: that is a setting's fault, and told as such."""
    least = partition.min_insync_replicas
    return partition.leader != NOBODY and least is not None and least > len(partition.replicas)


def _name(partition: PartitionState) -> str:
    return f"{partition.topic}-{partition.partition}"
