"""The runtime around the groups: partitions, turns, appends. What groups do is in tests/scenario/groups."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.scenario.group_bench import GroupBench

from tailrace.base.errors import ErrorCode
from tailrace.base.pending import Pending
from tailrace.coordinator.decision import Decision
from tailrace.coordinator.groups.joining import Caller
from tailrace.coordinator.groups.offsets import CommittedOffset
from tailrace.coordinator.groups.records import offset_record
from tailrace.coordinator.groups.settings import GroupSettings
from tailrace.coordinator.limits import QUEUE_MAX_OPERATIONS, RECORDS_PER_STEP
from tailrace.coordinator.partitioning import java_hash
from tailrace.coordinator.ports import CoordinatorRecord, LogEntry, TransactionalRecord
from tailrace.wire.messages.heartbeat import HeartbeatRequest
from tailrace.wire.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse
from tailrace.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
)
from tailrace.wire.primitives import DecodeError

CALLER = Caller(3, "client", "/10.0.0.9")


def join(bench: GroupBench, group_id: str = "g", member_id: str = "") -> Pending[JoinGroupResponse]:
    protocols = [JoinGroupRequestProtocol("range", b"")]
    request = JoinGroupRequest(group_id, 10_000, 20_000, member_id, None, "consumer", protocols)
    return bench.groups.join_group(request, CALLER)


def commit(bench: GroupBench, offset: int, group_id: str = "g") -> Pending[OffsetCommitResponse]:
    topic = OffsetCommitRequestTopic("t", partitions=[OffsetCommitRequestPartition(0, offset)])
    return bench.groups.commit_offsets(OffsetCommitRequest(group_id, topics=[topic]), 8)


def code_of(response: OffsetCommitResponse) -> int:
    return response.topics[0].partitions[0].error_code


@pytest.mark.parametrize(
    ("text", "hashed"),
    [("", 0), ("a", 97), ("hello", 99162322), ("polygenelubricants", -(2**31)), ("грoup", 1025308093), ("𝄞", 1772394)],
)
def test_java_hash(text: str, hashed: int) -> None:
    """Values of java.lang.String.hashCode, with a string whose absolute value does not exist, and a surrogate pair."""
    assert java_hash(text) == hashed


def test_partition_of_a_group() -> None:
    """abs(hash) % count, and 0 for the one hash whose absolute value overflows."""
    bench = GroupBench(GroupSettings(offsets_topic_num_partitions=50))
    assert bench.groups.partition_for("hello") == 99162322 % 50
    assert bench.groups.partition_for("polygenelubricants") == 0


def test_groups_of_other_partitions_go_on() -> None:
    """Unloading one partition refuses its groups and no others."""
    bench = GroupBench(GroupSettings(offsets_topic_num_partitions=2))
    here, there = sorted(("a", "b"), key=bench.groups.partition_for)
    bench.groups.unload(bench.groups.partition_for(there))
    assert code_of(commit(bench, 1, here).value) == ErrorCode.NONE
    assert code_of(commit(bench, 1, there).value) == ErrorCode.NOT_COORDINATOR


def test_an_answer_that_brings_the_next_request_does_not_overlap() -> None:
    """Completing an answer may deliver the connection's next request at once: it waits for the turn to end."""
    bench = GroupBench()
    first, second = join(bench), join(bench)
    member_id = first.value.member_id
    waiting_joins: list[int] = []

    def on_second_joined(_: JoinGroupResponse) -> None:
        # The leader's own join is answered in the same turn; what comes from here may only see it done.
        later = bench.groups.heartbeat(HeartbeatRequest("g", 2, member_id))
        assert not later.done
        later.on_complete(lambda _: waiting_joins.append(bench.groups.find_group("g").waiting_joins))

    second.on_complete(on_second_joined)
    join(bench, member_id=member_id)
    assert second.done
    assert waiting_joins == [0]


def test_a_bug_in_one_turn_does_not_stop_the_group() -> None:
    """An exception leaves the group free, with what waited behind it done."""
    bench = GroupBench()
    shard = bench.groups._shards[0]
    answers: list[Pending[OffsetCommitResponse]] = []

    def broken() -> Decision | None:
        answers.append(commit(bench, 7))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        bench.groups._take_timer_turn(shard, "g", broken)
    assert code_of(answers[0].value) == ErrorCode.NONE
    assert code_of(commit(bench, 8).value) == ErrorCode.NONE
    assert shard.turns == {}


