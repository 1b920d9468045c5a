"""Rules of replication, transactions and groups with a mistake, each put into the product while it is asked for.

A simulator that never complains proves nothing: each of these must be found. `python -m tests.sim --mutant NAME` runs
schedules with one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tailrace.base.errors import ErrorCode
from tailrace.base.pending import Pending, completed
from tailrace.broker.follower_fetching import FollowerFetch
from tailrace.cluster import alter_partition, elections
from tailrace.coordinator.consumer_groups.group import ConsumerGroup
from tailrace.coordinator.groups.loading import Remains
from tailrace.coordinator.transactions.coordinator import TransactionCoordinator
from tailrace.coordinator.transactions.markers import Markers
from tailrace.coordinator.transactions.transaction import Transaction
from tailrace.log.log_contents import LogContents
from tailrace.log.producer_state import ProducerStates
from tailrace.node.coordinator_log import CoordinatorLog
from tailrace.replication.follower_role import FollowerRole, LeaderAnswer, Next, Position
from tailrace.replication.leader_role import LeaderRole
from tailrace.replication.partition import Partition

Patch = tuple[Any, str, Any]
"""Whose attribute, which, and what it is instead."""


def _truncates_to_high_watermark() -> list[Patch]:
    """A follower of a new leader cuts its log at its own high watermark, as Kafka did before KIP-101, and never where
    the histories part."""
    follow = Partition.follow

    def followed(self: Partition, image: Any) -> None:
        is_new_term = self.is_leader or image.leader_epoch != self.leader_epoch
        follow(self, image)
        if is_new_term and self.log.high_watermark < self.log.log_end_offset:
            self.log.truncate_to(self.log.high_watermark)
            self.log.leader_epochs.truncate_from_end(self.log.log_end_offset)

    return [
        (Partition, "follow", followed),
        (FollowerFetch, "_diverged", lambda self, partition, entry, data: False),
    ]


def _commits_without_followers() -> list[Patch]:
    """The high watermark follows the leader's own log."""

    def committable(self: LeaderRole, own_offset: int, log_end_offset: int) -> int:
        return -1 if self.is_under_min_isr else own_offset

    return [(LeaderRole, "committable", committable)]


def _ignores_broker_epochs() -> list[Patch]:
    """A replica is called in sync whatever life of its broker has fetched, by its leader and by the decision."""

    def may_be_in_sync(broker: int, epoch: int, active: Mapping[int, int]) -> bool:
        return True

    return [
        (alter_partition, "_may_be_in_sync", may_be_in_sync),
        (LeaderRole, "_is_eligible", lambda self, replica: True),
        (LeaderRole, "check_follower", _known_replica),
    ]


def _known_replica(self: LeaderRole, broker_id: int, broker_epoch: int) -> None:
    assert broker_id in self.replicas


def _ignores_leader_epochs() -> list[Patch]:
    """Nobody who fetches is asked in which epoch it believes, and an answer is taken in whatever epoch."""
    take = FollowerRole.take

    def taken(self: FollowerRole, answer: LeaderAnswer, asked: Position) -> Next:
        return take(self, answer, asked._replace(leader_epoch=self.partition.leader_epoch))

    return [
        (Partition, "check_leader_epoch", lambda self, epoch: None),
        (FollowerFetch, "_diverged", lambda self, partition, entry, data: False),
        (FollowerRole, "take", taken),
    ]


def _acknowledges_at_once() -> list[Patch]:
    """acks=all is answered as acks=1 is."""
    return [(Partition, "must_wait", lambda self, offset, acks: False)]


def _elects_anybody() -> list[Patch]:
    """Whoever is there may lead, in sync or not."""

    def clean_leader(before: Any, elr: Any, active: Mapping[int, int]) -> int:
        if before.leader in active:
            return int(before.leader)
        return next((each for each in before.replicas if each in active), elections.NO_LEADER)

    return [(elections, "_clean_leader", clean_leader)]


def _shows_open_transactions() -> list[Patch]:
    """Whoever reads what is committed sees what lies below the high watermark."""
    return [(Partition, "readable_end", lambda self, isolation: self.high_watermark)]


