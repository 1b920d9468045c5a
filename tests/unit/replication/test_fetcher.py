"""What a fetcher asks its leader for: sessions (KIP-227), rests after errors, partitions that come and go."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from tailrace.base.clock import ManualClock
from tailrace.base.errors import ErrorCode, StorageError
from tailrace.replication.fetcher import Fetcher, FetcherOptions, FetcherPorts
from tailrace.replication.follower_role import LeaderAnswer, Next, Position
from tailrace.replication.throttle import Throttle, ThrottleLimits
from tailrace.wire.messages.fetch import (
    EpochEndOffset,
    FetchableTopicResponse,
    FetchRequest,
    FetchResponse,
    PartitionData,
)

ID = UUID(int=5)


class Role:
    """A follower that takes what it is told to: a FollowerRole, as far as the fetcher sees it."""

    def __init__(self, offset: int = 0) -> None:
        self.at: Position | None = Position(3, offset, -1, 0, 0)
        self.taken: list[LeaderAnswer] = []
        self.following: Next | Exception = Next.GO_ON
        self.partition = SimpleNamespace(on_flushed_as_follower=None, in_sync_replicas=[1])
        self.throttle: Throttle | None = None

    def position(self) -> Position | None:
        return self.at

    def take(self, answer: LeaderAnswer, asked: Position) -> Next:
        self.taken.append(answer._replace(records=memoryview(bytes(answer.records))))
        if isinstance(self.following, Exception):
            raise self.following
        if len(answer.records) and self.at is not None:
            self.at = self.at._replace(fetch_offset=self.at.fetch_offset + len(answer.records))
        return self.following


class Timer:
    def __init__(self, run: Callable[[], object]) -> None:
        self.run = run
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class Bench:
    """A fetcher, its leader's mailbox and its alarm clock."""

    def __init__(self) -> None:
        self.asked: list[FetchRequest] = []
        self.told: Callable[[FetchResponse | None], object] | None = None
        self.timers: list[Timer] = []
        self.rests_ms: list[float] = []
        self.broken: list[object] = []
        ports = FetcherPorts(self._send, self._schedule, lambda role, error: self.broken.append((role, error)))
        self.fetcher = Fetcher(ports, FetcherOptions(2, lambda: 7))

    def _send(self, request: FetchRequest, told: Callable[[FetchResponse | None], object]) -> None:
        assert self.told is None, "two at a time"
        self.asked.append(request)
        self.told = told

    def _schedule(self, delay_ms: float, run: Callable[[], object]) -> Timer:
        self.rests_ms.append(delay_ms)
        self.timers.append(Timer(run))
        return self.timers[-1]

    def add(self, index: int, role: Any) -> Any:
        self.fetcher.add(ID, index, role)
        return role

    def answer(self, *data: PartitionData, session_id: int = 9, code: int = 0) -> None:
        told, self.told = self.told, None
        assert told is not None
        told(FetchResponse(0, code, session_id, [FetchableTopicResponse("", ID, list(data))] if data else []))

    def fail(self) -> None:
        told, self.told = self.told, None
        assert told is not None
        told(None)

    def ring(self) -> None:
        timers, self.timers = self.timers, []
        for timer in timers:
            if not timer.is_cancelled:
                timer.run()

    @property
    def last(self) -> tuple[int, int, list[tuple[int, int]], list[int]]:
        """(session id, epoch, [(partition, offset)], forgotten) of the latest request."""
        request = self.asked[-1]
        named = [(each.partition, each.fetch_offset) for topic in request.topics for each in topic.partitions]
        forgotten = [index for topic in request.forgotten_topics_data for index in topic.partitions]
        return request.session_id, request.session_epoch, named, forgotten


def records(index: int, size: int) -> PartitionData:
    data = PartitionData(index, 0, 0, 0, 0)
    data.records = bytes(size)
    return data


