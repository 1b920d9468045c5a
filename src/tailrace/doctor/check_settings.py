"""Settings that work until they do not. Pure: facts -> findings. Each is well by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tailrace.doctor.facts import ClusterFacts, TopicSettings
from tailrace.doctor.finding import Finding, named, note, problem, span_text, warning
from tailrace.doctor.limits import TYPO_TOPICS_MAX

_UNLIMITED: Final = -1


def check_min_insync(facts: ClusterFacts) -> Iterator[Finding]:
    """min.insync.replicas against the replicas that there are."""
    above, equal = [], []
    for topic, factor in _factors(facts).items():
        minimum = facts.topics[topic].number("min.insync.replicas") if topic in facts.topics else None
        if minimum is not None and minimum > factor:
            above.append(topic)
        elif minimum is not None and minimum == factor > 1:
            equal.append(topic)
    if above:
        yield problem(
            "min-isr-above-replicas",
            named("topic", above),
            "want more replicas in sync than there are: every produce with acks=all is refused",
            "min.insync.replicas is larger than the replication factor",
            "lower min.insync.replicas, or add replicas with kafka-reassign-partitions",
        )
    if equal:
        yield warning(
            "min-isr-equals-replicas",
            named("topic", equal),
            "want every replica in sync: producing with acks=all stops while one broker is away, also for a restart",
            "min.insync.replicas is the replication factor",
            "lower min.insync.replicas by one, or add a replica",
        )


def check_replication_factor(facts: ClusterFacts) -> Iterator[Finding]:
    """One replica in a cluster of several brokers."""
    if len(facts.state.brokers) < 2:
        return
    single = [topic for topic, factor in _factors(facts).items() if factor == 1]
    internal = [topic for topic in single if topic.startswith("__")]
    ordinary = [topic for topic in single if not topic.startswith("__")]
    if internal:
        yield problem(
            "internal-topic-single-replica",
            named("topic", internal),
            "have one replica: when its broker is away, groups and transactions stand still; when it is lost, so are "
            "their offsets",
            "offsets.topic.replication.factor or transaction.state.log.replication.factor was 1 when they were made",
            "add replicas with kafka-reassign-partitions, and raise the settings",
        )
    if ordinary:
        yield warning(
            "single-replica",
            named("topic", ordinary),
            "have one replica: unavailable while its broker is away, lost with its disk",
            "they were created with replication factor 1, which is default.replication.factor unless set",
            "add replicas with kafka-reassign-partitions, and set default.replication.factor",
        )


def check_acks_one(facts: ClusterFacts) -> Iterator[Finding]:
    """Three replicas, and acks=all satisfied by the leader alone."""
    thin = [
        topic
        for topic, factor in _factors(facts).items()
        if factor >= 3 and topic in facts.topics and facts.topics[topic].number("min.insync.replicas") == 1
        and not topic.startswith("__")
    ]  # fmt: skip
    if thin:
        yield note(
            "min-isr-one",
            named("topic", thin),
            "acknowledge acks=all with the leader alone when the others are out of sync",
            "min.insync.replicas is 1, its default",
            "set min.insync.replicas=2 where records must outlive a broker",
        )


def check_segment_roll(facts: ClusterFacts) -> Iterator[Finding]:
    """Records go segment by segment: what is in the newest one stays."""
    by_time, by_size = [], []
    for topic, settings in facts.topics.items():
        if "delete" not in settings.values.get("cleanup.policy", "delete"):
            continue
        retention_ms, roll_ms = settings.number("retention.ms"), settings.number("segment.ms")
        if retention_ms is not None and roll_ms is not None and 0 <= retention_ms < roll_ms and _is_ours(settings):
            by_time.append(f"{topic} ({span_text(retention_ms)}, rolls after {span_text(roll_ms)})")
        size, roll = settings.number("retention.bytes"), settings.number("segment.bytes")
        if size is not None and roll is not None and size != _UNLIMITED and size < roll:
            by_size.append(topic)
    if by_time:
        yield warning(
            "retention-below-segment",
            named("topic", by_time),
            "keep records for longer than retention.ms: up to that and segment.ms together where records come steadily",
            "only whole segments are deleted, and a segment goes by its newest record",
            "set segment.ms below retention.ms",
        )
    if by_size:
        yield note(
            "retention-bytes-below-segment",
            named("topic", by_size),
            "keep more than retention.bytes: the newest segment always stays",
            "retention.bytes is smaller than segment.bytes",
            "set segment.bytes to a fraction of retention.bytes",
        )


def _is_ours(settings: TopicSettings) -> bool:
    """Whether somebody chose one of the two for this topic."""
    return bool(settings.given & {"retention.ms", "segment.ms"})


def check_unclean_election(facts: ClusterFacts) -> Iterator[Finding]:
    """Availability for records."""
    risky = [
        topic
        for topic, factor in _factors(facts).items()
        if factor > 1
        and topic in facts.topics
        and facts.topics[topic].values.get("unclean.leader.election.enable") == "true"
    ]
    if risky:
        yield warning(
            "unclean-election",
            named("topic", risky),
            "may be led by a replica that was out of sync: acknowledged records are then lost without an error",
            "unclean.leader.election.enable is true",
            "set it to false, unless the records may be lost",
        )


def check_message_size(facts: ClusterFacts) -> Iterator[Finding]:
    """A batch that a topic allows has to fit into a request."""
    limits = [settings.number("socket.request.max.bytes") for settings in facts.brokers.values()]
    least = min((each for each in limits if each is not None), default=None)
    if least is None:
        return
    large = [
        topic for topic, settings in facts.topics.items() if (settings.number("max.message.bytes") or 0) > least
    ]  # fmt: skip
    if large:
        yield warning(
            "message-above-request",
            named("topic", large),
            f"allow batches larger than a request may be ({least:,} bytes): such a batch closes the connection",
            "max.message.bytes is larger than socket.request.max.bytes",
            "lower max.message.bytes; keep large payloads elsewhere and send their address",
        )


def check_auto_creation(facts: ClusterFacts) -> Iterator[Finding]:
    """Topics that nobody meant to create."""
    makers = [broker for broker, settings in facts.brokers.items()
              if settings.values.get("auto.create.topics.enable") == "true"]  # fmt: skip
    if not makers:
        return
    factors = [facts.brokers[broker].number("default.replication.factor") for broker in makers]
    if len(facts.state.brokers) > 1 and 1 in factors:
        yield warning(
            "auto-created-single-replica",
            "the cluster",
            "creates topics of one replica when a client names one that is not there",
            "auto.create.topics.enable is true, and default.replication.factor is 1",
            "set default.replication.factor, or switch auto.create.topics.enable off",
        )
    for empty, full in _likely_typos(facts):
        yield note(
            "likely-typo",
            f"topic {empty}",
            f"is empty, and its name is one letter away from {full}, which is not",
            "auto.create.topics.enable is true: a client that misspells a name gets a topic instead of an error",
            f"if nobody means it, `tailrace topics delete {empty}`, and mend the client that names it",
        )


def _likely_typos(facts: ClusterFacts) -> Iterator[tuple[str, str]]:
    records: dict[str, int] = {}
    for (topic, index), end in facts.ends.items():
        if not topic.startswith("__"):
            records[topic] = records.get(topic, 0) + end - facts.log_starts.get((topic, index), 0)
    full = {topic for topic, count in records.items() if count}
    for empty in sorted(set(records) - full)[:TYPO_TOPICS_MAX]:
        near = next((name for name in sorted(full) if is_one_letter_away(empty, name)), None)
        if near is not None:
            yield empty, near


def is_one_letter_away(name: str, other: str) -> bool:
    """Whether one letter was left out, put in, changed or swapped with its neighbour. Digits are meant as they are."""
    if abs(len(name) - len(other)) > 1 or min(len(name), len(other)) < 4 or name == other:
        return False
    begin = 0
    while begin < min(len(name), len(other)) and name[begin] == other[begin]:
        begin += 1
    end = 0
    while end < min(len(name), len(other)) - begin and name[-1 - end] == other[-1 - end]:
        end += 1
    mine, theirs = name[begin : len(name) - end], other[begin : len(other) - end]
    if any(letter.isdigit() for letter in mine + theirs):
        return False
    return max(len(mine), len(theirs)) <= 1 or (len(mine) == len(theirs) == 2 and mine == theirs[::-1])


def _factors(facts: ClusterFacts) -> dict[str, int]:
    """The fewest replicas of any partition, by topic."""
    factors: dict[str, int] = {}
    for each in facts.state.partitions:
        factors[each.topic] = min(factors.get(each.topic, 1 << 30), len(each.replicas))
    return factors
