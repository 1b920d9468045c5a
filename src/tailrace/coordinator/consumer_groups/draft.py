"""A change of one group on its way into the log: the records, and the group as it will be when they are replayed.

Invariant: the group itself is not touched. What is asked of a draft is answered as replay will have it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tailrace.coordinator.consumer_groups import records
from tailrace.coordinator.consumer_groups.group import NOTHING, ConsumerGroup
from tailrace.coordinator.consumer_groups.member import ConsumerMember, Place
from tailrace.coordinator.ports import CoordinatorRecord

FIRST_EPOCH: Final = 2
"""Of a group that gets its first member; Kafka 4.3 begins so."""


class Draft:
    """One change. Lives for one decision."""

    __slots__ = (
        "_changed",
        "_regexes",
        "_targets",
        "epoch",
        "first_epoch",
        "group",
        "group_id",
        "metadata_hash",
        "reasons",
        "records",
        "target_epoch",
    )

    def __init__(self, group: ConsumerGroup, first: list[CoordinatorRecord] | None = None) -> None:
        self.group = group
        self.group_id = group.group_id
        self.records: list[CoordinatorRecord] = first or []
        self.first_epoch = self.epoch = group.epoch
        self.target_epoch = group.target_epoch
        self.metadata_hash = group.metadata_hash
        self.reasons: list[str] = []
        """Why the epoch is raised, for people."""
        self._changed: dict[str, ConsumerMember | None] = {}
        self._regexes: dict[str, frozenset[str]] | None = None
        self._targets: dict[str, frozenset[Place]] = {}
        """Those of this change: of members that took another's place, and of all once they are assigned."""

    # As it will be

    def members(self) -> Iterator[ConsumerMember]:
        """Every member."""
        changed = self._changed
        for member_id, member in self.group.members.items():
            now = changed.get(member_id, member)
            if now is not None:
                yield now
        for member_id, added in changed.items():
            if added is not None and member_id not in self.group.members:
                yield added

    def target(self, member_id: str) -> frozenset[Place]:
        """What a member is to own."""
        taken = self._targets.get(member_id)
        return self.group.targets.get(member_id, NOTHING) if taken is None else taken

    def is_free(self, place: Place, member_id: str) -> bool:
        """Whether nobody owns a partition but that member, which has given it up and may have it back."""
        owner = self.group.owners.get(place)
        return owner is None or owner == member_id or self._changed.get(owner, self) is None

    def topics_of_regex(self, regex: str) -> frozenset[str]:
        """The topics a regular expression stands for."""
        return (self.group.regexes if self._regexes is None else self._regexes).get(regex, frozenset())

    def topics_of(self, member: ConsumerMember) -> frozenset[str]:
        """Every topic a member is subscribed to, by either way."""
        named = frozenset(member.subscribed_topics)
        return named | self.topics_of_regex(member.subscribed_regex) if member.subscribed_regex else named

    # Changes

    def describe_member(self, member: ConsumerMember) -> None:
        """Who a member is and what it wants."""
        self._changed[member.member_id] = member
        self.records.append(records.member_record(self.group_id, member))

    def move_member(self, member: ConsumerMember) -> None:
        """What a member owns, and in which epoch."""
        self._changed[member.member_id] = member
        self.records.append(records.current_record(self.group_id, member))

    def remove_member(self, member_id: str) -> None:
        """A member goes, and what it owned is free."""
        self._changed[member_id] = None
        self.records += records.member_tombstones(self.group_id, member_id)

    def replace_member(self, old_member_id: str, member: ConsumerMember, target: frozenset[Place]) -> None:
        """A member goes and another takes over all it had."""
        self.remove_member(old_member_id)
        self._targets[member.member_id] = target
        self.describe_member(member)
        self.records.append(records.target_record(self.group_id, member.member_id, target))
        self.move_member(member)

    def raise_epoch(self, metadata_hash: int, reason: str) -> None:
        """The assignment is to be computed again."""
        self.epoch = self.epoch + 1 if self.epoch else FIRST_EPOCH
        self.metadata_hash = metadata_hash
        self.reasons.append(reason)
        self.records.append(records.epoch_record(self.group_id, self.epoch, metadata_hash))

    def set_targets(self, targets: dict[str, frozenset[Place]], now_ms: int) -> None:
        """The assignment of the present epoch; who keeps what it had gets no record."""
        for member_id, target in targets.items():
            if target != self.target(member_id):
                self._targets[member_id] = target
                self.records.append(records.target_record(self.group_id, member_id, target))
        self.target_epoch = self.epoch
        self.records.append(records.target_epoch_record(self.group_id, self.epoch, now_ms))

    def set_regex(self, regex: str, topics: list[str], version: int, now_ms: int) -> None:
        """What a regular expression stands for."""
        self._own_regexes()[regex] = frozenset(topics)
        self.records.append(records.regex_record(self.group_id, regex, topics, version, now_ms))

    def forget_regex(self, regex: str) -> None:
        """Nobody subscribes to it any more."""
        del self._own_regexes()[regex]
        self.records.append(records.regex_tombstone(self.group_id, regex))

    def regexes(self) -> list[str]:
        """Every regular expression that is known."""
        return list(self.group.regexes if self._regexes is None else self._regexes)

    def _own_regexes(self) -> dict[str, frozenset[str]]:
        if self._regexes is None:
            self._regexes = dict(self.group.regexes)
        return self._regexes
