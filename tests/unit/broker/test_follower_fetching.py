"""Fetches of followers: what is looked at, what a leader learns from what is not named, and when a high watermark that
has moved alone is told."""

from __future__ import annotations

from typing import Any

import pytest
from broker_bench import Bench
from tests.support.log_support import batch_of

from tailrace.base.errors import ErrorCode
from tailrace.base.limits import FOLLOWER_HIGH_WATERMARK_DELAY_MS, FOLLOWER_SWEEP_MS
from tailrace.base.pending import Pending
from tailrace.broker.follower_fetching import FollowerFetch
from tailrace.broker.follower_sessions import FollowerPartition
from tailrace.broker.handlers import fetch
from tailrace.cluster.alter_partition import AlterPartition
from tailrace.cluster.image import PartitionImage
from tailrace.replication.leader_role import LeaderRole
from tailrace.replication.partition import Partition
from tailrace.replication.ports import ReplicationEnvironment, Told
from tailrace.wire.messages.fetch import (
    FetchPartition,
    FetchRequest,
    FetchResponse,
    FetchTopic,
    ForgottenTopic,
    ReplicaState,
)

LAG_MAX_MS = 1000
WAIT_MS = 500


class Leader:
    """Broker 1, which leads some partitions that brokers 2 and 3 follow."""

    def __init__(self, bench: Bench, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bench = bench
        self.partitions = bench.topic("t", count)
        self.proposed: list[AlterPartition] = []
        self.read: list[int] = []
        """What was looked at for broker 2 since somebody last asked."""
        self.sessions: dict[int, tuple[int, int]] = {}
        env = ReplicationEnvironment(1, bench.clock, self, lambda broker: 7, lambda topic: 1, lambda: LAG_MAX_MS)
        for partition in self.partitions:
            image = PartitionImage(1, partition.leader_epoch + 1, (1, 2, 3), (1, 2, 3), 5)
            partition.lead(image, lambda it=partition, at=image: self._role(env, it, at))
        one = FollowerFetch._read_one

        def counted(self_: FollowerFetch, entry: FollowerPartition) -> Any:
            if self_._follower.broker_id == 2:
                self.read.append(entry.partition)
            return one(self_, entry)

        monkeypatch.setattr(FollowerFetch, "_read_one", counted)

    def _role(self, env: ReplicationEnvironment, partition: Partition, image: PartitionImage) -> LeaderRole:
        end = partition.log_end_offset
        return LeaderRole(env, partition.topic_partition, partition.topic_id, image, end)

    def alter_partition(self, asked: AlterPartition, told: Told) -> None:
        self.proposed.append(asked)

    def ask(self, broker_id: int, *at: tuple[int, int, int], epoch: int = 7, **more: Any) -> Any:
        """A fetch that names (partition, offset, high watermark that the follower knows) of each."""
        topic_id = self.partitions[0].topic_id
        named = [
            FetchPartition(index, self.partitions[index].leader_epoch, offset, -1, 0, 1 << 20, high_watermark=known)
            for index, offset, known in at
        ]
        session_id, session_epoch = self.sessions.get(broker_id, (0, 0))
        forgotten = [ForgottenTopic(topic_id=topic_id, partitions=more.pop("forgets", []))]
        request = FetchRequest(
            replica_state=ReplicaState(broker_id, epoch),
            max_wait_ms=WAIT_MS,
            min_bytes=1,
            max_bytes=more.pop("max_bytes", 10 << 20),
            session_id=session_id,
            session_epoch=session_epoch,
            topics=[FetchTopic(topic_id=topic_id, partitions=named)] if named else [],
            forgotten_topics_data=forgotten if session_epoch else [],
        )
        self.read.clear()
        answer = fetch.handle(self.bench.services, self.bench.context(1, 18), request)
        if session_epoch:
            self.sessions[broker_id] = session_id, session_epoch + 1
        return answer

    def begin(self, broker_id: int) -> None:
        """The first fetch, which names everything and is answered when the log's start has been waiting for a while;
        and one more, that finds nothing to say."""
        answer = self.ask(broker_id, *((index, 0, 0) for index in range(len(self.partitions))))
        self.bench.advance(FOLLOWER_HIGH_WATERMARK_DELAY_MS + 5)
        self.sessions[broker_id] = answer.value.session_id, 1
        self.ask(broker_id)
        self.bench.advance(WAIT_MS + 5)

    def append(self, index: int, value: bytes = b"v") -> None:
        self.partitions[index].append(memoryview(batch_of(value=value)))
        self.bench.run_soon()


@pytest.fixture
def leader(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Leader:
    made = Leader(bench, 3, monkeypatch)
    for broker_id in (2, 3):
        made.begin(broker_id)
    for broker_id in (2, 3):
        made.ask(broker_id)  # sweeps, and nothing after it for a while
    return made


def told(answer: FetchResponse | Pending[FetchResponse]) -> dict[int, tuple[int, bool]]:
    """partition -> (high watermark, whether there are records)."""
    response = answer.value if isinstance(answer, Pending) else answer
    assert response.error_code == 0
    return {
        data.partition_index: (data.high_watermark, bool(data.records))
        for topic in response.responses
        for data in topic.partitions
        if not data.error_code
    }


def test_only_what_is_named_or_has_news_is_read(leader: Leader) -> None:
    waiting = leader.ask(2)
    assert (leader.read, waiting.done) == ([], False)
    leader.append(1)
    assert (leader.read, told(waiting)) == ([1], {1: (0, True)})
    assert told(leader.ask(2)) == {1: (0, True)}, "who did not take it gets it again"
    leader.append(2)
    waiting = leader.ask(2, (1, 1, 0))
    assert (leader.read, told(waiting)) == ([1, 2], {2: (0, True)}), "what came between two fetches is not forgotten"


def test_a_high_watermark_travels_with_records_or_waits_a_little(leader: Leader) -> None:
    leader.append(0)
    leader.ask(2)
    leader.ask(3)
    third = leader.ask(3, (0, 1, 0))
    second = leader.ask(2, (0, 1, 0))
    assert leader.partitions[0].high_watermark == 1
    leader.bench.run_soon()
    assert not second.done and not third.done
    leader.append(0)
    assert told(third) == {0: (1, True)} == told(second)
    leader.ask(3, (0, 2, 1))
    second = leader.ask(2, (0, 2, 1))
    leader.bench.advance(FOLLOWER_HIGH_WATERMARK_DELAY_MS - 6)
    assert not second.done
    leader.bench.advance(12)
    assert told(second) == {0: (2, False)}
    leader.ask(2, (0, 2, 2))
    leader.bench.advance(FOLLOWER_HIGH_WATERMARK_DELAY_MS + 5)
    assert leader.read == [0], "and is told once"


def test_a_high_watermark_that_was_not_taken_is_told_again(leader: Leader) -> None:
    """The follower says anew where it is, knowing less than it was told: it had thrown the answer away."""
    leader.append(0)
    leader.ask(2)
    leader.ask(3)
    leader.ask(3, (0, 1, 0))
    second = leader.ask(2, (0, 1, 0))
    leader.bench.advance(FOLLOWER_HIGH_WATERMARK_DELAY_MS + 5)
    assert told(second) == {0: (1, False)}
    again = leader.ask(2, (0, 1, 0))
    leader.bench.advance(FOLLOWER_HIGH_WATERMARK_DELAY_MS + 5)
    assert told(again) == {0: (1, False)}
    last = leader.ask(2, (0, 1, 1))
    leader.bench.advance(FOLLOWER_HIGH_WATERMARK_DELAY_MS + 5)
    assert not last.done


def test_who_fetches_and_names_nothing_has_everything(leader: Leader) -> None:
    for _ in range(5):
        leader.ask(2)
        leader.bench.advance(WAIT_MS + 5)
    leader.append(0)
    role = leader.partitions[0].followers
    assert role is not None
    assert role.drop_laggards(leader.partitions[0].log_end_offset) == [3], "2 had everything at its last fetch"
    assert [sorted(asked.isr) for asked in leader.proposed] == [[1, 2]]


def test_one_that_lags_is_not_taken_for_caught_up(leader: Leader) -> None:
    leader.append(0)
    role = leader.partitions[0].followers
    assert role is not None
    for _ in range(5):
        leader.append(0)
        leader.ask(2, (0, 0, 0))
        leader.ask(3, (0, leader.partitions[0].log_end_offset, 0))
        leader.bench.advance(LAG_MAX_MS / 4)
    assert role.drop_laggards(leader.partitions[0].log_end_offset) == [2]


def test_another_life_of_the_broker_says_everything_anew(leader: Leader) -> None:
    leader.ask(2, epoch=8)
    assert sorted(leader.read) == [0, 1, 2]
    assert all(it.followers is not None and it.followers.replicas[2].broker_epoch == 8 for it in leader.partitions)


def test_of_two_fetches_that_wait_the_later_is_told_and_the_earlier_rests(leader: Leader) -> None:
    """A follower that was killed and started again at once: its first life's fetch still waits here."""
    earlier = leader.ask(2)
    del leader.sessions[2]
    later = leader.ask(2, *((index, 0, 0) for index in range(3)), epoch=-1)
    leader.bench.run_soon()
    assert len(leader.read) <= 6, "each looks once"
    assert not earlier.done
    leader.append(1)
    assert told(later)[1] == (0, True)


def test_the_end_of_a_term_is_answered(leader: Leader) -> None:
    partition = leader.partitions[0]
    waiting = leader.ask(2)
    image = PartitionImage(2, partition.leader_epoch + 1, (1, 2, 3), (1, 2, 3), 6)
    partition.follow(image)
    leader.bench.partitions.lead_missing = None
    leader.bench.partitions.add_followed(partition)
    leader.bench.run_soon()
    (data,) = waiting.value.responses[0].partitions
    assert data.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, "no metadata says that another leads it"
    assert leader.ask(2).responses[0].partitions[0].error_code == data.error_code, "until it is forgotten"
    leader.ask(2, forgets=[0])
    assert leader.read == []


def test_a_forgotten_partition_is_watched_no_more(leader: Leader) -> None:
    waiting = leader.ask(2, forgets=[0])
    leader.append(0)
    assert not waiting.done
    assert leader.read == []


def test_a_sweep_finds_where_a_log_starts_now(leader: Leader) -> None:
    for broker_id in (2, 3):
        leader.append(0)
        leader.ask(broker_id)
    for broker_id in (2, 3):
        leader.ask(broker_id, (0, 2, 0))
    assert leader.partitions[0].high_watermark == 2
    leader.ask(2, (0, 2, 2))
    leader.partitions[0].log.advance_log_start_offset(1)  # as retention does
    leader.bench.advance(max(WAIT_MS, FOLLOWER_SWEEP_MS) + 5)
    waiting = leader.ask(2)
    leader.bench.advance(FOLLOWER_HIGH_WATERMARK_DELAY_MS + 5)
    (data,) = waiting.value.responses[0].partitions
    assert data.log_start_offset == 1


def test_those_without_room_go_first_next_time(leader: Leader) -> None:
    for index in range(3):
        leader.append(index, b"x" * 100)
    assert told(leader.ask(2, max_bytes=1)) == {0: (0, True)}
    assert told(leader.ask(2, (0, 1, 0), max_bytes=1)) == {1: (0, True)}
    assert told(leader.ask(2, (1, 1, 0), max_bytes=1)) == {2: (0, True)}


def test_without_room_for_a_session_each_fetch_names_everything(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.services.fetch_sessions.slots = 0
    leader = Leader(bench, 2, monkeypatch)
    leader.append(1)
    answer = leader.ask(2, (0, 0, 0), (1, 0, 0))
    assert (answer.session_id, told(answer)) == (0, {0: (0, False), 1: (0, True)})
    waiting = leader.ask(2, (0, 0, 0), (1, 1, 0))
    leader.append(0)
    assert told(waiting) == {0: (0, True), 1: (0, False)}
    role = leader.partitions[0].followers
    assert role is not None
    assert not role._watches, "nobody is told who does not ask"
