"""Two or three replicas under drawn schedules of crash, cut, reorder, stale metadata and lost page cache.

A seed is a schedule; a failure names it. What must hold after each step: nothing that was committed is ever committed
otherwise, the high watermark never goes back, one leader a leader epoch; and once all are back and have talked:
every committed record is there, all logs agree, everybody is in sync.

The last test is the mistake of early Kafka: a follower that cuts its log to the high watermark, not by epoch. The same
schedules must show that it loses committed records, or they show nothing about the rule that replaced it (KIP-101).
`TAILRACE_REPLICA_SCHEDULES` runs that many instead.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest
from tests.support.replicas import LAG_MAX_MS, Node, Replicas

from tailrace.cluster.image import PartitionImage
from tailrace.replication.follower_role import LeaderAnswer, Next, Position

SCHEDULES = int(os.environ.get("TAILRACE_REPLICA_SCHEDULES", "60"))
STEPS = 300


class Schedule:
    """One seed's story."""

    def __init__(self, replicas: Replicas, seed: int, *, loses_page_cache: bool = True) -> None:
        self.replicas = replicas
        self.random = Random(seed)
        self.loses_page_cache = loses_page_cache
        self.leaders: dict[int, int] = {}
        self._written = 0

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.step()
            self.check_leaders()

    def step(self) -> None:
        moves = [self.produce] * 8 + [self.fetch] * 20 + [self.deliver] * 40 + [self.start] * 3
        moves += [self.drop, self.wait, self.shrink, self.crash, self.fence, self.fence, self.prefer]
        self.random.choice(moves)()

    def node(self) -> Node:
        return self.random.choice(list(self.replicas.nodes.values()))

    def produce(self) -> None:
        """At anybody who believes to lead."""
        nodes = self.replicas.nodes.values()
        believers = [each for each in nodes if each.is_up and each.partition.is_leader and each.image is not None]
        if believers:
            node = self.random.choice(believers)
            self._written += 1
            node.produce(b"%d by %d" % (self._written, node.node_id), is_acks_all=self.random.random() < 0.8)

    def fetch(self) -> None:
        node = self.node()
        if node.is_up:
            node.send_fetch()

    def deliver(self) -> None:
        """Anything that is on its way, in any order."""
        if self.replicas.flying:
            self.replicas.deliver(self.random.choice(self.replicas.flying))

    def drop(self) -> None:
        """The network loses a fetch or an answer; metadata and proposals go over the controller, and come late."""
        lost = [each for each in self.replicas.flying if each.kind in ("fetch", "answer")]
        if lost:
            self.replicas.flying.remove(self.random.choice(lost))

    def wait(self) -> None:
        self.replicas.clock.advance(self.random.choice([10, LAG_MAX_MS + 1]))

    def shrink(self) -> None:
        node = self.node()
        if node.is_up and node.partition.followers is not None:
            node.partition.followers.drop_laggards(node.partition.log_end_offset)

    def crash(self) -> None:
        """Sometimes with the machine: what was not flushed is lost. The controller notices at once, or later."""
        node = self.node()
        others = [each for each in self.replicas.nodes.values() if each is not node and each.is_up]
        if not node.is_up or not others:
            return
        end_offset, high_watermark = node.partition.log_end_offset, node.partition.high_watermark
        kept = end_offset
        if self.loses_page_cache and self.random.random() < 0.5:
            kept = self.random.randint(0, end_offset)
        node.crash(kept, self.random.randint(0, high_watermark))
        if self.random.random() < 0.7:
            self.replicas.fence(node.node_id)

    def start(self) -> None:
        node = self.node()
        if not node.is_up:
            node.start()
            self.replicas.unfence(node.node_id, was_clean=not self.loses_page_cache)

    def fence(self) -> None:
        """A broker that is alive loses its lease, and later gets it back."""
        node = self.node()
        if not node.is_up:
            return
        if node.node_id in self.replicas.active:
            self.replicas.fence(node.node_id)
        else:
            self.replicas.unfence(node.node_id)

    def prefer(self) -> None:
        self.replicas.prefer()

    def check_leaders(self) -> None:
        """One leader an epoch, as far as anybody ever believed."""
        for node in self.replicas.nodes.values():
            image: PartitionImage | None = node.image
            if image is not None and image.leader >= 0:
                assert self.leaders.setdefault(image.leader_epoch, image.leader) == image.leader
        self.replicas.check_committed_here()

    def heal(self) -> None:
        """Everybody comes back, hears everything, and catches up."""
        for node in self.replicas.nodes.values():
            if not node.is_up:
                node.start()
                self.replicas.unfence(node.node_id, was_clean=not self.loses_page_cache)
            elif node.node_id not in self.replicas.active:
                self.replicas.unfence(node.node_id)
        self.replicas.tell_all()
        for _ in range(4):
            self.replicas.settle()
            self.replicas.clock.advance(LAG_MAX_MS / 4)
        self.replicas.check()


