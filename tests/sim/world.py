"""A cluster, its clients and what may befall them, on one timeline; looked at after every step.

`World` has the brokers' machines, the network, the shared store, the clients and the model. `step` lets one thing
happen and holds every replica against the model. What can be done to it is in `faults`.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from dataclasses import dataclass

from tests.sim.broker import CLUSTER_ID, Broker, Machine
from tests.sim.clients import TOPIC, Admin, Consumer, Producer
from tests.sim.group_model import GroupModel
from tests.sim.groups import Copier, Follower, Member
from tests.sim.model import Model
from tests.sim.network import SimNetwork
from tests.sim.store import SharedStore
from tests.sim.timeline import Timeline
from tests.sim.transaction_model import TransactionModel
from tests.sim.transactions import TOPIC as TRANSACTIONS_TOPIC
from tests.sim.transactions import CommittedReader, TransactionalProducer, committed_by_markers

from tailrace.base.errors import ConfigError, TailraceError
from tailrace.base.types import TopicPartition
from tailrace.cluster.image import MetadataDelta, PartitionImage
from tailrace.cluster.records import ClusterRecord
from tailrace.records.batch import RecordBatch, iter_whole_batches
from tailrace.replication.partition import Partition

FOLLOWERS, COPIERS = "f", "g"
"""The groups."""
RESTART_AGAIN_MS = 1000.0
READ_MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class Shape:
    """What is simulated, besides what befalls it."""

    brokers: int = 3
    replicas: int = 3
    partitions: int = 2
    min_isr: int = 2
    batches: int = 20
    """That each producer sends."""
    has_acks_1: bool = True
    is_unclean: bool = False
    """Whether anybody may be elected (`unclean.leader.election.enable`). Then nobody reads, and records may be lost."""
    transactions: int = 0
    """That each of two transactional producers makes; 0: there are none."""
    members: int = 0
    """Of each of two groups: one commits offsets, the other copies records in transactions."""

    @property
    def settings(self) -> dict[str, str]:
        """Of each broker: internal topics are as safe as the others."""
        return {
            "min.insync.replicas": str(self.min_isr),
            "offsets.topic.replication.factor": str(self.replicas),
            "transaction.state.log.replication.factor": str(self.replicas),
            "transaction.state.log.min.isr": str(self.min_isr),
            **({"request.timeout.ms": "5000"} if self.transactions else {}),
        }


class World:
    """Everything."""

    def __init__(self, seed: int, shape: Shape) -> None:
        self.shape = shape
        self.timeline = Timeline(seed)
        self.network = SimNetwork(self.timeline)
        self.shared = SharedStore(self.timeline, self.network)
        self.shared.log.append(0, [ClusterRecord(CLUSTER_ID)])
        self.shared.on_change = self._on_change
        self.model = Model()
        self.machines = {each: Machine(each, self.timeline, shape.settings) for each in range(1, shape.brokers + 1)}
        self.uncertain: set[int] = set()
        """Brokers that ended uncleanly and were not started since: the metadata may count on what they have lost."""
        self.without_power: set[int] = set()
        """Those of them that lost what was not synced."""
        self.wished: dict[TopicPartition, set[int]] = {}
        """Partition -> where it was last asked to be, perhaps in vain."""
        self.is_forgiven = False
        """Whether it came to be that nobody who lost nothing is counted on any more: then records may be lost."""
        self.story: list[str] = []
        self.unclean_elections = 0
        self.ends = 0
        self.producers: list[Producer] = []
        self.consumers: list[Consumer] = []
        self.groups = GroupModel(self.model)
        self.transactions = TransactionModel(self.model, self.groups)
        self.members: list[Member] = []
        self.transactional: list[TransactionalProducer] = []
        for node_id in self.machines:
            self.start(node_id)
        self.admin = admin = Admin("admin", self.network, list(self.machines), self.model)
        if shape.transactions:
            admin.topics = (TOPIC, TRANSACTIONS_TOPIC)
        configs = {
            "min.insync.replicas": str(shape.min_isr),
            "unclean.leader.election.enable": str(shape.is_unclean).lower(),
        }
        admin.create(shape.partitions, shape.replicas, configs, self._start_clients)

    def _start_clients(self) -> None:
        node_ids, shape = list(self.machines), self.shape
        for index in range(shape.partitions):
            producer = Producer(f"p{index}", self.network, node_ids, self.model)
            producer.pause_ms *= 4 if shape.members else 1  # so that groups have something to do all the time
            producer.start(index, -1, -1 if shape.is_unclean else 1000 + index, shape.batches)
            self.producers.append(producer)
            if not shape.is_unclean:
                consumer = Consumer(f"c{index}", self.network, node_ids, self.model)
                consumer.start(index)
                self.consumers.append(consumer)
        if shape.has_acks_1:
            careless = Producer("q0", self.network, node_ids, self.model)
            careless.start(0, 1, -1, shape.batches)
            self.producers.append(careless)
        if shape.transactions:
            for index in range(2):
                self.begin_transactional(f"x{index}", shape.transactions)
            for index in range(shape.partitions):
                reader = CommittedReader(f"d{index}", self.network, node_ids, self.model)
                reader.read(TopicPartition(TRANSACTIONS_TOPIC, index), self.transactions)
                self.consumers.append(reader)
        for _ in range(shape.members):
            self.begin_member(FOLLOWERS)
            self.begin_member(COPIERS)

    def begin_member(self, group_id: str) -> Member:
        """One more member of a group."""
        name = f"{group_id}{len(self.members)}"
        member: Member
        if group_id == COPIERS:
            member = copier = Copier(name, self.network, list(self.machines), self.model)
            copier.copy(group_id, self.groups, (f"{name}-id", self.transactions))
        else:
            member = Follower(name, self.network, list(self.machines), self.model)
            member.join(group_id, self.groups)
        self.members.append(member)
        return member

    def begin_transactional(self, transactional_id: str, count: int) -> TransactionalProducer:
        """One more producer of an id, which fences the others."""
        name = f"{transactional_id}{'abcdefgh'[len(self.transactional) % 8]}"
        producer = TransactionalProducer(name, self.network, list(self.machines), self.model)
        producer.start(transactional_id, self.transactions, count)
        self.transactional.append(producer)
        return producer

    def close(self) -> None:
        """Let go of everything that runs."""
        for each in (*self.brokers, self.admin, *self.producers, *self.consumers, *self.transactional, *self.members):
            each.process.kill()

    # -- brokers ---------------------------------------------------------------------------------------------------

    @property
    def brokers(self) -> Iterator[Broker]:
        """Those that run, paused or not."""
        return (each.broker for each in self.machines.values() if each.broker is not None)

    def start(self, node_id: int) -> None:
        """Start a broker where none runs; where it cannot be, again after a while."""
        machine = self.machines[node_id]
        if machine.broker is not None and machine.broker.process.is_alive:
            if machine.broker.is_stopping:
                self.timeline.at(RESTART_AGAIN_MS, lambda: self.start(node_id))
            return
        try:
            machine.broker = Broker(machine, self.network, self.shared)
        except ConfigError:
            raise
        except TailraceError as error:
            machine.broker = None
            self.tell(f"broker {node_id} cannot start: {error}")
            self.timeline.at(RESTART_AGAIN_MS, lambda: self.start(node_id))
        else:
            self.uncertain.discard(node_id)
            self.without_power.discard(node_id)

    def end(self, node_id: int, *, loses_power: bool) -> None:
        """Kill a broker, or cut its power."""
        broker = self.machines[node_id].broker
        assert broker is not None
        self.ends += 1
        self.uncertain.add(node_id)
        if loses_power:
            self.without_power.add(node_id)
            broker.lose_power()
        else:
            broker.kill()
        self.machines[node_id].broker = None

    def may_end(self, node_id: int, *, loses_power: bool) -> bool:
        """Whether what is committed must survive the unclean end of a broker.

        Others must be in sync or eligible that did not end so themselves. Or else it keeps its disk and is the last
        leader: then it is waited for.
        """
        for at, partition in self.partitions().items():
            others = {*partition.isr, *partition.elr} - self.uncertain - {node_id}
            others &= self.wished.get(at, others)
            last = partition.leader if partition.leader >= 0 else partition.last_known_leader
            waits = last == node_id and {*partition.isr, *partition.elr} <= {node_id}  # for it, and elects nobody else
            if not others and (loses_power or not waits) and node_id in partition.replicas:
                return False
        return True

    def may_move(self, at: TopicPartition, wish: set[int]) -> bool:
        """Whether one of those that are to have a partition has what is committed, for certain."""
        found = self.shared.image.partition(*at)
        return found is not None and bool(wish & {*found.isr, *found.elr} - self.uncertain)

    def partitions(self) -> dict[TopicPartition, PartitionImage]:
        """As the metadata truly has them, in the order in which they were made."""
        topics = self.shared.image.topics
        return {
            TopicPartition(name, index): each for name in topics for index, each in enumerate(topics[name].partitions)
        }

    def tell(self, what: str) -> None:
        """A line of the story."""
        self.story.append(f"{self.timeline.passed_ms / 1000:7.3f} {what}")

    # -- looking ---------------------------------------------------------------------------------------------------

    def step(self) -> bool:
        """Let one thing happen, and look. False once something is wrong, or nothing is left."""
        try:
            if not self.timeline.step():
                return False
        except Exception as error:  # out of a broker: in a process it would end something, here it ends the run
            self.model.complain("".join(traceback.format_exception(error)))
            return False
        for machine in self.machines.values():
            broker = machine.broker
            if broker is not None and not broker.process.is_alive:  # it stopped by itself
                machine.broker = None
            elif broker is not None and broker.process.has_run:
                broker.process.has_run = False
                for partition in broker.partitions:
                    self._look_at(broker, partition)
                for partition in broker.partitions.followed:
                    self._look_at(broker, partition)
        return not self.model.complaints and not self.is_forgiven

    def _look_at(self, broker: Broker, partition: Partition) -> None:
        log = partition.log
        at = partition.topic_partition
        if partition.is_leader and self.model.leaders.get((at, partition.leader_epoch)) != broker.node_id:
            self.model.on_leader(at, partition.leader_epoch, broker.node_id)
            self._look_at_new_leader(broker, partition)
        high_watermark = log.high_watermark
        checked = broker.checked.get(partition, 0)
        if high_watermark > checked:
            for offset, value in records_of(partition, checked, high_watermark):
                self.model.on_committed(at, broker.node_id, offset, value)
            broker.checked[partition] = high_watermark
        elif high_watermark < checked and self.shape.is_unclean:
            broker.checked[partition] = high_watermark
        elif high_watermark < checked or log.log_end_offset < high_watermark:
            name = f"{at} at broker {broker.node_id}"
            self.model.complain(
                f"the high watermark of {name} went back from {checked} to {high_watermark}, end {log.log_end_offset}"
            )

    def _look_at_new_leader(self, broker: Broker, partition: Partition) -> None:
        """It has everything that is committed, unless it only believes to lead and others have led since."""
        at = partition.topic_partition
        image = self.shared.image.partition(*at)
        if image is None or partition.leader_epoch != image.leader_epoch:
            return
        held = dict(records_of(partition, 0, partition.log_end_offset))
        if self.shape.is_unclean and image.is_recovering:
            self.model.lose(at, held)
        missing = [offset for offset, value in self.model.committed[at].items() if held.get(offset) != value]
        if missing:
            who = f"broker {broker.node_id} leads {at}, epoch {partition.leader_epoch}"
            self.model.complain(f"{who}, without the committed {missing}")

    def _on_change(self, delta: MetadataDelta) -> None:
        for topic_partition in delta.partitions_changed:
            found = self.shared.image.partition(*topic_partition)
            assert found is not None
            self._look_at_change(topic_partition, found)

    def _look_at_change(self, at: TopicPartition, now: PartitionImage) -> None:
        recovering = ", recovering" if now.is_recovering else ""
        moving = f", moving from {now.replicas} to {now.target_replicas}" if now.is_moving else ""
        state = f"isr {now.isr}, elr {now.elr}{recovering}{moving}"
        self.tell(f"{at}: leader {now.leader} epoch {now.leader_epoch}, {state}")
        self.unclean_elections += now.is_recovering and now.leader >= 0
        self._look_whether_forgiven(now)
        if not {*now.isr, *now.elr} <= set(now.replicas):
            self.model.complain(f"{at} has others in sync than its replicas")
        if not now.isr and not now.elr and now.last_known_leader < 0:
            self.model.complain(f"{at}: nobody is in sync or eligible, nor known to have led")
        if now.leader >= 0 and now.leader not in now.isr:
            self.model.complain(f"{at}: its leader {now.leader} is not in sync")
        if self.shape.is_unclean and now.is_recovering:
            return  # what is committed is known when it leads
        end = max(self.model.committed[at], default=-1) + 1
        for node_id in now.isr:
            broker = self.machines[node_id].broker
            replica = None if broker is None else broker.replica(at)
            if replica is not None and replica.log_end_offset < end:
                has = f"{replica.log_end_offset} of {end} committed records"
                self.model.complain(f"broker {node_id} is in sync for {at}, with {has}")

    def _look_whether_forgiven(self, now: PartitionImage) -> None:
        """With `min.insync.replicas=1` a broker that is fenced leaves the in-sync ones to others that may
        have lost their power a moment ago, which nobody can know yet. With 2 it stays eligible."""
        counted_on = {*now.isr, *now.elr}
        if self.shape.min_isr == 1 and counted_on and counted_on <= self.without_power:
            self.is_forgiven = True
            self.tell("only brokers without power are counted on: the end of what is promised")

    @property
    def is_settled(self) -> bool:
        """Whether everybody has everything, and every client is done."""
        if not self.producers or not all(each.is_done for each in (*self.producers, *self.transactional)):
            return False
        positions = {each.at: each.position for each in self.consumers}
        for at, image in self.partitions().items():
            if set(image.isr) != set(image.replicas) or image.is_moving:
                return False
            held = [each.replica(at) for each in self.brokers if each.node_id in image.replicas]
            if any(each.replica(at) for each in self.brokers if each.node_id not in image.replicas):
                return False
            ends = {(None if each is None else (each.high_watermark, each.log_end_offset)) for each in held}
            if at in positions:
                ends.add((positions[at], positions[at]))
            if len(held) != len(image.replicas) or len(ends) != 1 or None in ends:
                return False
        return not self.members or self._is_read_by_groups()

    def _is_read_by_groups(self) -> bool:
        for at in self.partitions():
            if at.topic == TOPIC:
                end = max(self.model.committed[at], default=-1) + 1
                if self.groups.floors[FOLLOWERS, at] != end or len(self.groups.copied[at]) != end:
                    return False
        return True

    def judge(self) -> int:
        """After everything has settled: the replicas are equal and hold what was promised. Answers how many records
        that only their leader had acknowledged were lost."""
        lost = 0
        for at in self.partitions():
            replicas = [found for each in self.brokers if (found := each.replica(at)) is not None]
            contents = {_bytes_of(each) for each in replicas}
            if len(contents) != 1:
                self.model.complain(f"the replicas of {at} are not equal, byte by byte")
            values = [value for _, value in records_of(replicas[0], 0, replicas[0].log_end_offset)]
            lost += self.model.judge(at, values)
        read = [each.at for each in self.consumers if each.isolation_level]
        leaders = {at: next(found for each in self.brokers if (found := each.replica(at)) is not None) for at in read}
        self.transactions.judge({at: committed_by_markers(_batches_of(held)) for at, held in leaders.items()})
        return lost


def records_of(partition: Partition, start: int, end: int) -> Iterator[tuple[int, bytes | None]]:
    """(offset, value) of what a replica holds from `start` to `end`, its markers left out."""
    offset = max(start, partition.log_start_offset)
    while offset < end:
        found = partition.log.read(offset, READ_MAX_BYTES, end, True)
        if not found.size:
            return
        for batch in iter_whole_batches(memoryview(partition.log.read_bytes(found))):
            for record in batch.records():
                if start <= record.offset < end:
                    yield record.offset, record.value
            offset = batch.next_offset


def _bytes_of(partition: Partition) -> bytes:
    return b"".join(bytes(batch.view) for batch in _batches_of(partition))


def _batches_of(partition: Partition) -> Iterator[RecordBatch]:
    log = partition.log
    offset = log.log_start_offset
    while offset < log.log_end_offset:
        found = log.read(offset, READ_MAX_BYTES, log.log_end_offset, True)
        for batch in iter_whole_batches(memoryview(log.read_bytes(found))):
            offset = batch.next_offset
            yield batch


class BugsLogged(logging.Handler):
    """What the brokers logged as a bug of theirs, while it is attached."""

    def __init__(self, model: Model) -> None:
        super().__init__(logging.ERROR)
        self._model = model

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info or record.levelno >= logging.CRITICAL:
            self._model.complain(f"logged: {logging.Formatter().format(record)}")
        elif "committed records are lost" in record.msg and isinstance(record.args, tuple):
            self._model.lost_as_logged += int(str(record.args[1]))