def test_a_session_names_everything_once_and_then_what_moved() -> None:
    bench = Bench()
    bench.add(0, Role())
    bench.add(1, Role())
    assert bench.last == (0, 0, [(0, 0)], []), "1 came while that was on its way"
    bench.answer(records(0, 10))
    assert bench.last == (9, 1, [(1, 0), (0, 10)], [])
    bench.answer()
    assert bench.last == (9, 2, [], []), "nothing moved: the leader waits for news of both"
    bench.answer(records(1, 5))
    assert bench.last == (9, 3, [(1, 5)], [])
    state = bench.asked[-1].replica_state
    assert (state.replica_id, state.replica_epoch) == (2, 7)


def test_a_partition_that_fails_rests_and_the_others_go_on() -> None:
    bench = Bench()
    role = Role()
    bench.add(0, role)
    bench.answer()
    bench.add(1, Role())
    bench.answer()
    role.following = Next.BACK_OFF
    bench.answer(PartitionData(0, ErrorCode.UNKNOWN_LEADER_EPOCH))
    assert bench.last == (9, 3, [], [0])
    role.following = Next.GO_ON
    bench.ring()
    bench.answer()
    assert bench.last == (9, 4, [(0, 0)], [])


def test_when_all_rest_nothing_is_asked_and_then_everything() -> None:
    bench = Bench()
    role = bench.add(0, Role())
    role.following = Next.BACK_OFF
    bench.answer(PartitionData(0, ErrorCode.NOT_LEADER_OR_FOLLOWER))
    assert bench.told is None
    role.following = Next.GO_ON
    bench.ring()
    assert bench.last == (9, 0, [(0, 0)], []), "a full fetch, which ends the session that may be left"


def test_a_leader_that_does_not_answer_is_asked_again_from_the_beginning() -> None:
    bench = Bench()
    bench.add(0, Role())
    bench.answer(records(0, 3))
    bench.fail()
    assert bench.told is None, "not at once"
    bench.add(1, Role())
    assert bench.told is None
    bench.ring()
    assert bench.last == (9, 0, [(0, 3), (1, 0)], [])


def test_a_lost_session_is_begun_again_at_once() -> None:
    bench = Bench()
    bench.add(0, Role())
    bench.answer()
    bench.answer(code=ErrorCode.FETCH_SESSION_ID_NOT_FOUND)
    assert bench.last[1:] == (0, [(0, 0)], [])
    bench.answer(session_id=11)
    bench.answer(code=ErrorCode.UNKNOWN_SERVER_ERROR, session_id=0)
    assert bench.told is None
    bench.ring()
    assert bench.last == (11, 0, [(0, 0)], [])


def test_without_a_session_everything_is_named_each_time() -> None:
    bench = Bench()
    bench.add(0, Role())
    bench.answer(session_id=0)
    bench.add(1, Role())
    bench.answer(records(0, 4), session_id=0)
    assert bench.last == (0, 0, [(1, 0), (0, 4)], [])


def test_a_partition_that_is_removed_is_forgotten_and_its_answer_dropped() -> None:
    bench = Bench()
    gone, kept = bench.add(0, Role()), Role()
    bench.answer()
    bench.add(1, kept)
    bench.answer()
    bench.fetcher.remove(ID, 0)
    bench.answer(records(0, 4), records(1, 4))
    assert gone.taken == [] and len(kept.taken) == 1
    assert bench.last == (9, 3, [(1, 4)], [0])
    assert gone.partition.on_flushed_as_follower is None


def test_what_is_being_flushed_is_not_asked_for_until_it_is() -> None:
    """`flush.before.ack`: a fetch offset is a promise."""
    bench = Bench()
    role = bench.add(0, Role())
    bench.add(1, Role())
    bench.answer()
    role.at = None
    bench.answer(records(0, 4))
    assert bench.last == (9, 2, [], [0])
    role.at = Position(3, 4, 3, 0, 0)
    role.partition.on_flushed_as_follower()
    bench.answer()
    assert bench.last == (9, 3, [(0, 4)], [])


