"""What a leader knows of its followers: who is in sync, and how far everything is committed.

    high watermark = least log end of the leader and of
        those in sync, those about to be called in sync, and those that keep up and only wait to be called so

It stands still while fewer are in sync than `min.insync.replicas`: so whoever leaves then still has every committed
record (KIP-966). A change of the in-sync replicas is proposed, one at a time, and holds once the metadata says so;
until then both the old and the new ones count.

Invariants: the in-sync replicas are those of the image; at most one proposal in flight; what `committable` answers
never exceeds the log end of a replica in sync.
Not its business: the log, who waits for it, what is decided of a proposal. One owner: its Partition.
Source: Kafka Partition, PartitionState (CommittedPartitionState, PendingPartitionChange).
"""

from __future__ import annotations

from typing import Final, Protocol
from uuid import UUID

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.types import TopicPartition
from tailrace.cluster.alter_partition import AlterPartition
from tailrace.cluster.elections import UNKNOWN_BROKER_EPOCH
from tailrace.cluster.image import PartitionImage
from tailrace.replication.ports import ReplicationEnvironment, Told
from tailrace.replication.remote_replica import NEVER_MS, UNKNOWN, RemoteReplica
from tailrace.replication.throttle import Throttle

_REVERTING: Final = frozenset({ErrorCode.INELIGIBLE_REPLICA, ErrorCode.OPERATION_NOT_ATTEMPTED})
"""Refusals after which nothing has changed, for certain: the proposal is forgotten."""

_AWAITING: Final = frozenset(
    {
        ErrorCode.FENCED_LEADER_EPOCH,
        ErrorCode.INVALID_REQUEST,
        ErrorCode.INVALID_UPDATE_VERSION,
        ErrorCode.NEW_LEADER_ELECTED,
        ErrorCode.UNKNOWN_TOPIC_ID,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    }
)
"""Refusals that say the metadata has moved on: it is on its way here. After any other code the proposal is repeated."""


class FollowerWatch(Protocol):
    """What a follower's session is told of one partition. To be quick: it is told within an append."""

    def on_append(self) -> object:
        """There is something to fetch, or the leader's term is over."""
        ...

    def on_commit(self) -> object:
        """The high watermark has moved."""
        ...


