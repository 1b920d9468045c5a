"""One partition on several brokers, in one process: real logs and roles, a network and a controller that do one thing
when told to. For tests that say, or draw, what happens when.

Between brokers everything is a message that lies in `Replicas.flying` until it is delivered or dropped: a fetch, its
answer, a proposal of other in-sync replicas, and the metadata on its way to a broker.
`committed` is what some leader has called committed: offset -> value. `check` holds the world against it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from tests.support.log_support import batch_of, environment, read_batches

from tailrace.base.clock import ManualClock
from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.types import TopicPartition
from tailrace.cluster.alter_partition import AlterPartition, decide_alter_partition
from tailrace.cluster.elections import (
    ElectionRules,
    Elections,
    decide_broker_leaves,
    decide_broker_returns,
    decide_preferred,
    decide_records_lost,
)
from tailrace.cluster.image import MetadataImage, PartitionImage
from tailrace.cluster.records import PartitionRecord, Record, TopicRecord
from tailrace.log.config import LogConfig
from tailrace.log.log import Log
from tailrace.log.recovery import KnownOffsets
from tailrace.replication.follower_reads import Follower, check_follower, diverging_epoch, read_for_follower
from tailrace.replication.follower_role import FollowerRole, LeaderAnswer, Next, Position
from tailrace.replication.leader_role import LeaderRole
from tailrace.replication.partition import Partition
from tailrace.replication.ports import ReplicationEnvironment, Told
from tailrace.replication.traffic import TopicTraffic

ID = UUID(int=11)
TOPIC = TopicPartition("t", 0)
LAG_MAX_MS = 1000
MAX_BYTES = 400
"""Of a fetch: a few batches."""


class Message(NamedTuple):
    """Something on its way. `deliver` runs at the receiver, if it is up."""

    kind: str
    sender: int
    receiver: int
    deliver: Callable[[], object]


class Node:
    """One broker's replica."""

    def __init__(self, replicas: Replicas, node_id: int, directory: Path) -> None:
        self.replicas = replicas
        self.node_id = node_id
        self.directory = directory
        self.broker_epoch = 1
        self.is_up = True
        self.image: PartitionImage | None = None
        self.epochs_seen: dict[int, int] = {}
        self.follower: FollowerRole | None = None
        self.fetch: Message | None = None
        """The fetch or answer in flight: a follower has one at a time."""
        self.env = ReplicationEnvironment(
            node_id,
            replicas.clock,
            self,
            self._active_epoch,
            lambda topic: replicas.rules.min_insync_replicas,
            lambda: LAG_MAX_MS,
        )
        self.partition = self._open(0)

    def _active_epoch(self, broker: int) -> int | None:
        return self.replicas.active.get(broker)

    def _open(self, high_watermark: int) -> Partition:
        env = environment(clock=self.replicas.clock)
        log = Log.open(self.directory, TOPIC, LogConfig(segment_bytes=1000), env, KnownOffsets(), was_clean=False)
        log.high_watermark = min(high_watermark, log.log_end_offset)
        partition = Partition(log, ID, -1, [])
        partition.traffic = TopicTraffic()
        return partition

    def on_image(self, image: PartitionImage) -> None:
        """The metadata as it was at some time, never an older one than before."""
        if self.image is not None and image.partition_epoch <= self.image.partition_epoch:
            return
        self.image = image
        partition = self.partition
        if image.leader == self.node_id:
            self.follower = None
            partition.lead(image, lambda: LeaderRole(self.env, TOPIC, ID, image, partition.log_end_offset))
            self.replicas.note_committed(self)
        else:
            before = partition.leader_epoch
            partition.follow(image)
            if self.follower is None or before != image.leader_epoch:
                self.follower = FollowerRole(partition)

    def alter_partition(self, asked: AlterPartition, told: Told) -> None:
        """PartitionChanges: the proposal leaves for the controller."""
        self.replicas.send("proposal", self.node_id, 0, lambda: self.replicas.decide(self, asked, told))

    def produce(self, value: bytes, *, is_acks_all: bool = True) -> bool:
        """As a client with acks=all, or 1; False where it is refused."""
        try:
            if self.partition.followers is not None and is_acks_all:
                self.partition.followers.check_enough_replicas()
            self.partition.append(batch_of(value=value))
        except KafkaError:
            return False
        self.replicas.note_committed(self)
        return True

    def send_fetch(self) -> None:
        """Ask the leader, if there is one and nothing is on its way."""
        leader = self.partition.leader_id
        if self.follower is None or leader < 0 or (self.fetch is not None and self.fetch in self.replicas.flying):
            return
        asked, role = self.follower.position(), self.follower
        assert asked is not None
        me = Follower(self.node_id, self.broker_epoch)

        def deliver() -> None:
            self.replicas.nodes[leader].serve(me, asked, lambda answer: self._on_answer(role, answer, asked))

        self.fetch = self.replicas.send("fetch", self.node_id, leader, deliver)

    def serve(self, follower: Follower, asked: Position, answer: Callable[[LeaderAnswer], object]) -> None:
        """Answer a fetch, as the request handler does."""
        partition = self.partition
        nothing = memoryview(b"")
        try:
            if not partition.is_leader:
                raise KafkaError(ErrorCode.NOT_LEADER_OR_FOLLOWER)
            partition.check_leader_epoch(asked.leader_epoch)
            check_follower(partition, follower)
            diverging = diverging_epoch(partition, asked.last_fetched_epoch, asked.fetch_offset)
            data = nothing
            if diverging is None:
                at = (asked.fetch_offset, asked.log_start_offset)
                found = read_for_follower(partition, follower, at, MAX_BYTES, min_one_batch=True)
                data = memoryview(partition.log.read_bytes(found))
                self.replicas.note_committed(self)
            told = LeaderAnswer(0, partition.high_watermark, partition.log_start_offset, diverging, data)
        except KafkaError as error:
            told = LeaderAnswer(error.code, -1, partition.log_start_offset, None, nothing)
        receiver = self.replicas.nodes[follower.broker_id]
        receiver.fetch = self.replicas.send("answer", self.node_id, follower.broker_id, lambda: answer(told))

    def _on_answer(self, role: FollowerRole, answer: LeaderAnswer, asked: Position) -> None:
        if self.follower is role:
            self.take(answer, asked)

    def take(self, answer: LeaderAnswer, asked: Position) -> Next:
        """What a follower does with its leader's answer. Tests of other rules put theirs here."""
        assert self.follower is not None
        before = self.partition.high_watermark
        following = self.follower.take(answer, asked)
        assert self.partition.high_watermark >= before or self.follower.lost_count, "the high watermark went back"
        return following

    def crash(self, kept: int, high_watermark: int) -> None:
        """Die; of the log `kept` records survive, and a high watermark that was checkpointed some time before."""
        self.is_up = False
        self.partition.end(ErrorCode.NOT_LEADER_OR_FOLLOWER)
        self.partition.log.abandon()
        self.replicas.drop(lambda message: self.node_id in (message.sender, message.receiver))
        self.partition = self._open(high_watermark)
        self.partition.log.truncate_to(kept)

    def start(self) -> None:
        """Come back in another life; the metadata is on its way."""
        self.is_up = True
        self.image = self.follower = self.fetch = None
        self.broker_epoch += 1

    def values(self) -> dict[int, bytes | None]:
        """Offset -> value of what its log holds."""
        return {r.offset: r.value for batch in read_batches(self.partition.log) for r in batch.records()}