def _forgets_what_was_aborted() -> list[Patch]:
    """No reader is told of an aborted transaction."""
    return [(LogContents, "aborted_transactions", lambda self, start_offset, end_offset: [])]


def _coordinators_do_not_wait() -> list[Patch]:
    """What a coordinator writes counts as soon as it has written it."""
    append = CoordinatorLog._append

    def appended(
        self: CoordinatorLog, partition: int, records: Any, transaction: Any = None
    ) -> Pending[ErrorCode | None]:
        found = self._partitions.get(self._topic, partition)
        end = ErrorCode.NOT_COORDINATOR if found is None else append(self, found, records, transaction)
        return completed(end if isinstance(end, ErrorCode) else None)

    return [(CoordinatorLog, "append", appended)]


def _fences_nobody() -> list[Patch]:
    """A producer that begins gets the epoch of the one before it, and an abort against a producer's will keeps it."""

    def same_epoch(self: Transaction, timeout_ms: int, now_ms: int, last_epoch: int) -> Transaction:
        return self._emptied(timeout_ms, now_ms)._replace(producer_epoch=max(self.producer_epoch, 0))

    def prepared(self: Transaction, now_ms: int) -> Transaction:
        return self._ending(False, now_ms)._replace(client_version=0)

    return [(Transaction, "with_next_epoch", same_epoch), (Transaction, "prepared_and_fenced", prepared)]


def _tries_markers_once() -> list[Patch]:
    """A marker that could not be written is given up."""
    on_written = Markers._on_written

    def told(self: Markers, shard: Any, transaction: Transaction, remaining: frozenset[Any]) -> None:
        on_written(self, shard, transaction, frozenset())

    return [(Markers, "_on_written", told)]


def _reads_no_log() -> list[Patch]:
    """A coordinator of groups begins with nothing."""
    return [(Remains, "add", lambda self, entry: None)]


def _lets_anybody_commit() -> list[Patch]:
    """Nobody who commits is asked whether he is a member, and in which epoch."""
    return [
        (ConsumerGroup, "check_commit", lambda self, member_id, epoch, places: None),
        (ConsumerGroup, "check_owner", lambda self, member_id, places: None),
    ]


def _waits_for_the_newest_transaction() -> list[Patch]:
    """The last stable offset is the beginning of the open transaction that began last."""

    def newest(self: ProducerStates) -> int | None:
        begun = [*self._ongoing.values(), *(each.first_offset for each in self._unreplicated)]
        return max(begun, default=None)

    return [(ProducerStates, "first_unstable_offset", property(newest))]


def _never_times_out() -> list[Patch]:
    """A transaction whose producer is gone stays open."""
    return [(TransactionCoordinator, "abort_timed_out", lambda self: None)]


OF_TRANSACTIONS: dict[str, Callable[[], list[Patch]]] = {
    "shows-open-transactions": _shows_open_transactions,
    "forgets-what-was-aborted": _forgets_what_was_aborted,
    "coordinators-do-not-wait": _coordinators_do_not_wait,
    "fences-nobody": _fences_nobody,
    "tries-markers-once": _tries_markers_once,
    "reads-no-log": _reads_no_log,
    "lets-anybody-commit": _lets_anybody_commit,
    "waits-for-the-newest-transaction": _waits_for_the_newest_transaction,
    "never-times-out": _never_times_out,
}
"""Those that schedules with transactions and groups find."""

MUTANTS: dict[str, Callable[[], list[Patch]]] = {
    "truncates-to-high-watermark": _truncates_to_high_watermark,
    "commits-without-followers": _commits_without_followers,
    "ignores-broker-epochs": _ignores_broker_epochs,
    "ignores-leader-epochs": _ignores_leader_epochs,
    "acknowledges-at-once": _acknowledges_at_once,
    "elects-anybody": _elects_anybody,
    **OF_TRANSACTIONS,
}


@contextmanager
def mutant(name: str) -> Iterator[None]:
    """The product with this mistake, for a while."""
    patches = [(owner, attribute, getattr(owner, attribute), new) for owner, attribute, new in MUTANTS[name]()]
    for owner, attribute, _, new in patches:
        setattr(owner, attribute, new)
    try:
        yield
    finally:
        for owner, attribute, old, _ in patches:
            setattr(owner, attribute, old)