class LeaderRole:
    """The leader's side of one replicated partition, in one leader epoch."""

    __slots__ = (
        "_env",
        "_epoch_start_offset",
        "_image",
        "_maximal",
        "_must_repeat",
        "_proposal",
        "_start_waits",
        "_topic_id",
        "_topic_partition",
        "_watches",
        "is_under_min_isr",
        "isr",
        "replicas",
        "throttle",
    )

    isr: frozenset[int]
    """As the metadata has it."""
    is_under_min_isr: bool
    """Whether fewer are in sync than a write with acks=all needs."""
    throttle: Throttle | None
    """What followers that are out of sync wait for, and all are counted by."""

    def __init__(
        self,
        env: ReplicationEnvironment,
        topic_partition: TopicPartition,
        topic_id: UUID,
        image: PartitionImage,
        log_end_offset: int,
    ) -> None:
        self._env = env
        self._topic_partition = topic_partition
        self._topic_id = topic_id
        self._epoch_start_offset = log_end_offset
        self._proposal: AlterPartition | None = None
        self._must_repeat = False
        self._watches: dict[int, FollowerWatch] = {}
        self._start_waits: list[tuple[int, Told]] = []
        """Who waits until the followers' logs start at an offset, or above."""
        self.replicas: dict[int, RemoteReplica] = {}
        self._image = image
        self.update(image)

    # -- what the metadata says ------------------------------------------------------------------------------------

    def update(self, image: PartitionImage) -> None:
        """The metadata changed within the leader epoch: the in-sync replicas, the replicas, or the topic's settings."""
        self._image = image
        self.isr = frozenset(image.isr)
        if self._proposal is not None and image.partition_epoch > self._proposal.partition_epoch:
            self._proposal = None
            self._must_repeat = False
        now_ms = self._env.clock.monotonic_ms()
        known = self.replicas
        self.replicas = {}
        for broker_id in image.replicas:
            if broker_id != self._env.node_id:
                made = known.get(broker_id) or RemoteReplica(broker_id, now_ms if broker_id in self.isr else NEVER_MS)
                self.replicas[broker_id] = made
        wanted = min(self._env.min_insync_replicas_of(self._topic_partition.topic), len(image.replicas))
        self.is_under_min_isr = len(self.isr) < wanted
        self.throttle = self._env.leader_throttle_of(self._topic_partition)
        self._set_maximal()
        if image.is_recovering and self._proposal is None:  # whoever led before, this log is what there is
            self._propose(self.isr, is_recovering=False)
        self.tell_append()

    def _set_maximal(self) -> None:
        self._maximal = self.isr if self._proposal is None else self.isr.union(self._proposal.isr)

    def check_enough_replicas(self) -> None:
        """Raise NOT_ENOUGH_REPLICAS where a write with acks=all could not be committed."""
        if self.is_under_min_isr:
            raise KafkaError(
                ErrorCode.NOT_ENOUGH_REPLICAS,
                f"{self._topic_partition} has {len(self.isr)} in-sync replicas, {sorted(self.isr)}: "
                "fewer than min.insync.replicas.",
            )

    # -- how far it is committed -----------------------------------------------------------------------------------

    def committable(self, own_offset: int, log_end_offset: int) -> int:
        """How far the high watermark may go, if this replica has everything below `own_offset`; -1: nowhere."""
        if self.is_under_min_isr:
            return -1
        least = own_offset
        for replica in self.replicas.values():
            if replica.log_end_offset < least and (
                replica.broker_id in self._maximal or self._is_joining(replica, log_end_offset)
            ):
                least = replica.log_end_offset
        return least

    def _is_joining(self, replica: RemoteReplica, log_end_offset: int) -> bool:
        """Whether a replica keeps up and may be called in sync: the high watermark waits for it, or it never would."""
        env = self._env
        is_caught_up = replica.is_caught_up(log_end_offset, env.clock.monotonic_ms(), env.lag_max_ms())
        return is_caught_up and self._is_eligible(replica)

    def _is_eligible(self, replica: RemoteReplica) -> bool:
        epoch = self._env.broker_epoch_of(replica.broker_id)
        return epoch is not None and replica.broker_epoch in (UNKNOWN_BROKER_EPOCH, epoch)

    def is_high_watermark_known(self, high_watermark: int) -> bool:
        """Whether the high watermark has reached where this leader's term began: until then more may be committed than
        it knows of, and nobody is told where the committed records end (KIP-207)."""
        return high_watermark >= self._epoch_start_offset

    # -- followers -------------------------------------------------------------------------------------------------

    def check_follower(self, broker_id: int, broker_epoch: int) -> None:
        """Raise NOT_LEADER_OR_FOLLOWER where a fetch is of no replica, or of an earlier life of its broker."""
        replica = self.replicas.get(broker_id)
        if replica is None:
            message = f"Broker {broker_id} holds no replica of {self._topic_partition}."
            raise KafkaError(ErrorCode.NOT_LEADER_OR_FOLLOWER, message)
        if 0 <= broker_epoch < replica.broker_epoch:
            message = f"Broker {broker_id} has been restarted since epoch {broker_epoch}."
            raise KafkaError(ErrorCode.NOT_LEADER_OR_FOLLOWER, message)

    def is_held_back(self, broker_id: int) -> bool:
        """Whether a follower gets nothing now, for it is throttled."""
        return self.throttle is not None and broker_id not in self.isr and self.throttle.is_exceeded()

    def on_fetch(
        self, follower: tuple[int, int], offset: int, log_start_offset: int, log_end_offset: int, high_watermark: int
    ) -> None:
        """`follower` (broker id, its epoch) has everything below `offset`. The caller looks at `committable` next."""
        replica = self.replicas[follower[0]]
        replica.broker_epoch = follower[1]
        replica.on_fetch(offset, log_start_offset, log_end_offset, self._env.clock.monotonic_ms())
        if self._start_waits:
            self._tell_starts()
        if self._must_repeat:
            self._repeat()
        elif self._proposal is None and self._is_to_join(replica, log_end_offset, high_watermark):
            self._propose(self.isr | {replica.broker_id})

    def _is_to_join(self, replica: RemoteReplica, log_end_offset: int, high_watermark: int) -> bool:
        """In sync is who has all that is committed, and the beginning of this leader's term (KAFKA-7128).

        While too few are in sync the high watermark stands still, and having reached it proves nothing: then a replica
        must keep up with the log's end as well, or it would leave again at once (KAFKA-19996).
        """
        if replica.broker_id in self.isr or replica.log_end_offset < max(high_watermark, self._epoch_start_offset):
            return False
        if self.is_under_min_isr:
            return self._is_joining(replica, log_end_offset)
        return self._is_eligible(replica)

    def drop_laggards(self, log_end_offset: int) -> list[int]:
        """Propose to go on without the replicas that did not keep up; answers which. To be called now and then."""
        if self._must_repeat:
            self._repeat()
            return []
        if self._proposal is not None:
            return []
        now_ms = self._env.clock.monotonic_ms()
        lag_max_ms = self._env.lag_max_ms()
        late = [
            replica.broker_id
            for replica in self.replicas.values()
            if replica.broker_id in self.isr and not replica.is_caught_up(log_end_offset, now_ms, lag_max_ms)
        ]
        if late:
            self._propose(self.isr.difference(late))
        return late

    # -- proposals -------------------------------------------------------------------------------------------------

    def _propose(self, isr: frozenset[int], *, is_recovering: bool | None = None) -> None:
        image = self._image
        self._proposal = AlterPartition(
            self._topic_id,
            self._topic_partition.partition,
            self._env.node_id,
            image.leader_epoch,
            image.partition_epoch,
            {each: self._epoch_of(each) for each in sorted(isr)},
            image.is_recovering if is_recovering is None else is_recovering,
        )
        self._set_maximal()
        self._send(self._proposal)

    def _epoch_of(self, broker_id: int) -> int:
        return UNKNOWN_BROKER_EPOCH if broker_id == self._env.node_id else self.replicas[broker_id].broker_epoch

    def _repeat(self) -> None:
        self._must_repeat = False
        assert self._proposal is not None
        self._send(self._proposal)

    def _send(self, proposal: AlterPartition) -> None:
        self._env.changes.alter_partition(proposal, lambda code: self._on_decided(proposal, code))

    def _on_decided(self, proposal: AlterPartition, code: ErrorCode | None) -> None:
        if proposal is not self._proposal or code is None or code in _AWAITING:
            return
        if code in _REVERTING:
            self._proposal = None
            self._set_maximal()
        else:
            self._must_repeat = True

    # -- watching --------------------------------------------------------------------------------------------------

    def watch(self, broker_id: int, watch: FollowerWatch) -> None:
        """Tell `watch` what is new for a follower until `unwatch`. One for each follower: who was there before it is
        told to look, and then no more."""
        former = self._watches.get(broker_id)
        self._watches[broker_id] = watch
        if former is not None and former is not watch:
            former.on_append()

    def unwatch(self, broker_id: int, watch: FollowerWatch) -> None:
        """Undo `watch`; harmless when another one has come in its place."""
        if self._watches.get(broker_id) is watch:
            del self._watches[broker_id]

    def is_watched_by(self, broker_id: int, watch: FollowerWatch) -> bool:
        """Whether `watch` is told what is new for this follower."""
        return self._watches.get(broker_id) is watch

    def tell_append(self) -> None:
        """The log has grown, or everybody has to look again."""
        for watch in list(self._watches.values()):
            watch.on_append()

    def tell_commit(self) -> None:
        """The high watermark has moved."""
        for watch in list(self._watches.values()):
            watch.on_commit()

    def on_silent_fetch(self, broker_id: int, fetched_ms: float) -> None:
        """A follower fetched at `fetched_ms` without naming this partition: it had everything there was then."""
        replica = self.replicas.get(broker_id)
        if replica is not None:
            replica.caught_up_ms = max(replica.caught_up_ms, fetched_ms)

    @property
    def is_settled(self) -> bool:
        """Whether nothing but an append can move anything: all replicas are in sync, and no change of that is asked."""
        return self._proposal is None and len(self.isr) > len(self.replicas)

    # -- where logs start ------------------------------------------------------------------------------------------

    def wait_log_start(self, offset: int, told: Told) -> None:
        """Call `told(None)` once the log of every active follower starts at `offset` or above, perhaps at once, or
        `told(code)` when this broker leads no more."""
        self._start_waits.append((offset, told))
        self._tell_starts()

    def end(self) -> None:
        """The term is over: nobody waits here any more."""
        waits, self._start_waits = self._start_waits, []
        for _, told in waits:
            told(ErrorCode.NOT_LEADER_OR_FOLLOWER)
        self.tell_append()

    def _tell_starts(self) -> None:
        low_watermark = self.low_watermark_of_followers
        if low_watermark is None:
            return
        reached = [told for offset, told in self._start_waits if offset <= low_watermark]
        self._start_waits = [each for each in self._start_waits if each[0] > low_watermark]
        for told in reached:
            told(None)

    @property
    def low_watermark_of_followers(self) -> float | None:
        """The least log start of the followers that are active, infinite without any; None where one has not said."""
        starts = [
            replica.log_start_offset
            for replica in self.replicas.values()
            if self._env.broker_epoch_of(replica.broker_id) is not None
        ]
        return None if UNKNOWN in starts else min(starts, default=float("inf"))
