"""Share groups (KIP-932) in the turns of a group coordinator's shards: requests, timers, and states made and deleted.

    heartbeat ──> turn: decide, append ──> committed: answer ──> make the states that are lacking ──> turn: note it

The states themselves are the share coordinator's: it may be slow or away, and what was asked of it is written down
before, so that it is asked again and nothing of a deleted group stays. Not its business: what is decided about members
(`share_groups`), what is in a state (`share_state`). Source: Kafka's `GroupCoordinatorService`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final, NamedTuple

from tailrace.base.clock import Clock
from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.pending import Answer, Pending
from tailrace.cluster.image import MetadataImage
from tailrace.cluster.records import ResourceType
from tailrace.coordinator.decision import Decision
from tailrace.coordinator.groups.joining import Caller
from tailrace.coordinator.groups.settings import GroupSettings
from tailrace.coordinator.groups.shard import GroupShard
from tailrace.coordinator.ports import CoordinatorRecord
from tailrace.coordinator.share_groups import heartbeats, offsets
from tailrace.coordinator.share_groups.describing import described, refused_description
from tailrace.coordinator.share_groups.group import ShareGroup
from tailrace.coordinator.share_groups.heartbeats import Beat, Draft, Outcome, Surroundings
from tailrace.coordinator.share_groups.member import JOINING_EPOCH, LEAVING_EPOCH, Place
from tailrace.coordinator.share_groups.records import by_topic, state_partitions_record
from tailrace.coordinator.share_groups.requests import check_heartbeat, refused_heartbeat
from tailrace.coordinator.share_groups.state_partitions import StatePartitions, TopicPartitions
from tailrace.coordinator.share_state.ports import (
    UNINITIALIZED_START_OFFSET,
    SharePartitionKey,
    ShareStateKeeper,
)
from tailrace.wire.messages.alter_share_group_offsets import (
    AlterShareGroupOffsetsRequest,
    AlterShareGroupOffsetsResponse,
)
from tailrace.wire.messages.delete_groups import DeletableGroupResult
from tailrace.wire.messages.delete_share_group_offsets import (
    DeleteShareGroupOffsetsRequest,
    DeleteShareGroupOffsetsResponse,
)
from tailrace.wire.messages.share_group_describe import DescribedGroup
from tailrace.wire.messages.share_group_heartbeat import (
    Assignment,
    ShareGroupHeartbeatRequest,
    ShareGroupHeartbeatResponse,
)
from tailrace.wire.messages.share_group_heartbeat import TopicPartitions as AssignedTopic

_SESSION_TIMEOUT: Final = "share.session.timeout.ms"
_HEARTBEAT_INTERVAL: Final = "share.heartbeat.interval.ms"
_ASSIGNMENT_INTERVAL: Final = "share.assignment.interval.ms"

Decide = Callable[[GroupShard], Decision | None]
Refuse = Callable[[KafkaError], None]
Failures = Mapping[Place, ErrorCode]


class Around(NamedTuple):
    """What share groups are given by the coordinator they are a part of."""

    settings: GroupSettings
    submit: Callable[[str, Decide, Callable[[ErrorCode], None]], None]
    """Run something in a group's turn, or refuse it."""
    shard_of: Callable[[str], GroupShard]
    """The shard of a group. Raises NOT_COORDINATOR or COORDINATOR_LOAD_IN_PROGRESS."""
    clock: Clock
    image: Callable[[], MetadataImage]
    states: Callable[[], ShareStateKeeper]
    report: Callable[[str], None]
    """Is told why groups rebalance."""