def test_a_log_that_cannot_be_written_is_told_of_and_rests() -> None:
    bench = Bench()
    role = bench.add(0, Role())
    role.following = error = StorageError("write", "/x", OSError(28, "full"))
    bench.answer(records(0, 4))
    assert bench.broken == [(role, error)]
    assert bench.told is None


def test_a_bug_in_one_partition_does_not_end_the_others() -> None:
    bench = Bench()
    role, other = bench.add(0, Role()), Role()
    bench.answer()
    bench.add(1, other)
    bench.answer()
    role.following = AssertionError("a bug")
    bench.answer(records(0, 4), records(1, 4))
    assert len(other.taken) == 1
    assert bench.last == (9, 3, [(1, 4)], [0])


def test_a_diverging_epoch_reaches_the_follower() -> None:
    bench = Bench()
    role = bench.add(0, Role(10))
    bench.answer(PartitionData(0, 0, 4, 4, 0, diverging_epoch=EpochEndOffset(2, 6)))
    assert role.taken[0].diverging == (2, 6) and role.taken[0].high_watermark == 4


def test_a_new_term_wakes_a_partition_that_rests() -> None:
    bench = Bench()
    role = bench.add(0, Role())
    role.following = Next.BACK_OFF
    bench.answer(PartitionData(0, ErrorCode.FENCED_LEADER_EPOCH))
    assert bench.told is None
    bench.add(0, Role(2))
    assert bench.last[2] == [(0, 2)]
    assert bench.timers[0].is_cancelled


def test_a_closed_fetcher_takes_nothing_more() -> None:
    bench = Bench()
    role = bench.add(0, Role())
    bench.fetcher.close()
    bench.answer(records(0, 4))
    assert role.taken == [] and bench.told is None and len(bench.fetcher) == 0


def test_a_partition_that_is_throttled_rests_unless_it_is_in_sync() -> None:
    bench = Bench()
    moved, other, in_sync = bench.add(0, Role()), bench.add(1, Role()), bench.add(2, Role())
    clock = ManualClock()
    moved.throttle = in_sync.throttle = Throttle(clock, lambda: ThrottleLimits(10, 2, 1))
    in_sync.partition.in_sync_replicas = [1, 2]
    bench.answer()
    bench.answer(records(0, 11), records(1, 11), records(2, 11))
    assert bench.last == (9, 2, [(1, 11), (2, 11)], [0])
    bench.ring()
    bench.answer(records(1, 1))
    assert bench.last == (9, 3, [(1, 12)], []), "still"
    clock.advance(2000)
    bench.ring()
    bench.answer(records(1, 1))
    assert bench.last == (9, 4, [(0, 11), (1, 13)], [])
    assert len(other.taken) == 3


def test_rests_grow_from_a_short_one_to_the_setting_and_begin_anew_after_an_answer() -> None:
    bench = Bench()
    role = bench.add(0, Role())
    for _ in range(7):
        bench.fail()
        bench.ring()
    assert bench.rests_ms == [50, 100, 200, 400, 800, 1000, 1000]
    bench.answer(records(0, 10))
    bench.fail()
    assert bench.rests_ms[-1] == 50
    bench.ring()
    role.following = Next.BACK_OFF
    bench.rests_ms.clear()
    for _ in range(3):
        bench.answer(records(0, 10))
        bench.ring()
    assert bench.rests_ms == [50, 100, 200]
    bench.add(0, role)
    bench.answer(records(0, 10))
    assert bench.rests_ms[-1] == 50, "another leader epoch is another matter"


def test_a_leader_that_refuses_again_and_again_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.add(0, Role())
    for _ in range(3):
        bench.answer(code=ErrorCode.NOT_LEADER_OR_FOLLOWER)
        bench.ring()
    assert len(caplog.messages) == 1
    bench.answer(records(0, 10))
    bench.answer(code=ErrorCode.NOT_LEADER_OR_FOLLOWER)
    assert len(caplog.messages) == 2