def test_a_bug_after_a_commit_does_not_stop_the_group() -> None:
    """The same when the records had to wait."""
    bench = GroupBench()
    bench.log.is_holding = True
    first, second = commit(bench, 1), commit(bench, 2)

    def fail(_: OffsetCommitResponse) -> None:
        raise ZeroDivisionError

    first.on_complete(fail)
    with pytest.raises(ZeroDivisionError):
        bench.log.release()
    bench.log.is_holding = False
    bench.log.release()
    assert code_of(second.value) == ErrorCode.NONE
    assert bench.groups._shards[0].turns == {}


def test_a_group_behind_a_stuck_log_refuses_at_its_limit() -> None:
    """QUEUE_MAX_OPERATIONS wait, the next is refused, and timers are never lost."""
    bench = GroupBench()
    bench.log.is_holding = True
    waiting = [commit(bench, offset) for offset in range(QUEUE_MAX_OPERATIONS + 1)]
    assert not any(answer.done for answer in waiting)
    assert code_of(commit(bench, 0).value) == ErrorCode.COORDINATOR_NOT_AVAILABLE
    ran: list[int] = []
    bench.groups._take_timer_turn(bench.groups._shards[0], "g", lambda: ran.append(1))
    bench.log.is_holding = False
    bench.log.release()
    assert all(code_of(answer.value) == ErrorCode.NONE for answer in waiting)
    assert ran == [1]


def test_a_log_that_cannot_be_read_is_not_served() -> None:
    """A damaged record ends the load: serving without it could take a commit back."""
    bench = GroupBench()

    class Damaged:
        def records(self, partition: int) -> Iterator[CoordinatorRecord]:
            yield CoordinatorRecord(b"\0\1\0", b"")

    with pytest.raises(DecodeError):
        bench.groups.load(0, Damaged())
    assert code_of(commit(bench, 1).value) == ErrorCode.NOT_COORDINATOR


def test_close_answers_what_waits_and_stops_every_timer() -> None:
    """After `close` nobody is owed an answer and the wheel is empty."""
    bench = GroupBench()
    first, second = join(bench), join(bench)
    assert first.done and not second.done
    bench.groups.close()
    assert second.value.error_code == ErrorCode.NOT_COORDINATOR
    assert len(bench.timers) == 0


def test_two_thousand_members_join() -> None:
    """A big group forms in one generation after the first, and its leader hears of everybody."""
    bench = GroupBench()
    members = [join(bench) for _ in range(2_000)]
    again = join(bench, member_id=members[0].value.member_id)
    assert len(again.value.members) == 2_000
    assert all(answer.done for answer in members)


def test_a_commit_that_is_not_replicated_in_time_is_refused_and_holds_all_the_same() -> None:
    bench = GroupBench()
    bench.log.is_holding = True
    committed = commit(bench, 5)
    bench.advance(5_000)
    assert code_of(committed.value) == ErrorCode.COORDINATOR_NOT_AVAILABLE
    bench.log.is_holding = False
    bench.log.release()
    group = bench.groups.find_group("g")
    assert group is not None
    found = group.offsets.get("t", 0)
    assert found is not None and found.offset == 5


class Commits:
    """A log of one group's commits, and of a transaction that was open when the last leader died."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.read = 0

    def records(self, partition: int) -> Iterator[LogEntry]:
        for number in range(self._count):
            self.read += 1
            yield offset_record("g", "t", number % 200, CommittedOffset(number, -1, "", 0))
        yield TransactionalRecord(7, offset_record("g", "in transaction", 0, CommittedOffset(42, -1, "", 0)))


def test_a_log_is_read_step_by_step_and_clients_are_told_meanwhile() -> None:
    bench = GroupBench()
    log = Commits(1000)
    steps = bench.groups.load_steps(0, log)
    assert code_of(commit(bench, 1).value) == ErrorCode.COORDINATOR_LOAD_IN_PROGRESS, "before the first step"
    next(steps)
    assert log.read == RECORDS_PER_STEP
    bench.groups.end_transaction(0, 7, True)  # its marker comes while the log is read
    assert sum(1 for _ in steps) > 1000 / RECORDS_PER_STEP - 1, "and then what is left of it is replayed so"
    assert code_of(commit(bench, 1).value) == ErrorCode.NONE
    group = bench.groups.find_group("g")
    assert group is not None
    offsets = [group.offsets.get(*place) for place in (("t", 199), ("in transaction", 0))]
    assert [each and each.offset for each in offsets] == [999, 42]


def test_a_partition_that_goes_while_it_is_read_is_read_no_further() -> None:
    bench = GroupBench()
    log = Commits(1000)
    steps = bench.groups.load_steps(0, log)
    next(steps)
    bench.groups.unload(0)
    bench.groups.load(0, bench.log)
    assert list(steps) == []
    assert log.read == RECORDS_PER_STEP
    assert code_of(commit(bench, 1).value) == ErrorCode.NONE, "what was loaded since is served"