class ShareGroupCoordinator:
    """Every method is called in the loop's thread and returns at once."""

    __slots__ = ("_around",)

    def __init__(self, around: Around) -> None:
        self._around = around

    def begin_sessions(self, shard: GroupShard) -> None:
        """The shard was loaded: give every member a session timeout to show up."""
        for group in shard.groups.values():
            if group.share is not None:
                for member_id in group.share.members:
                    self._extend_session(shard, group.share, member_id)

    # Membership

    def heartbeat(self, request: ShareGroupHeartbeatRequest, caller: Caller) -> Pending[ShareGroupHeartbeatResponse]:
        """ShareGroupHeartbeat: completes when what it changes is in the log."""
        answer: Pending[ShareGroupHeartbeatResponse] = Answer()

        def decide(shard: GroupShard) -> Decision | None:
            if request.member_epoch == LEAVING_EPOCH:
                return self._leave(shard, request, answer)
            group = _group(shard, request.group_id, may_be_new=request.member_epoch == JOINING_EPOCH)
            return self._stay(shard, group, Beat(request, caller.client_id, caller.client_host), answer)

        def refuse(error: KafkaError) -> None:
            answer.complete(refused_heartbeat(error))

        try:
            check_heartbeat(request)
        except KafkaError as error:
            refuse(error)
        else:
            self._submit(request.group_id, decide, refuse)
        return answer

    def _stay(
        self, shard: GroupShard, group: ShareGroup, beat: Beat, answer: Pending[ShareGroupHeartbeatResponse]
    ) -> Decision | None:
        draft, first_epoch = Draft(group), group.epoch
        outcome = heartbeats.stay(self._surroundings(group.group_id), draft, beat)
        group.needs_refresh = False
        done = partial(self._stayed, shard, group.group_id, outcome, answer)
        if not draft.records:
            done()
            return None

        def refuse(code: ErrorCode) -> None:
            group.needs_refresh = True
            answer.complete(refused_heartbeat(KafkaError(code)))

        def commit() -> None:
            if draft.epoch != first_epoch:
                self._around.report(f"group {group.group_id} rebalances: epoch {draft.epoch}, {draft.reasons[0]}")
            done()
            if draft.initializing:
                self._initialize(shard, group.group_id, draft.epoch, draft.initializing)

        return Decision(draft.records, commit, refuse)

    def _leave(
        self, shard: GroupShard, request: ShareGroupHeartbeatRequest, answer: Pending[ShareGroupHeartbeatResponse]
    ) -> Decision:
        group = _group(shard, request.group_id)
        draft = Draft(group)
        member = group.member(request.member_id)
        heartbeats.leave(self._surroundings(group.group_id), draft, member, f"{member.member_id} left")
        response = ShareGroupHeartbeatResponse(member_id=request.member_id, member_epoch=request.member_epoch)

        def refuse(code: ErrorCode) -> None:
            answer.complete(refused_heartbeat(KafkaError(code)))

        return Decision(draft.records, lambda: answer.complete(response), refuse)

    def _stayed(
        self, shard: GroupShard, group_id: str, outcome: Outcome, answer: Pending[ShareGroupHeartbeatResponse]
    ) -> None:
        """A heartbeat is decided and in the log: its member lives on."""
        member = outcome.member
        known = shard.groups.get(group_id)
        if known is not None and known.share is not None:
            self._extend_session(shard, known.share, member.member_id)
        interval_ms = self._around.settings.share.group_share_heartbeat_interval_ms
        response = ShareGroupHeartbeatResponse(
            member_id=member.member_id,
            member_epoch=member.epoch,
            heartbeat_interval_ms=self._of_group(group_id, _HEARTBEAT_INTERVAL, interval_ms),
        )
        if outcome.tells_assignment:
            response.assignment = Assignment([AssignedTopic(*each) for each in by_topic(member.assigned).items()])
        answer.complete(response)

    def _surroundings(self, group_id: str) -> Surroundings:
        settings = self._around.settings.share
        interval_ms = self._of_group(group_id, _ASSIGNMENT_INTERVAL, settings.group_share_assignment_interval_ms)
        return Surroundings(
            settings.group_share_max_size, interval_ms, self._around.image(), self._around.clock.wall_ms()
        )

    def _of_group(self, group_id: str, name: str, default: int) -> int:
        """A setting of one group, or the broker's."""
        text = self._around.image().configs(ResourceType.GROUP, group_id).get(name)
        return default if text is None else int(text)

    def _extend_session(self, shard: GroupShard, group: ShareGroup, member_id: str) -> None:
        timeout_ms = self._around.settings.share.group_share_session_timeout_ms
        delay_ms = self._of_group(group.group_id, _SESSION_TIMEOUT, timeout_ms)
        session = group.sessions.get(member_id)
        if session is not None and session.is_set:
            session.extend(delay_ms)
            return
        session = group.sessions[member_id] = session or shard.rebalance.deadline(group.group_id)
        session.set(delay_ms, partial(self._expire, shard, group, member_id))

    def _expire(self, shard: GroupShard, group: ShareGroup, member_id: str) -> Decision | None:
        """A session has ended: the member is out."""
        member = group.members.get(member_id)
        known = shard.groups.get(group.group_id)
        if member is None or known is None or known.share is not group:
            return None
        draft = Draft(group)
        reason = f"{member_id} is out: its session timed out"
        heartbeats.leave(self._surroundings(group.group_id), draft, member, reason)

        def commit() -> None:
            self._around.report(f"group {group.group_id} rebalances: epoch {draft.epoch}, {reason}")

        def retry(_: ErrorCode) -> None:
            self._extend_session(shard, group, member_id)

        return Decision(draft.records, commit, retry)

    # States

    def _initialize(self, shard: GroupShard, group_id: str, epoch: int, partitions: TopicPartitions) -> None:
        """Have states made, and write down which were."""
        places = [(topic, index) for topic in sorted(partitions) for index in sorted(partitions[topic])]
        starts = dict.fromkeys(places, UNINITIALIZED_START_OFFSET)
        self._make_states(_group(shard, group_id), epoch, starts, _nothing)

    def _make_states(
        self, group: ShareGroup, epoch: int, starts: Mapping[Place, int], done: Callable[[Failures], None]
    ) -> None:
        group_id = group.group_id
        now_ms = self._around.clock.wall_ms()
        group.initializing_since_ms.update((topic, now_ms) for topic, _ in starts)
        states = self._around.states()
        asked = {
            place: states.initialize_state(SharePartitionKey(group_id, *place), epoch, start)
            for place, start in starts.items()
        }

        def made(failures: Failures) -> None:
            group.needs_refresh |= bool(failures)  # the next heartbeat asks again
            failed = offsets.grouped(failures)
            succeeded = offsets.grouped(frozenset(starts) - failures.keys())
            self._rewrite(group_id, lambda book: book.made(succeeded).not_made(failed), lambda: done(failures))

        _when_all(asked, made)

    def _rewrite(
        self, group_id: str, change: Callable[[StatePartitions], StatePartitions], done: Callable[[], None]
    ) -> None:
        """Change a group's book in its turn; where that cannot be written, a later heartbeat finds the old one."""

        def decide(shard: GroupShard) -> Decision | None:
            known = shard.groups.get(group_id)
            if known is None or known.share is None:
                done()
                return None
            record = state_partitions_record(group_id, change(known.share.state_partitions))
            return Decision([record], done, refuse)

        def refuse(_: ErrorCode) -> None:
            done()

        self._around.submit(group_id, decide, refuse)

    # Looking

    def describe(self, group_id: str) -> DescribedGroup:
        """One group as it is at this moment."""
        if not group_id:
            return refused_description(group_id, ErrorCode.INVALID_GROUP_ID)
        try:
            group = _group(self._around.shard_of(group_id), group_id, what="Group")
        except KafkaError as error:
            return refused_description(group_id, error.code, error.message or None)
        return described(group, self._around.image())

    def initialized_partitions(self, group_id: str) -> TopicPartitions:
        """Partitions of which a group has a state; none for a group that is not known, or not a share group.

        Raises NOT_COORDINATOR or COORDINATOR_LOAD_IN_PROGRESS.
        """
        known = self._around.shard_of(group_id).groups.get(group_id)
        return {} if known is None or known.share is None else known.share.state_partitions.initialized

    # Offsets

    def alter_offsets(self, request: AlterShareGroupOffsetsRequest) -> Pending[AlterShareGroupOffsetsResponse]:
        """AlterShareGroupOffsets: a group without members begins anew where it is told; made if it does not exist."""
        answer: Pending[AlterShareGroupOffsetsResponse] = Answer()

        def decide(shard: GroupShard) -> Decision | None:
            group = _group(shard, request.group_id, may_be_new=True)
            group.check_empty()
            plan = offsets.alteration(self._around.image(), group.state_partitions, request)
            if not plan.starts:
                answer.complete(plan.response)
                return None

            def told(failures: Failures) -> None:
                offsets.say_failures(plan.response, failures)
                answer.complete(plan.response)

            def commit() -> None:
                self._make_states(_group(shard, request.group_id), group.epoch, plan.starts, told)

            record = state_partitions_record(request.group_id, plan.book)
            return Decision([record], commit, lambda code: refuse(KafkaError(code)))

        def refuse(error: KafkaError) -> None:
            answer.complete(AlterShareGroupOffsetsResponse(error_code=error.code, error_message=str(error)))

        if request.group_id:
            self._submit(request.group_id, decide, refuse)
        else:
            refuse(KafkaError(ErrorCode.INVALID_GROUP_ID))
        return answer

    def delete_offsets(self, request: DeleteShareGroupOffsetsRequest) -> Pending[DeleteShareGroupOffsetsResponse]:
        """DeleteShareGroupOffsets: a group without members forgets topics."""
        answer: Pending[DeleteShareGroupOffsetsResponse] = Answer()

        def decide(shard: GroupShard) -> Decision | None:
            group = _group(shard, request.group_id, what="Group")
            group.check_empty()
            plan = offsets.deletion(self._around.image(), group.state_partitions, request)
            if not plan.places:
                answer.complete(DeleteShareGroupOffsetsResponse(responses=plan.refused))
                return None

            def told(failures: Failures) -> None:
                answers = offsets.deleted_answers(self._around.image(), plan.places, failures)
                answer.complete(DeleteShareGroupOffsetsResponse(responses=[*answers, *plan.refused]))

            record = state_partitions_record(request.group_id, plan.book)
            commit = partial(self._delete_states, request.group_id, plan.places, told)
            return Decision([record], commit, lambda code: refuse(KafkaError(code)))

        def refuse(error: KafkaError) -> None:
            answer.complete(DeleteShareGroupOffsetsResponse(error_code=error.code, error_message=str(error)))

        if request.group_id:
            self._submit(request.group_id, decide, refuse)
        else:
            refuse(KafkaError(ErrorCode.INVALID_GROUP_ID))
        return answer

    def _delete_states(self, group_id: str, places: Iterable[Place], done: Callable[[Failures], None]) -> None:
        """Have states deleted, and write down of which topics there is nothing left."""
        wanted = sorted(places)
        states = self._around.states()
        asked = {place: states.delete_state(SharePartitionKey(group_id, *place)) for place in wanted}

        def deleted(failures: Failures) -> None:
            gone = {topic for topic, _ in wanted} - {topic for topic, _ in failures}
            self._rewrite(group_id, lambda book: book.deleted(gone), lambda: done(failures))

        _when_all(asked, deleted)

    def delete_group(self, group_id: str, shard: GroupShard, answer: Pending[DeletableGroupResult]) -> Decision | None:
        """In the turn of an Empty share group: delete its states, and then the group. Raises NON_EMPTY_GROUP."""
        group = _group(shard, group_id)
        group.check_empty()
        book, partitions = group.state_partitions.all_ended(self._around.image())
        if not partitions:
            return self._tombstones(group, answer)
        places = [(topic, index) for topic, indexes in partitions.items() for index in indexes]

        def told(failures: Failures) -> None:
            if failures:
                answer.complete(DeletableGroupResult(group_id, next(iter(failures.values()))))
            else:
                self._submit(group_id, end, lambda error: answer.complete(DeletableGroupResult(group_id, error.code)))

        def end(shard: GroupShard) -> Decision | None:
            group = _group(shard, group_id)
            group.check_empty()
            return self._tombstones(group, answer)

        def refuse(code: ErrorCode) -> None:
            answer.complete(DeletableGroupResult(group_id, code))

        commit = partial(self._delete_states, group_id, places, told)
        return Decision([state_partitions_record(group_id, book)], commit, refuse)

    def _tombstones(self, group: ShareGroup, answer: Pending[DeletableGroupResult]) -> Decision:
        def refuse(code: ErrorCode) -> None:
            answer.complete(DeletableGroupResult(group.group_id, code))

        return Decision(group.tombstones(), lambda: answer.complete(DeletableGroupResult(group.group_id)), refuse)

    # Turns

    def _submit(self, group_id: str, decide: Decide, refuse: Refuse) -> None:
        """Run `decide` in the group's turn; what it raises is refused with its words."""

        def guarded(shard: GroupShard) -> Decision | None:
            try:
                return decide(shard)
            except KafkaError as error:
                refuse(error)
                return None

        self._around.submit(group_id, guarded, lambda code: refuse(KafkaError(code)))


