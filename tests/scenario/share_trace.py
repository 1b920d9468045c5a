"""The language of `share_groups/*.txt`: that of `groups/*.txt`, with what only share groups have.

    beat A topics=t1         a heartbeat of member A that says what it wants: it joins with the first
    beat A                   one that says nothing new
    ----
    A beat: ok epoch=2 t1-0,t1-1       its epoch, and its partitions where they are told

`quit A` leaves, `about` is ShareGroupDescribe, `offsets`, `alter t1-0=5` and `forget t1` are the offsets APIs.
`states-away` and `states-back` take the share coordinator away; `states` shows what its log gained.
"""

from __future__ import annotations

from typing import Any

from tests.scenario.group_trace import GroupTrace, Options, _code

from tailrace.coordinator.share_groups.records import read_share_record
from tailrace.coordinator.share_state.records import read_state_record
from tailrace.coordinator.share_state.state import ShareState
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.alter_share_group_offsets import (
    AlterShareGroupOffsetsRequest,
    AlterShareGroupOffsetsRequestPartition,
    AlterShareGroupOffsetsRequestTopic,
)
from tailrace.wire.messages.delete_share_group_offsets import (
    DeleteShareGroupOffsetsRequest,
    DeleteShareGroupOffsetsRequestTopic,
)
from tailrace.wire.messages.describe_share_group_offsets import (
    DescribeShareGroupOffsetsRequest,
    DescribeShareGroupOffsetsRequestGroup,
)
from tailrace.wire.messages.share_group_describe import ShareGroupDescribeRequest
from tailrace.wire.messages.share_group_heartbeat import ShareGroupHeartbeatRequest


