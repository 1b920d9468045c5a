"""Rules of replication with a mistake in them, each put into the product while it is asked for.

A simulator that never complains proves nothing: each of these must be found. `python -m tests.sim --mutant NAME` runs
schedules with one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tailrace.broker.follower_fetching import FollowerFetch
from tailrace.cluster import alter_partition, elections
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


MUTANTS: dict[str, Callable[[], list[Patch]]] = {
    "truncates-to-high-watermark": _truncates_to_high_watermark,
    "commits-without-followers": _commits_without_followers,
    "ignores-broker-epochs": _ignores_broker_epochs,
    "ignores-leader-epochs": _ignores_leader_epochs,
    "acknowledges-at-once": _acknowledges_at_once,
    "elects-anybody": _elects_anybody,
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
