"""Brokers come, go and crash, and the partition is moved, while leaders shrink and grow their in-sync replicas: what
elections never do.

The model knows which replicas hold every committed record: when something is committed, those in sync have it and the
others lack it from then on, until they are in sync again. An unclean end takes what a broker holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.cluster.alter_partition import AlterPartition, decide_alter_partition
from tailrace.cluster.elections import (
    NO_LEADER,
    ElectionRules,
    Elections,
    decide_broker_leaves,
    decide_broker_returns,
    decide_failover,
    decide_preferred,
    decide_records_lost,
    effective_min_isr,
)
from tailrace.cluster.image import MetadataImage, PartitionImage
from tailrace.cluster.reassignments import ReassignmentWish, decide_reassignment
from tailrace.cluster.records import BrokerRecord, PartitionRecord, Record, TopicRecord

ID = UUID(int=9)
BROKERS = st.integers(1, 4)


class ElectionsModel(RuleBasedStateMachine):
    """One partition of up to three replicas on four brokers."""

    proposals: Bundle[AlterPartition] = Bundle("proposals")

    @initialize(replicas=st.lists(BROKERS, min_size=1, max_size=3, unique=True), min_isr=st.integers(1, 3))
    def begin(self, replicas: list[int], min_isr: int) -> None:
        self.image = MetadataImage()
        self.rules = ElectionRules(min_isr)
        self.epochs = dict.fromkeys(range(1, 5), 1)
        self.active = dict(self.epochs)
        self.whole = set(replicas)
        self.leaders: dict[int, int] = {}
        ids = tuple(replicas)
        brokers = (BrokerRecord(broker, "h", 9092, None) for broker in self.epochs)
        self.replay([*brokers, TopicRecord("t", ID), PartitionRecord(ID, 0, ids[0], 0, ids, ids, 0)])

    def replay(self, records: Sequence[Record]) -> None:
        self.image.replay(records, self.image.version + 1)
        partition = self.partition
        if partition.leader != NO_LEADER:
            assert self.leaders.setdefault(partition.leader_epoch, partition.leader) == partition.leader

    @property
    def partition(self) -> PartitionImage:
        return self.image.topics["t"].partitions[0]

    def take(self, elections: Elections) -> None:
        before = self.partition
        self.replay(list(elections.records))
        if elections.unclean:
            self.whole = {self.partition.leader}  # what it lacks is gone for good
        elif self.partition.leader != before.leader and self.partition.leader != NO_LEADER:
            assert self.partition.leader in self.whole, "a clean election lost committed records"

    @rule(broker=BROKERS)
    def leave(self, broker: int) -> None:
        self.active.pop(broker, None)
        self.take(decide_broker_leaves(self.image, broker, self.active, lambda _: self.rules))

    @rule(broker=BROKERS)
    def crash_and_return(self, broker: int) -> None:
        """An unclean end is noticed when the broker registers again, at the latest."""
        self.leave(broker)
        self.whole.discard(broker)
        self.take(decide_records_lost(self.image, broker, self.active, lambda _: self.rules))
        self.come_back(broker)

    @rule(broker=BROKERS)
    def come_back(self, broker: int) -> None:
        if broker not in self.active:
            self.epochs[broker] += 1
            self.active[broker] = self.epochs[broker]
        self.take(decide_broker_returns(self.image, broker, self.active, lambda _: self.rules))

    @rule()
    def fail_over(self) -> None:
        self.take(decide_failover(self.image, self.active, lambda _: self.rules))

    @rule()
    def prefer(self) -> None:
        self.take(Elections(decide_preferred(self.image, self.active), []))

    @precondition(lambda self: self.partition.leader != NO_LEADER)
    @rule()
    def commit(self) -> None:
        """The leader commits something, if it may: the in-sync replicas have it, the others do not."""
        partition = self.partition
        if len(partition.isr) >= effective_min_isr(partition, self.rules):
            self.whole = set(partition.isr)

    @precondition(lambda self: self.partition.leader != NO_LEADER)
    @rule(target=proposals, wanted=st.sets(BROKERS))
    def propose(self, wanted: set[int]) -> AlterPartition:
        """What the leader thinks now; it may be held against a later image."""
        partition = self.partition
        isr = {each: self.epochs[each] for each in {partition.leader, *wanted} if each in partition.replicas}
        return AlterPartition(
            ID, 0, partition.leader, partition.leader_epoch, partition.partition_epoch, isr, is_recovering=False
        )

    @rule(proposal=proposals)
    def decide(self, proposal: AlterPartition) -> None:
        before = self.partition
        try:
            records = decide_alter_partition(self.image, proposal, self.active, self.rules)
        except KafkaError as error:
            assert error.code in {
                ErrorCode.FENCED_LEADER_EPOCH,
                ErrorCode.INVALID_REQUEST,
                ErrorCode.INVALID_UPDATE_VERSION,
                ErrorCode.INELIGIBLE_REPLICA,
                ErrorCode.NOT_CONTROLLER,
            }
            return
        self.whole |= set(proposal.isr)  # it has fetched up to the high watermark, or would not be proposed
        self.replay(list(records))
        after = self.partition
        if before.is_moving and not after.is_moving:
            assert set(after.replicas) == set(before.target_replicas) <= set(proposal.isr)
            assert after.leader in self.whole, "it arrived where committed records are not"
        else:
            assert after.leader == before.leader and after.leader_epoch == before.leader_epoch
            assert set(after.isr) == set(proposal.isr)

    @rule(wanted=st.none() | st.lists(BROKERS, min_size=1, max_size=3, unique=True))
    def move(self, wanted: list[int] | None) -> None:
        """Somebody wants it on other brokers, or ends that. Where it arrives, or goes back, everything is."""
        before = self.partition
        try:
            records = decide_reassignment(self.image, ReassignmentWish("t", 0, wanted), self.active, self.rules)
        except KafkaError as error:
            assert wanted is None
            assert error.code in {ErrorCode.NO_REASSIGNMENT_IN_PROGRESS, ErrorCode.INVALID_REPLICA_ASSIGNMENT}
            return
        self.replay(records)
        after = self.partition
        if after.leader != before.leader and after.leader != NO_LEADER and not after.is_recovering:
            assert after.leader in self.whole, "a move lost committed records"
        if wanted is None:
            assert not after.is_moving and set(after.replicas) == set(before.replicas) - set(before.adding_replicas)
        else:
            assert set(after.target_replicas) == set(wanted)

    @invariant()
    def replicas_are_where_they_belong(self) -> None:
        if not hasattr(self, "image"):
            return
        partition = self.partition
        assert set(partition.isr) <= set(partition.replicas)
        assert set(partition.elr) <= set(partition.replicas) - set(partition.isr)
        assert partition.leader == NO_LEADER or partition.leader in partition.isr
        assert set(partition.adding_replicas) <= set(partition.target_replicas), "it comes and goes at once"
        assert not partition.is_moving or not set(partition.isr).issuperset(partition.target_replicas), "it has arrived"
        if len(partition.isr) >= effective_min_isr(partition, self.rules):
            assert partition.elr == ()
        assert set(partition.elr) <= self.whole, "an eligible replica lacks committed records"
        may_lead = [each for each in (partition.isr or partition.elr) if each in self.active]
        assert partition.leader != NO_LEADER or not may_lead, "nobody leads, though somebody could"


TestElections = ElectionsModel.TestCase
TestElections.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
