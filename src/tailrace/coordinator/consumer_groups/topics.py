"""What consumer groups know of topics: subscriptions against the metadata, and the hash that tells when they changed.

Source: Kafka's `TopicMetadata`.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from tailrace.cluster.image import MetadataImage
from tailrace.coordinator.consumer_groups.assignors import Assignee
from tailrace.coordinator.consumer_groups.draft import Draft
from tailrace.coordinator.consumer_groups.regexes import matching
from tailrace.coordinator.topics_hash import topics_hash as hash_of


def topics_hash(image: MetadataImage, draft: Draft) -> int:
    """A number that changes when a subscribed topic comes, goes, is made anew or grows; 0 for no topics."""
    names: set[str] = set()
    for topics, regex in {(member.subscribed_topics, member.subscribed_regex) for member in draft.members()}:
        names.update(topics, draft.topics_of_regex(regex) if regex else ())
    return hash_of(image, names)


def assignees(image: MetadataImage, draft: Draft) -> tuple[list[Assignee], dict[UUID, int]]:
    """Every member as an assignor sees it, and the partition counts of what they are subscribed to."""
    counts: dict[UUID, int] = {}
    known: dict[tuple[tuple[str, ...], str], frozenset[UUID]] = {}
    found = []
    for member in draft.members():
        subscription = (member.subscribed_topics, member.subscribed_regex)
        topics = known.get(subscription)
        if topics is None:
            topics = known[subscription] = _existing(image, draft.topics_of(member), counts)
        found.append(Assignee(member.member_id, member.instance_id, topics, draft.target(member.member_id)))
    return found, counts


def _existing(image: MetadataImage, names: Iterable[str], counts: dict[UUID, int]) -> frozenset[UUID]:
    topics = [topic for topic in map(image.topic, names) if topic is not None]
    counts.update((topic.topic_id, len(topic.partitions)) for topic in topics)
    return frozenset(topic.topic_id for topic in topics)


def refresh_regexes(image: MetadataImage, draft: Draft, now_ms: int, is_stale: bool) -> bool:
    """Look up what members' regular expressions stand for, forget those nobody uses; whether a known one changed.

    With `is_stale` all are looked up, else new ones. Raises INVALID_REGULAR_EXPRESSION.
    """
    wanted = {member.subscribed_regex for member in draft.members() if member.subscribed_regex}
    known = draft.regexes()
    for regex in known:
        if regex not in wanted:
            draft.forget_regex(regex)
    has_changed = False
    for regex in sorted(wanted):
        is_new = regex not in known
        if is_new or is_stale:
            topics = matching(regex, image.topics)
            if is_new or draft.topics_of_regex(regex) != frozenset(topics):
                draft.set_regex(regex, topics, image.version, now_ms)
                has_changed = True
    return has_changed