class Replicas:
    """The world. Nothing happens in it by itself."""

    def __init__(
        self, directory: Path, count: int, min_insync_replicas: int = 1, node_class: type[Node] = Node
    ) -> None:
        self.clock = ManualClock()
        self.rules = ElectionRules(min_insync_replicas)
        self.flying: list[Message] = []
        self.committed: dict[int, bytes | None] = {}
        self.forgiven = 0
        """Unclean elections: what they cost is taken out of `committed`."""
        self.active = dict.fromkeys(range(1, count + 1), 1)
        self.nodes = {each: node_class(self, each, directory / str(each)) for each in self.active}
        self.image = MetadataImage()
        ids = tuple(self.nodes)
        self.commit([TopicRecord("t", ID), PartitionRecord(ID, 0, ids[0], 0, ids, ids, 0)])

    @property
    def partition(self) -> PartitionImage:
        """As the controller has it."""
        return self.image.topics["t"].partitions[0]

    def leader(self) -> Node | None:
        """Who leads, as the controller has it."""
        return self.nodes.get(self.partition.leader)

    # -- messages --------------------------------------------------------------------------------------------------

    def send(self, kind: str, sender: int, receiver: int, deliver: Callable[[], object]) -> Message:
        """Put a message on its way."""
        message = Message(kind, sender, receiver, deliver)
        self.flying.append(message)
        return message

    def deliver(self, message: Message) -> None:
        """Let it arrive; at a broker that is down it is lost."""
        self.flying.remove(message)
        if message.receiver == 0 or self.nodes[message.receiver].is_up:
            message.deliver()

    def drop(self, is_lost: Callable[[Message], bool]) -> None:
        """Lose messages. Proposals that a broker sent before it died may still be decided."""
        self.flying = [each for each in self.flying if each.kind == "proposal" or not is_lost(each)]

    def deliver_all(self, *kinds: str) -> None:
        """Let everything arrive that is on its way, and what follows from it; only of these kinds, where some are
        named."""
        while True:
            message = next((each for each in self.flying if not kinds or each.kind in kinds), None)
            if message is None:
                return
            self.deliver(message)

    # -- the controller --------------------------------------------------------------------------------------------

    def commit(self, records: list[Record]) -> None:
        """Change the metadata, and tell everybody of it."""
        self.image.replay(records, self.image.version + 1)
        self.tell_all()

    def tell_all(self) -> None:
        """Put the metadata on its way to everybody."""
        for node in self.nodes.values():
            image = self.partition
            self.send("metadata", 0, node.node_id, lambda node=node, image=image: node.on_image(image))  # type: ignore[misc]

    def decide(self, node: Node, asked: AlterPartition, told: Told) -> None:
        """What becomes of a leader's proposal. A leader that has died since hears nothing."""
        code = None
        try:
            self.commit(list(decide_alter_partition(self.image, asked, self.active, self.rules)))
        except KafkaError as error:
            code = error.code
        self.send("decision", 0, node.node_id, lambda: told(code))

    def fence(self, broker: int) -> None:
        """The controller hears no more of a broker, whether it is down or not."""
        self.active.pop(broker, None)
        self._take(decide_broker_leaves(self.image, broker, self.active, lambda _: self.rules))

    def unfence(self, broker: int, *, was_clean: bool = True, was_missed: bool = True) -> None:
        """A broker is registered (again), in its present life."""
        if broker in self.active and was_missed:
            self.fence(broker)
        if not was_clean:
            self._take(decide_records_lost(self.image, broker, self.active, lambda _: self.rules))
        self.active[broker] = self.nodes[broker].broker_epoch
        self._take(decide_broker_returns(self.image, broker, self.active, lambda _: self.rules))
        self.tell_all()

    def prefer(self) -> None:
        """Let the first replica lead, if it can."""
        self._take(Elections(decide_preferred(self.image, self.active), []))

    def _take(self, elections: Elections) -> None:
        if elections.records:
            self.commit(list(elections.records))
        if elections.unclean:
            leader = self.leader()
            assert leader is not None
            held = leader.values()
            self.forgiven += 1
            self.committed = {at: value for at, value in self.committed.items() if held.get(at) == value}

    # -- what must hold --------------------------------------------------------------------------------------------

    def note_committed(self, node: Node) -> None:
        """A leader calls everything below its high watermark committed; that holds for good."""
        log = node.partition.log
        if log.high_watermark - 1 in self.committed or log.high_watermark == 0:
            return
        for offset, value in node.values().items():
            if offset < log.high_watermark:
                known = self.committed.setdefault(offset, value)
                assert known == value, f"offset {offset} is committed as {known!r} and as {value!r} by {node.node_id}"

    def settle(self, rounds: int = 12) -> None:
        """Let everybody who is up hear everything and fetch until nothing changes any more."""
        for _ in range(rounds):
            self.deliver_all()
            for node in self.nodes.values():
                if node.is_up:
                    node.send_fetch()
        self.deliver_all()

    def check_committed_here(self) -> None:
        """Whoever is in sync and up to date has everything committed: it may be called to lead."""
        for broker in self.partition.isr or self.partition.elr:
            node = self.nodes[broker]
            if node.is_up and node.broker_epoch == self.active.get(broker):
                held = node.values()
                missing = [offset for offset, value in self.committed.items() if held.get(offset) != value]
                assert not missing, f"{broker} is in sync, and lacks the committed {missing}"

    def check(self) -> None:
        """Everything committed is in the leader's log, and every log agrees with it below its high watermark."""
        leader = self.leader()
        if leader is None or not leader.is_up:
            return
        held = leader.values()
        start_offset = leader.partition.log_start_offset
        for offset, value in self.committed.items():
            assert offset < start_offset or held.get(offset) == value, (
                f"committed record {offset} {value!r} is {held.get(offset)!r}"
            )
        for node in self.nodes.values():
            for offset, value in node.values().items():
                if offset < node.partition.high_watermark:
                    assert held.get(offset) == value, f"{node.node_id} has {value!r} at {offset}"

    def close(self) -> None:
        """Let go of the files."""
        for node in self.nodes.values():
            node.partition.log.abandon()