class ShareTrace(GroupTrace):
    """Interprets commands; members choose their own ids, which are their names."""

    def __init__(self, bench: Any) -> None:
        super().__init__(bench)
        self._epochs: dict[str, int] = {}
        self._states_shown = 0

    def do_beat(self, args: list[str], options: Options) -> None:
        for who in args:
            epoch = int(options.get("epoch", self._epochs.get(who, 0)))
            topics = [name for name in options["topics"].split(",") if name] if "topics" in options else None
            request = ShareGroupHeartbeatRequest(self._group_of(options), who, epoch, options.get("rack"), topics)
            self._send(who, "beat", ApiKey.SHARE_GROUP_HEARTBEAT, 1, request, lambda r, who=who: self._beaten(who, r))

    def _beaten(self, who: str, response: Any) -> str:
        if response.error_code:
            return _code(response.error_code)
        self._epochs[who] = response.member_epoch
        told = "" if response.assignment is None else f" {self._partitions(response.assignment.topic_partitions)}"
        return f"ok epoch={response.member_epoch}{told}"

    def _partitions(self, topics: list[Any]) -> str:
        names = {self.bench.topic_id(name): name for name in self._topics}
        found = sorted(f"{names[topic.topic_id]}-{index}" for topic in topics for index in topic.partitions)
        return ",".join(found) or "-"

    def do_quit(self, args: list[str], options: Options) -> None:
        for who in args:
            request = ShareGroupHeartbeatRequest(self._group_of(options), who, -1)
            self._send(who, "quit", ApiKey.SHARE_GROUP_HEARTBEAT, 1, request, lambda r: _code(r.error_code))
            self._epochs.pop(who, None)

    def do_about(self, args: list[str], options: Options) -> None:
        def show(response: Any) -> str:
            (group,) = response.groups
            if group.error_code:
                return _code(group.error_code)
            members = [
                f" [{member.member_id} epoch={member.member_epoch} {','.join(sorted(member.subscribed_topic_names))}"
                f" {self._partitions(member.assignment.topic_partitions)}]"
                for member in sorted(group.members, key=lambda member: str(member.member_id))
            ]
            shown = f"{group.group_state} epoch={group.group_epoch} assignment={group.assignment_epoch}"
            return f"{shown} {group.assignor_name}{''.join(members)}"

        request = ShareGroupDescribeRequest([self._group_of(options)])
        self._send("-", "about", ApiKey.SHARE_GROUP_DESCRIBE, 1, request, show)

    def do_offsets(self, args: list[str], options: Options) -> None:
        asked = DescribeShareGroupOffsetsRequestGroup(self._group_of(options))
        asked.topics = None

        def show(response: Any) -> str:
            (group,) = response.groups
            found = sorted(
                f"{topic.topic_name}-{each.partition_index}={each.start_offset} lag={each.lag}"
                for topic in group.topics
                for each in topic.partitions
            )
            return " ".join([_code(group.error_code), *found])

        request = DescribeShareGroupOffsetsRequest([asked])
        self._send("-", "offsets", ApiKey.DESCRIBE_SHARE_GROUP_OFFSETS, 1, request, show)

    def do_alter(self, args: list[str], options: Options) -> None:
        topics: dict[str, list[AlterShareGroupOffsetsRequestPartition]] = {}
        for place, start in (part.split("=") for part in args):
            topic, index = place.rsplit("-", 1)
            partition = AlterShareGroupOffsetsRequestPartition(int(index), int(start))
            topics.setdefault(topic, []).append(partition)

        def show(response: Any) -> str:
            found = sorted(
                f"{topic.topic_name}-{each.partition_index}={_code(each.error_code)}"
                for topic in response.responses
                for each in topic.partitions
            )
            return " ".join([_code(response.error_code), *found])

        named = [AlterShareGroupOffsetsRequestTopic(*item) for item in topics.items()]
        request = AlterShareGroupOffsetsRequest(self._group_of(options), named)
        self._send("-", "alter", ApiKey.ALTER_SHARE_GROUP_OFFSETS, 0, request, show)

    def do_forget(self, args: list[str], options: Options) -> None:
        def show(response: Any) -> str:
            found = sorted(f"{topic.topic_name}={_code(topic.error_code)}" for topic in response.responses)
            return " ".join([_code(response.error_code), *found])

        topics = [DeleteShareGroupOffsetsRequestTopic(name) for name in args]
        request = DeleteShareGroupOffsetsRequest(self._group_of(options), topics)
        self._send("-", "forget", ApiKey.DELETE_SHARE_GROUP_OFFSETS, 0, request, show)

    # The broker

    def do_delete_topic(self, args: list[str], options: Options) -> None:
        super().do_delete_topic(args, options)
        self.bench.states.on_topics_deleted()
        self.bench.groups.on_topics_changed()

    def do_topics(self, args: list[str], options: Options) -> None:
        super().do_topics(args, options)
        if hasattr(self.bench, "groups"):
            self.bench.groups.on_topics_changed()

    def do_states_away(self, args: list[str], options: Options) -> None:
        self.bench.states.unload(0)

    def do_states_back(self, args: list[str], options: Options) -> None:
        self.bench.states.load(0)

    def do_states(self, args: list[str], options: Options) -> None:
        records = self.bench.state_log.committed.get(0, [])
        for record in records[self._states_shown :]:
            entry = read_state_record(record)
            assert entry is not None
            name = next(
                (name for name in self._topics if self.bench.topic_id(name) == entry.key.topic_id),
                "a topic that is gone",
            )
            place = f"state {entry.key.group_id} {name}-{entry.key.partition}"
            if entry.said is None:
                self._events.append(f"{place} deleted")
            elif isinstance(entry.said, ShareState):
                self._events.append(f"{place} epoch={entry.said.state_epoch} start={entry.said.start_offset}")
        self._states_shown = len(records)

    def do_log(self, args: list[str], options: Options) -> None:
        for partition, records in self.bench.log.committed.items():
            for record in records[self._shown.get(partition, 0) :]:
                entry = read_share_record(record)
                assert entry is not None
                kind = type(entry.key).__name__.removeprefix("ShareGroup").removesuffix("Key")
                who = getattr(entry.key, "member_id", "")
                self._events.append(
                    f"record {kind} {who}{' deleted' if entry.value is None else ''}".replace("  ", " ")
                )
            self._shown[partition] = len(records)