@contextmanager
def replicas_of(count: int, min_isr: int, node_class: type[Node] = Node) -> Iterator[Replicas]:
    directory = Path(tempfile.mkdtemp(prefix="replicas-"))
    replicas = Replicas(directory, count, min_isr, node_class)
    try:
        replicas.settle()
        yield replicas
    finally:
        replicas.close()
        shutil.rmtree(directory)


@pytest.mark.parametrize(("count", "min_isr"), [(2, 1), (3, 1), (3, 2)])
def test_what_is_committed_stays(count: int, min_isr: int) -> None:
    forgiven = committed = 0
    for seed in range(SCHEDULES // 3):
        with replicas_of(count, min_isr) as replicas:
            schedule = Schedule(replicas, seed)
            try:
                schedule.run(STEPS)
                schedule.heal()
                leader = replicas.leader()
                assert leader is not None, "nobody leads, though all are back"
                assert set(replicas.partition.isr) == set(replicas.nodes)
                logs = [node.values() for node in replicas.nodes.values()]
                assert all(log == logs[0] for log in logs), "the logs differ"
                assert leader.partition.high_watermark == leader.partition.log_end_offset
            except AssertionError as error:
                raise AssertionError(f"seed {seed}: {error}") from error
            forgiven += replicas.forgiven
            committed += len(replicas.committed)
    assert committed > SCHEDULES, "the schedules commit next to nothing"
    if min_isr > 1:
        assert forgiven < SCHEDULES / 3, "most schedules end in an unclean election: they prove little"


class CutsToHighWatermark(Node):
    """A follower as Kafka had it before 0.11: in a new term it keeps what it knows to be committed, and no more."""

    def on_image(self, image: PartitionImage) -> None:
        before = self.follower
        super().on_image(image)
        if self.follower is not None and self.follower is not before:
            self.partition.log.truncate_to(self.partition.high_watermark)

    def take(self, answer: LeaderAnswer, asked: Position) -> Next:
        assert self.follower is not None
        return self.follower.take(answer._replace(diverging=None), asked)


def restart_of_a_follower_that_knows_too_little(replicas: Replicas) -> dict[int, bytes | None]:
    """KIP-101, scenario 1. The last record is committed, which the follower has not heard when it is restarted; and
    then its leader dies. Answers what the new leader has."""
    leader, follower = replicas.nodes[1], replicas.nodes[2]
    for value in (b"first", b"second"):
        leader.produce(value)
        for _ in range(2):
            follower.send_fetch()
            replicas.deliver_all("fetch", "answer")
    assert leader.partition.high_watermark == 2
    follower.crash(2, 1)  # the log survives whole; the high watermark it knew was that of a fetch before
    follower.start()
    replicas.unfence(2, was_missed=False)
    replicas.deliver_all("metadata")
    leader.crash(2, 2)
    replicas.fence(1)
    replicas.deliver_all()
    assert follower.partition.is_leader
    return follower.values()


def test_cutting_by_epoch_keeps_what_cutting_to_the_high_watermark_loses() -> None:
    with replicas_of(2, 1) as replicas:
        assert restart_of_a_follower_that_knows_too_little(replicas) == {0: b"first", 1: b"second"}
    with replicas_of(2, 1, CutsToHighWatermark) as replicas:
        assert restart_of_a_follower_that_knows_too_little(replicas) == {0: b"first"}


def test_the_schedules_see_what_cutting_to_the_high_watermark_loses() -> None:
    failures = []
    for seed in range(20):
        with replicas_of(3, 2, CutsToHighWatermark) as replicas:
            schedule = Schedule(replicas, seed, loses_page_cache=False)
            try:
                schedule.run(STEPS)
                schedule.heal()
            except AssertionError as error:
                failures.append(str(error))
    assert any("committed" in failure for failure in failures), failures