def records_of_gone_topics(group: ShareGroup, image: MetadataImage) -> list[CoordinatorRecord]:
    """The record that forgets topics that do not exist any more; none where all exist."""
    known = group.state_partitions.known_to(image)
    return [] if known == group.state_partitions else [state_partitions_record(group.group_id, known)]


def _group(shard: GroupShard, group_id: str, *, may_be_new: bool = False, what: str = "Share group") -> ShareGroup:
    """The share group of that id. Raises GROUP_ID_NOT_FOUND, also where the id is another kind of group's."""
    known = shard.groups.get(group_id)
    if known is not None and known.share is not None:
        return known.share
    if known is not None and not known.is_void:
        raise KafkaError(ErrorCode.GROUP_ID_NOT_FOUND, f"Group {group_id} is not a share group.")
    if not may_be_new:
        raise KafkaError(ErrorCode.GROUP_ID_NOT_FOUND, f"{what} {group_id} not found.")
    return ShareGroup(group_id)


def _when_all(asked: Mapping[Place, Pending[ErrorCode | None]], done: Callable[[Failures], None]) -> None:
    """Call `done` with what failed, when the last one has its answer."""
    failures: dict[Place, ErrorCode] = {}
    left = len(asked)

    def note(place: Place, code: ErrorCode | None) -> None:
        nonlocal left
        left -= 1
        if code is not None:
            failures[place] = code
        if not left:
            done(failures)

    if not asked:
        done(failures)
    for place, pending in asked.items():
        pending.on_complete(partial(note, place))


def _nothing(_: Failures) -> None:
    """A heartbeat does not wait for states: the next one sees whether they are there."""
