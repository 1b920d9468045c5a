"""The consumer protocol (KIP-848) in the language of traces.

    beat A topics=t1 assignor=range      a member's heartbeat: the first is a join, `epoch=-1` and `-2` leave
    members                              ConsumerGroupDescribe

A join says everything; later heartbeats say what is written: `owned=t1-0,t1-1` (`owned=` for nothing), `topics=`,
`regex=`, `instance=`, `rebalance=`. Members choose their ids: the client's name, `id=` for another.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from tailrace.base.errors import ErrorCode
from tailrace.coordinator.consumer_groups.records import ConsumerEntry, read_consumer_record
from tailrace.coordinator.ports import CoordinatorRecord
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.consumer_group_describe import ConsumerGroupDescribeRequest
from tailrace.wire.messages.consumer_group_heartbeat import ConsumerGroupHeartbeatRequest, TopicPartitions
from tailrace.wire.messages.consumer_protocol_assignment import ConsumerProtocolAssignment
from tailrace.wire.messages.consumer_protocol_assignment import TopicPartition as Assigned
from tailrace.wire.messages.consumer_protocol_subscription import ConsumerProtocolSubscription
from tailrace.wire.messages.consumer_protocol_subscription import TopicPartition as Owned

Options = dict[str, str]
MEMBER_TYPES = {-1: "?", 0: "classic", 1: "consumer"}


class ConsumerCommands:
    """Commands of the consumer protocol: a part of `GroupTrace`."""

    bench: Any
    generations: dict[str, int]
    _topics: list[str]
    _send: Any
    _group_of: Any
    _group_name: Any
    _name: Any
    _events: list[str]

    def do_beat(self, args: list[str], options: Options) -> None:
        for who in args:
            self._beat(who, options)

    def _beat(self, who: str, options: Options) -> None:
        epoch = int(options["epoch"]) if "epoch" in options else self._epochs().get(who, 0)
        is_join = epoch == 0
        owned = options.get("owned", "" if is_join else None)
        topics = options.get("topics", "t1" if is_join and "regex" not in options else None)
        request = ConsumerGroupHeartbeatRequest(
            self._group_of(options),
            options.get("id", who),
            epoch,
            options.get("instance"),
            options.get("rack"),
            int(options.get("rebalance", "30000" if is_join else "-1")),
            None if topics is None else [topic for topic in topics.split(",") if topic],
            options.get("regex"),
            options.get("assignor"),
            None if owned is None else self._places(owned),
        )

        def show(response: Any) -> str:
            if response.error_code:
                if response.error_code in (ErrorCode.FENCED_MEMBER_EPOCH, ErrorCode.UNKNOWN_MEMBER_ID):
                    self._epochs().pop(who, None)
                return ErrorCode(response.error_code).name
            self._epochs()[who] = max(response.member_epoch, 0)
            shown = f"ok epoch={response.member_epoch}"
            if response.assignment is not None:
                shown += f" [{self._named(response.assignment)}]"
            return shown

        version = int(options.get("v", "1"))
        self._send(who, "beat", ApiKey.CONSUMER_GROUP_HEARTBEAT, version, request, show)

    def do_members(self, args: list[str], options: Options) -> None:
        def show(response: Any) -> str:
            return "; ".join(self._described_members(group) for group in response.groups)

        request = ConsumerGroupDescribeRequest([self._group_name(name) for name in args or ["g"]])
        self._send("-", "members", ApiKey.CONSUMER_GROUP_DESCRIBE, int(options.get("v", "1")), request, show)

    def _described_members(self, group: Any) -> str:
        name = group.group_id.split(".")[0]
        if group.error_code:
            return f"{name} {ErrorCode(group.error_code).name}"
        shown = f"{name} {group.group_state} epoch={group.group_epoch} assigned={group.assignment_epoch}"
        for member in sorted(group.members, key=lambda each: self._name("", each.member_id)):
            instance = f"({member.instance_id})" if member.instance_id else ""
            wanted = ",".join(member.subscribed_topic_names) + (member.subscribed_topic_regex or "")
            shown += f" [{self._name('', member.member_id)}{instance} {MEMBER_TYPES[member.member_type]}"
            shown += f" epoch={member.member_epoch} {wanted} has {self._named(member.assignment)}"
            shown += f" is to have {self._named(member.target_assignment)}]"
        return shown

    # Values

    def _epochs(self) -> dict[str, int]:
        return self.generations

    def _places(self, text: str) -> list[TopicPartitions]:
        found: dict[UUID, list[int]] = {}
        for topic, index in _pairs(text, ","):
            found.setdefault(self.bench.topic_id(topic), []).append(index)
        return [TopicPartitions(*item) for item in found.items()]

    def _named(self, assignment: Any) -> str:
        names = {self.bench.topic_id(name): name for name in self._topics}
        found = [(names[each.topic_id], each.partitions) for each in assignment.topic_partitions]
        return _places_text(found)

    def _consumer_record(self, record: CoordinatorRecord) -> str:
        """What a record of a consumer group says, for `log`."""
        entry = read_consumer_record(record)
        assert isinstance(entry, ConsumerEntry)
        what = type(entry.key).__name__.removeprefix("ConsumerGroup").removesuffix("Key")
        which = getattr(entry.key, "member_id", None) or getattr(entry.key, "regular_expression", "")
        shown = f"record {what}" + (f" {self._name('', which)}" if which else "")
        return shown + (" deleted" if entry.value is None else "")


def subscription(text: str) -> bytes:
    """`t1,t2`, with what is owned after a slash: `t1/t1-0+t1-1`."""
    topics, slash, owned = text.partition("/")
    found: dict[str, list[int]] = {}
    for topic, index in _pairs(owned, "+"):
        found.setdefault(topic, []).append(index)
    version = 1 if slash else 0
    made = ConsumerProtocolSubscription([topic for topic in topics.split(",") if topic], None)
    made.owned_partitions = [Owned(*item) for item in found.items()]
    out = bytearray(version.to_bytes(2, "big"))
    made.encode(out, version)
    return bytes(out)


def assignment(text: str) -> bytes:
    """`t1-0+t1-1` as a leader sends it; other words as they are, for the coordinator does not look into them."""
    if not all("-" in part for part in text.split("+")):
        return text.encode()
    found: dict[str, list[int]] = {}
    for topic, index in _pairs(text, "+"):
        found.setdefault(topic, []).append(index)
    out = bytearray(b"\0\0")
    ConsumerProtocolAssignment([Assigned(*item) for item in found.items()]).encode(out, 0)
    return bytes(out)


def assignment_text(data: bytes) -> str:
    """An assignment in the form of `assignment`; a dash for none at all."""
    if not data.startswith(b"\0"):
        return data.decode() or "-"
    version = min(int.from_bytes(data[:2], "big"), ConsumerProtocolAssignment.MAX_VERSION)
    read, _ = ConsumerProtocolAssignment.decode(memoryview(data), 2, version)
    return _places_text([(each.topic, each.partitions) for each in read.assigned_partitions])


def _pairs(text: str, between: str) -> list[tuple[str, int]]:
    return [(part.rsplit("-", 1)[0], int(part.rsplit("-", 1)[1])) for part in text.split(between) if part]


def _places_text(found: list[tuple[str, list[int]]]) -> str:
    return "+".join(f"{name}-{index}" for name, indexes in sorted(found) for index in sorted(indexes)) or "-"
