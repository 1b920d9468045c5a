"""What ConsumerGroupDescribe tells of a group of the consumer protocol and librdkafka does not: its epochs (KIP-848).

group epoch       raised when members, subscriptions or topics change
assignment epoch  the group epoch the partitions were last shared out for
member epoch      the assignment a member has come to
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from tailrace.cli.cluster import Cluster
from tailrace.cli.failure import CommandFailed, ExitCode
from tailrace.cli.raw_requests import RawCluster, refusal, run
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.consumer_group_describe import ConsumerGroupDescribeRequest

_KINDS: Final = {0: "classic", 1: "consumer"}

Partitions = dict[str, list[int]]
"""Topic -> partitions."""


@dataclass(frozen=True, slots=True)
class MemberEpochs:
    """One member and how far it has come."""

    member_id: str
    instance_id: str | None
    kind: str
    """The protocol it speaks: classic or consumer."""
    epoch: int
    subscribed_topics: list[str]
    subscribed_regex: str
    assigned: Partitions
    target: Partitions

    def state(self, assignment_epoch: int) -> str:
        """What it does: `stable`, `away` (static, left for a while), `behind`, `giving up` or `waiting`."""
        if self.epoch < 0:
            return "away"
        if self.assigned == self.target:
            return "stable" if self.epoch == assignment_epoch else "behind"
        owned, wanted = _places(self.assigned), _places(self.target)
        return "waiting" if owned <= wanted and self.epoch == assignment_epoch else "giving up"


@dataclass(frozen=True, slots=True)
class GroupEpochs:
    """One group of the consumer protocol."""

    epoch: int
    assignment_epoch: int
    members: list[MemberEpochs]

    def as_json(self) -> dict[str, Any]:
        """The part of `groups describe --json` that such groups have."""
        return {
            "group_epoch": self.epoch,
            "assignment_epoch": self.assignment_epoch,
            "members": [
                {
                    "member_id": member.member_id,
                    "group_instance_id": member.instance_id,
                    "protocol": member.kind,
                    "state": member.state(self.assignment_epoch),
                    "epoch": member.epoch,
                    "subscribed_topics": member.subscribed_topics,
                    "subscribed_regex": member.subscribed_regex,
                    "assignment": member.assigned,
                    "target_assignment": member.target,
                }
                for member in self.members
            ],
        }


def read_epochs(cluster: Cluster, name: str) -> GroupEpochs | None:
    """Epochs of one group; None where a listener cannot be asked directly (TLS, SASL)."""

    async def ask(raw: RawCluster) -> Any:
        coordinator = await raw.group_coordinator(name)
        return await raw.ask(ApiKey.CONSUMER_GROUP_DESCRIBE, ConsumerGroupDescribeRequest([name]), coordinator)

    try:
        (group,) = run(cluster.bootstrap_servers, cluster.timeout_s, ask).groups
    except CommandFailed as failure:
        if failure.exit_code is ExitCode.UNREACHABLE:
            return None
        raise
    if group.error_code:
        raise refusal(group.error_code, f"cannot describe group {name}")
    return GroupEpochs(group.group_epoch, group.assignment_epoch, [_member(each) for each in group.members])


def partitions_text(partitions: Partitions) -> str:
    """`orders:0,1 bills:2`; a dash for none."""
    return " ".join(f"{topic}:{','.join(map(str, indexes))}" for topic, indexes in sorted(partitions.items())) or "-"


def _member(member: Any) -> MemberEpochs:
    return MemberEpochs(
        member_id=member.member_id,
        instance_id=member.instance_id,
        kind=_KINDS.get(member.member_type, "unknown"),
        epoch=member.member_epoch,
        subscribed_topics=sorted(member.subscribed_topic_names),
        subscribed_regex=member.subscribed_topic_regex or "",
        assigned=_partitions(member.assignment),
        target=_partitions(member.target_assignment),
    )


def _partitions(assignment: Any) -> Partitions:
    return {topic.topic_name: sorted(topic.partitions) for topic in assignment.topic_partitions}


def _places(partitions: Partitions) -> set[tuple[str, int]]:
    return {(topic, index) for topic, indexes in partitions.items() for index in indexes}
