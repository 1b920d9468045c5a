"""The group coordinator: finds a group's partition, gives each group its turns, and keeps answers until the commit.

    request ──> partition of the group ──> its turn ──> decide ──> append ──> committed: replay, answer
                  not here: NOT_COORDINATOR                          refused: answer the error, change nothing
                  loading:  COORDINATOR_LOAD_IN_PROGRESS

Invariant: a group's durable state is what its partition's committed records say; only `GroupShard.replay` changes it.
Turns of one group never overlap, not even when answering one request makes a connection deliver the next.
Not its business: bytes on a connection, whether topics exist, the log itself.
Source: Kafka's `GroupCoordinatorService` and `CoordinatorRuntime`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from tailrace.base.clock import Clock
from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.pending import Answer, Pending
from tailrace.base.rand import Random
from tailrace.cluster.image import MetadataImage
from tailrace.coordinator.decision import Decision, Operation
from tailrace.coordinator.groups import commits, joining, listing, membership
from tailrace.coordinator.groups.classic_group import ClassicGroup, GroupState, refused_join
from tailrace.coordinator.groups.joining import Caller, Join
from tailrace.coordinator.groups.loading import replay_log
from tailrace.coordinator.groups.offsets import Offsets
from tailrace.coordinator.groups.pending_offsets import PendingOffsets
from tailrace.coordinator.groups.settings import GroupSettings
from tailrace.coordinator.groups.shard import GroupShard
from tailrace.coordinator.partitioning import partition_for
from tailrace.coordinator.ports import (
    CoordinatorRecord,
    InTransaction,
    PartitionLoader,
    PartitionWriter,
    Timers,
)
from tailrace.coordinator.rebalances import Rebalanced, Rebalances
from tailrace.coordinator.turns import Limit, Turn, Turns, refuse_nobody, refuse_waiting
from tailrace.wire.messages.delete_groups import DeletableGroupResult
from tailrace.wire.messages.describe_groups import DescribedGroup
from tailrace.wire.messages.heartbeat import HeartbeatRequest, HeartbeatResponse
from tailrace.wire.messages.join_group import JoinGroupRequest, JoinGroupResponse
from tailrace.wire.messages.leave_group import LeaveGroupResponse, MemberIdentity
from tailrace.wire.messages.list_groups import ListGroupsResponse
from tailrace.wire.messages.offset_commit import OffsetCommitRequest, OffsetCommitResponse
from tailrace.wire.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteResponse,
    OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
)
from tailrace.wire.messages.sync_group import SyncGroupRequest, SyncGroupResponse

if TYPE_CHECKING:
    from tailrace.coordinator.groups.consumer_turns import ConsumerTurns
    from tailrace.coordinator.groups.share_coordinator import ShareGroupCoordinator
    from tailrace.coordinator.share_state.ports import ShareStateKeeper
    from tailrace.wire.messages.consumer_group_describe import DescribedGroup as DescribedConsumerGroup
    from tailrace.wire.messages.consumer_group_heartbeat import (
        ConsumerGroupHeartbeatRequest,
        ConsumerGroupHeartbeatResponse,
    )
    from tailrace.wire.messages.txn_offset_commit import TxnOffsetCommitRequest, TxnOffsetCommitResponse

Refuse = Callable[[ErrorCode], None]


class GroupCoordinator:
    """Every method is called in the loop's thread and returns at once."""

    def __init__(
        self,
        settings: GroupSettings,
        writer: PartitionWriter,
        timers: Timers,
        clock: Clock,
        random: Random,
        image: Callable[[], MetadataImage] = MetadataImage,
    ) -> None:
        self.settings = settings
        self._turns = Turns(writer, Limit(timers, lambda: settings.offsets_commit_timeout_ms))
        self._timers = timers
        self._clock = clock
        self._random = random
        self._image = image
        self.report: Callable[[str], None] = _silent
        """Is told why groups rebalance."""
        self.share_states: Callable[[], ShareStateKeeper] | None = None
        """Who keeps the state of share groups' partitions."""
        self._share: ShareGroupCoordinator | None = None
        self._journal = Rebalances(clock, self._tell)
        self._shards: dict[int, GroupShard] = {}
        self._consumer_turns: dict[int, ConsumerTurns] = {}
        """The consumer protocol of a partition's groups, once one needs it."""
        self._expiry = timers.schedule(settings.offsets_retention_check_interval_ms, self._on_expiry_timer)

    # Partitions

    def partition_for(self, group_id: str) -> int:
        """Partition of `__consumer_offsets` that keeps this group."""
        return partition_for(group_id, self.settings.offsets_topic_num_partitions)

    def load(self, partition: int, loader: PartitionLoader) -> None:
        """Load a partition in one go, as `load_steps` does it."""
        deque(self.load_steps(partition, loader), maxlen=0)

    def load_steps(self, partition: int, loader: PartitionLoader) -> Iterator[None]:
        """This broker leads `partition`: its groups are loading from now on, until the last of these steps.

        A step raises DecodeError for a record nobody can read, or as `loader` does: the partition is then not served,
        as in Kafka, because going on could take back commits. Once it is unloaded there are no more steps.
        """
        self.unload(partition)
        shard = GroupShard(partition, self.settings, self._clock, self._timers, self._take_timer_turn, self._journal)
        self._shards[partition] = shard
        return self._load(shard, loader)

    def _load(self, shard: GroupShard, loader: PartitionLoader) -> Iterator[None]:
        try:
            yield from replay_log(shard, loader.records(shard.partition))
        except BaseException:
            if not shard.is_closed:
                self.unload(shard.partition)
            raise
        if not shard.is_closed:
            shard.finish_load()
            if any(group.consumer is not None for group in shard.groups.values()):
                self._consumers_of(shard).begin_sessions()
            if any(group.share is not None for group in shard.groups.values()):
                self.share.begin_sessions(shard)

    def end_transaction(self, partition: int, producer_id: int, is_commit: bool) -> None:
        """A marker of this producer was written to `partition` of the topic, after all it committed there."""
        shard = self._shards.get(partition)
        if shard is not None:
            shard.end_transaction(producer_id, is_commit)

    def unload(self, partition: int) -> None:
        """This broker no longer leads `partition`: refuse what waits there, forget its groups."""
        shard = self._shards.pop(partition, None)
        self._consumer_turns.pop(partition, None)
        if shard is None:
            return
        shard.is_closed = True
        refuse_waiting(shard)
        for group in shard.groups.values():
            self._journal.forget(group.group_id)
            shard.silence(group)
            group.state = GroupState.DEAD
            for member in group.members.values():
                group.answer_join(member, refused_join(ErrorCode.NOT_COORDINATOR, member.member_id))
                group.answer_sync(member, SyncGroupResponse(error_code=ErrorCode.NOT_COORDINATOR))

    def close(self) -> None:
        """Unload everything and stop the timers."""
        self._expiry.cancel()
        for partition in list(self._shards):
            self.unload(partition)

    def _shard(self, group_id: str) -> GroupShard:
        shard = self._shards.get(self.partition_for(group_id))
        if shard is None:
            raise KafkaError(ErrorCode.NOT_COORDINATOR)
        if shard.is_loading:
            raise KafkaError(ErrorCode.COORDINATOR_LOAD_IN_PROGRESS)
        return shard

    # Turns

    def _submit(self, group_id: str, decide: Callable[[GroupShard], Decision | None], refuse: Refuse) -> None:
        """Run `decide` in the group's turn; refuse when this is not its coordinator, or it raises KafkaError."""
        try:
            shard = self._shard(group_id)
        except KafkaError as error:
            refuse(error.code)
            return
        self._turns.take(shard, group_id, Turn(partial(decide, shard), refuse))

    def _take_timer_turn(self, shard: GroupShard, group_id: str, operation: Operation) -> None:
        if not shard.is_closed:
            self._turns.take(shard, group_id, Turn(operation, refuse_nobody))

    def _consumers_of(self, shard: GroupShard) -> ConsumerTurns:
        # Imported when it is needed: a broker without consumer groups need not pay for them at its start.
        from tailrace.coordinator.groups.consumer_turns import ConsumerTurns

        turns = self._consumer_turns.get(shard.partition)
        if turns is None:
            turns = ConsumerTurns(shard, self.settings, self._clock, self._image)
            self._consumer_turns[shard.partition] = turns
        return turns

    @property
    def share(self) -> ShareGroupCoordinator:
        """Share groups (KIP-932). Imported when the first one shows up, as consumer groups are."""
        if self._share is None:
            from tailrace.coordinator.groups.share_coordinator import Around, ShareGroupCoordinator

            around = Around(
                self.settings,
                self._submit,
                self._shard,
                self._clock,
                self._image,
                self._share_states,
                self._journal.tell,
            )
            self._share = ShareGroupCoordinator(around)
        return self._share

    def _share_states(self) -> ShareStateKeeper:
        assert self.share_states is not None, "share groups need somebody who keeps their state"
        return self.share_states()

    def _tell(self, text: str) -> None:
        self.report(text)

    # Membership

    def consumer_group_heartbeat(
        self, request: ConsumerGroupHeartbeatRequest, caller: Caller
    ) -> Pending[ConsumerGroupHeartbeatResponse]:
        """ConsumerGroupHeartbeat (KIP-848): completes when what it changes is in the log."""
        from tailrace.coordinator.consumer_groups.heartbeats import Beat
        from tailrace.coordinator.consumer_groups.requests import check_heartbeat, refused_heartbeat

        answer: Pending[ConsumerGroupHeartbeatResponse] = Answer()

        def decide(shard: GroupShard) -> Decision | None:
            member_id = request.member_id or str(self._random.uuid())
            beat = Beat(request, member_id, caller.client_id, caller.client_host)
            try:
                return self._consumers_of(shard).heartbeat(beat, answer)
            except KafkaError as error:
                answer.complete(refused_heartbeat(error))
                return None

        try:
            check_heartbeat(request, caller.api_version, self.settings.consumer.group_consumer_assignors)
        except KafkaError as error:
            answer.complete(refused_heartbeat(error))
        else:
            self._submit(request.group_id, decide, lambda code: answer.complete(refused_heartbeat(KafkaError(code))))
        return answer

    def join_group(self, request: JoinGroupRequest, caller: Caller) -> Pending[JoinGroupResponse]:
        """JoinGroup: completes when the join phase ends, which may take the rebalance timeout."""
        answer: Pending[JoinGroupResponse] = Answer()
        join = Join(request, caller, answer)

        def decide(shard: GroupShard) -> Decision | None:
            group = shard.groups.get(request.group_id)
            if group is not None and group.share is not None:
                raise KafkaError(ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
            if group is not None and group.consumer is not None:
                if group.consumer.members:
                    return self._consumers_of(shard).join(group.consumer, join, self._random)
                # An empty group changes its protocol; the join is decided again when that is in the log.
                return Decision(
                    commits.consumer_tombstones(group), lambda: self._submit(request.group_id, decide, refuse), refuse
                )
            if group is not None:
                return joining.join(shard.rebalance, group, join, self._random)
            if request.member_id:
                raise KafkaError(ErrorCode.UNKNOWN_MEMBER_ID)
            group = shard.new_group(request.group_id)
            decision = joining.join(shard.rebalance, group, join, self._random)
            shard.groups[request.group_id] = group
            return decision

        def refuse(code: ErrorCode) -> None:
            answer.complete(refused_join(code, request.member_id))

        settings = self.settings
        if not request.group_id:
            refuse(ErrorCode.INVALID_GROUP_ID)
        elif not (
            settings.group_min_session_timeout_ms <= request.session_timeout_ms <= settings.group_max_session_timeout_ms
        ):
            refuse(ErrorCode.INVALID_SESSION_TIMEOUT)
        else:
            self._submit(request.group_id, decide, refuse)
        return answer

    def sync_group(self, request: SyncGroupRequest) -> Pending[SyncGroupResponse]:
        """SyncGroup: completes when the leader's assignment is committed."""
        answer: Pending[SyncGroupResponse] = Answer()

        def decide(shard: GroupShard) -> Decision | None:
            group = _known(shard, request.group_id, ErrorCode.UNKNOWN_MEMBER_ID)
            if group.consumer is not None:
                self._consumers_of(shard).sync(group.consumer, request, answer)
                return None
            return membership.sync(shard.rebalance, group, request, answer)

        def refuse(code: ErrorCode) -> None:
            answer.complete(SyncGroupResponse(error_code=code))

        if request.group_id:
            self._submit(request.group_id, decide, refuse)
        else:
            refuse(ErrorCode.INVALID_GROUP_ID)
        return answer

    def heartbeat(self, request: HeartbeatRequest) -> Pending[HeartbeatResponse]:
        """Heartbeat. While the group is loading the answer is yes: the member can only wait."""
        answer: Pending[HeartbeatResponse] = Answer()

        def decide(shard: GroupShard) -> None:
            group = _known(shard, request.group_id, ErrorCode.UNKNOWN_MEMBER_ID)
            if group.consumer is not None:
                code = self._consumers_of(shard).classic_heartbeat(group.consumer, request)
            else:
                code = membership.heartbeat(shard.rebalance, group, request)
            answer.complete(HeartbeatResponse(error_code=code))

        def refuse(code: ErrorCode) -> None:
            is_loading = code is ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
            answer.complete(HeartbeatResponse(error_code=ErrorCode.NONE if is_loading else code))

        if request.group_id:
            self._submit(request.group_id, decide, refuse)
        else:
            refuse(ErrorCode.INVALID_GROUP_ID)
        return answer

    def leave_group(self, group_id: str, leavers: list[MemberIdentity]) -> Pending[LeaveGroupResponse]:
        """LeaveGroup of one or more members, in the form of v3 and later."""
        answer: Pending[LeaveGroupResponse] = Answer()

        def decide(shard: GroupShard) -> Decision | None:
            group = shard.groups.get(group_id)
            if group is None:
                answer.complete(membership.refused_leave(leavers, ErrorCode.UNKNOWN_MEMBER_ID))
                return None
            if group.consumer is not None:
                return self._consumers_of(shard).leave(group.consumer, leavers, answer)
            return membership.leave(shard.rebalance, group, leavers, answer)

        def refuse(code: ErrorCode) -> None:
            answer.complete(LeaveGroupResponse(error_code=code))

        if group_id:
            self._submit(group_id, decide, refuse)
        else:
            refuse(ErrorCode.INVALID_GROUP_ID)
        return answer

    # Offsets

    def commit_offsets(self, request: OffsetCommitRequest, api_version: int) -> Pending[OffsetCommitResponse]:
        """OffsetCommit for partitions that exist, by topic name and id: completes when the records are committed."""
        answer: Pending[OffsetCommitResponse] = Answer()

        def decide(shard: GroupShard) -> Decision | None:
            group = shard.groups.get(request.group_id)
            if group is not None and group.consumer is not None:
                commits.check_consumer_commit(group.consumer, request, api_version, self._image())
            else:
                commits.check_commit(shard.rebalance, group, request, api_version)
            records, response = commits.commit_records(self.settings, self._clock.wall_ms(), request)
            if records:
                return Decision(records, lambda: answer.complete(response), refuse)
            answer.complete(response)
            return None

        def refuse(code: ErrorCode) -> None:
            answer.complete(commits.refused_commit(request, code))

        self._submit(request.group_id, decide, refuse)
        return answer

    def commit_transactional_offsets(
        self, request: TxnOffsetCommitRequest, api_version: int, verification: int
    ) -> Pending[TxnOffsetCommitResponse]:
        """TxnOffsetCommit for partitions that exist, by topic name and id: completes when the records are in the log.

        `verification` is the partition's, confirmed by the transaction's coordinator.
        """
        from tailrace.coordinator.groups import transactional_commits  # start-up time: as its messages

        answer: Pending[TxnOffsetCommitResponse] = Answer()

        def decide(shard: GroupShard) -> Decision | None:
            group = shard.groups.get(request.group_id)
            transactional_commits.check_transactional_commit(group, request, api_version, self._image())
            now_ms = self._clock.wall_ms()
            records, response = transactional_commits.transactional_commit_records(self.settings, now_ms, request)
            transaction = InTransaction(request.producer_id, request.producer_epoch, verification)
            if records:
                return Decision(records, lambda: answer.complete(response), refuse, transaction)
            answer.complete(response)
            return None

        def refuse(code: ErrorCode) -> None:
            answer.complete(transactional_commits.refused_transactional_commit(request, code))

        self._submit(request.group_id, decide, refuse)
        return answer

    def pending_offsets(self, group_id: str) -> PendingOffsets:
        """Offsets of a group in open transactions, to look at now. Raises as `committed_offsets`."""
        group = self._shard(group_id).groups.get(group_id)
        return PendingOffsets() if group is None else group.pending_offsets

    def committed_offsets(self, group_id: str) -> Offsets:
        """Committed offsets of a group, for reading in this turn of the loop; nothing for an unknown group.

        Raises NOT_COORDINATOR or COORDINATOR_LOAD_IN_PROGRESS.
        """
        group = self._shard(group_id).groups.get(group_id)
        return Offsets() if group is None else group.offsets

    def check_fetch(self, group_id: str, member_id: str | None, member_epoch: int) -> None:
        """Whether a member may be told its group's offsets: an old epoch must not start from them (KIP-848).

        Raises UNKNOWN_MEMBER_ID or STALE_MEMBER_EPOCH, and as `committed_offsets`.
        """
        group = self._shard(group_id).groups.get(group_id)
        if member_id is not None or member_epoch >= 0:
            commits.check_keeps_offsets(group)
        if group is not None and group.consumer is not None:
            group.consumer.check_fetch(member_id, member_epoch)

    def delete_offsets(self, request: OffsetDeleteRequest) -> Pending[OffsetDeleteResponse]:
        """OffsetDelete for partitions that exist (KIP-496)."""
        answer: Pending[OffsetDeleteResponse] = Answer()
        if not request.group_id:
            answer.complete(OffsetDeleteResponse(error_code=ErrorCode.INVALID_GROUP_ID))
            return answer

        def decide(shard: GroupShard) -> Decision | None:
            group = commits.check_delete_offsets(shard.groups.get(request.group_id))
            records, subscribed = commits.delete_offset_records(group, request)
            response = OffsetDeleteResponse()
            for topic in request.topics:
                code = ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC if topic.name in subscribed else ErrorCode.NONE
                answered = [OffsetDeleteResponsePartition(asked.partition_index, code) for asked in topic.partitions]
                response.topics.append(OffsetDeleteResponseTopic(topic.name, answered))
            if records:
                return Decision(records, lambda: answer.complete(response), refuse)
            answer.complete(response)
            return None

        def refuse(code: ErrorCode) -> None:
            answer.complete(OffsetDeleteResponse(error_code=code))

        self._submit(request.group_id, decide, refuse)
        return answer

    def on_topics_deleted(self, topics: Iterable[str]) -> None:
        """Forget every offset committed for topics that are gone, and what share groups know of them."""
        gone = frozenset(topics)

        def records(group: ClassicGroup) -> list[CoordinatorRecord]:
            if group.share is None:
                return commits.delete_topic_records(group, gone)
            from tailrace.coordinator.groups.share_coordinator import records_of_gone_topics  # start-up time

            return records_of_gone_topics(group.share, self._image())

        self._clean(records)

    # Administration

    def on_topics_changed(self) -> None:
        """Topics came, went or grew: groups look at theirs again at the next heartbeat."""
        for shard in self._shards.values():
            for group in shard.groups.values():
                modern = group.consumer or group.share
                if modern is not None:
                    modern.needs_refresh = True

    def find_group(self, group_id: str) -> ClassicGroup | None:
        """A group of this coordinator, to look at; None for an unknown one."""
        return self._shard(group_id).groups.get(group_id)

    def all_groups(self) -> list[ClassicGroup]:
        """Every group of this coordinator, to look at in this turn of the loop; of partitions being loaded too."""
        return [group for shard in self._shards.values() for group in shard.groups.values()]

    @property
    def rebalance_count(self) -> int:
        """Rebalances of its groups since the start."""
        return self._journal.count

    def last_rebalance(self, group_id: str) -> Rebalanced | None:
        """When and why a group last changed its generation; None when it has not since the broker started."""
        return self._journal.last(group_id)

    def describe_group(self, group_id: str, api_version: int) -> DescribedGroup:
        """One group as it is at this moment."""
        try:
            shard = self._shard(group_id)
        except KafkaError as error:
            return listing.refused_description(group_id, error.code)
        return listing.describe(group_id, shard.groups.get(group_id), api_version)

    def describe_consumer_group(self, group_id: str) -> DescribedConsumerGroup:
        """One group of the consumer protocol as it is at this moment."""
        from tailrace.coordinator.consumer_groups.describing import described, refused_description

        if not group_id:
            return refused_description(group_id, ErrorCode.INVALID_GROUP_ID)
        try:
            shard = self._shard(group_id)
        except KafkaError as error:
            return refused_description(group_id, error.code)
        group = shard.find_consumer(group_id)
        if group is None:
            what = "is not a consumer group" if group_id in shard.groups else "not found"
            return refused_description(group_id, ErrorCode.GROUP_ID_NOT_FOUND, f"Group {group_id} {what}.")
        return described(group, self._image(), self.settings.consumer.group_consumer_assignors[0])

    def list_groups(self, states: list[str], types: list[str]) -> ListGroupsResponse:
        """The groups of this coordinator; an error while one of its partitions is loading."""
        if any(shard.is_loading for shard in self._shards.values()):
            return ListGroupsResponse(error_code=ErrorCode.COORDINATOR_LOAD_IN_PROGRESS)
        groups = (group for shard in self._shards.values() for group in shard.groups.values())
        return ListGroupsResponse(groups=listing.matching(groups, states, types))

    def delete_group(self, group_id: str) -> Pending[DeletableGroupResult]:
        """Delete an Empty group and its offsets."""
        answer: Pending[DeletableGroupResult] = Answer()

        def decide(shard: GroupShard) -> Decision | None:
            group = _known(shard, group_id, ErrorCode.GROUP_ID_NOT_FOUND)
            if group.has_members:
                raise KafkaError(ErrorCode.NON_EMPTY_GROUP)
            if group.share is not None:
                return self.share.delete_group(group_id, shard, answer)
            records = commits.delete_group_records(group)
            if records:
                return Decision(records, lambda: answer.complete(DeletableGroupResult(group_id)), refuse)
            shard.forget(group)
            answer.complete(DeletableGroupResult(group_id))
            return None

        def refuse(code: ErrorCode) -> None:
            answer.complete(DeletableGroupResult(group_id, code))

        self._submit(group_id, decide, refuse)
        return answer

    # Clean-up

    def _on_expiry_timer(self) -> None:
        self._expiry.reset(self.settings.offsets_retention_check_interval_ms)
        self.expire_offsets()

    def expire_offsets(self) -> None:
        """Delete what has expired; a log that refuses is asked again at the next check."""
        now_ms, retention_ms = self._clock.wall_ms(), self.settings.offsets_retention_ms
        self._clean(lambda group: commits.expired_records(group, now_ms, retention_ms))

    def _clean(self, records_of: Callable[[ClassicGroup], list[CoordinatorRecord]]) -> None:
        """Give every group of every loaded partition a turn that appends `records_of` it."""
        for shard in list(self._shards.values()):
            if not shard.is_loading:
                for group in list(shard.groups.values()):
                    self._take_timer_turn(shard, group.group_id, partial(_clean_one, shard, group, records_of))


def _clean_one(
    shard: GroupShard, group: ClassicGroup, records_of: Callable[[ClassicGroup], list[CoordinatorRecord]]
) -> Decision | None:
    if group.state is GroupState.DEAD:
        return None
    records = records_of(group)
    if records:
        return Decision(records, _nothing, _ignore)
    if group.is_void:
        shard.forget(group)
    return None


def _known(shard: GroupShard, group_id: str, code: ErrorCode) -> ClassicGroup:
    group = shard.groups.get(group_id)
    if group is None:
        raise KafkaError(code)
    return group


def _nothing() -> None:
    """Nothing follows the clean-up's records."""


def _ignore(_: ErrorCode) -> None:
    """The next clean-up tries again."""


def _silent(_: str) -> None:
    """Nobody asked for reasons."""
