"""One schedule from its seed to its verdict, and what is left of it when everything needless is left out."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from random import Random
from typing import NamedTuple

from tests.sim.faults import Fault, apply, misfortunes, moves, plan
from tests.sim.world import BugsLogged, Shape, World

LASTS_MS = 9_000.0
"""Within which faults begin."""
SETTLES_MS = 60_000.0
"""Within which, after the last fault has ended, everybody has everything."""
LOOK_MS = 100.0
STEPS_MAX = 200_000
TRANSACTIONS_PART = 0.1
"""Of the seeds: in so many there are producers of transactions."""
TRANSACTIONS = 10
"""That each of them makes."""
MEMBERS = 2
"""Of each group, in the same schedules."""


class Verdict(NamedTuple):
    """What came of a schedule."""

    seed: int
    shape: Shape
    complaints: list[str]
    story: list[str]
    faults: list[Fault]
    digest: str
    steps: int
    committed: int
    acknowledged: int
    lost_with_acks_1: int
    ends: int
    unclean_elections: int
    lost: int
    """Committed records that unclean elections cost,"""
    lost_as_logged: int
    """and what the brokers logged of them."""
    transactions: int
    """That were begun,"""
    transactions_committed: int
    """and of those, that their producers were told are committed."""
    is_forgiven: bool
    """Whether it ended early, where nothing is promised any more."""


def shape_of(seed: int, *, with_transactions: bool = False) -> Shape:
    """What the schedule of a seed is about: three brokers mostly, two or five sometimes."""
    random = Random(f"shape {seed}")
    brokers = random.choice([3, 3, 3, 3, 2, 5])
    min_isr = random.choice([1, 2, 2]) if brokers > 2 else 1
    has_transactions = with_transactions or Random(f"transactions {seed}").random() < TRANSACTIONS_PART
    shape = Shape(brokers, min(brokers, 3), min_isr=min_isr)
    return replace(shape, transactions=TRANSACTIONS, members=MEMBERS) if has_transactions else shape


def faults_of(seed: int, shape: Shape) -> list[Fault]:
    """What befalls it."""
    faults = plan(seed, shape.brokers, LASTS_MS) + moves(seed, shape.brokers, LASTS_MS)
    if shape.transactions:
        faults += misfortunes(seed, shape.brokers, LASTS_MS)
    return sorted(faults)


HARSH = {"kill": 4, "power": 4, "pause": 3, "isolate": 3, "lease": 2, "cut": 2}
"""The faults under which leaders change most."""


def harsh(seed: int) -> Verdict:
    """A schedule of one partition on three brokers, under the faults that find mistakes soonest; or else two
    changes of the leader within a second or two, over slow links; or two lives of a broker soon after each other."""
    made = (lambda: plan(seed, 3, LASTS_MS, HARSH), lambda: _hasty(seed), lambda: _short_lived(seed))
    return run(seed, Shape(partitions=1), made[seed % 3]())


def harsh_with_transactions(seed: int) -> Verdict:
    """The same with transactions and groups, of which more befalls the clients."""
    shape = Shape(partitions=1, transactions=TRANSACTIONS, members=MEMBERS)
    return run(seed, shape, sorted(plan(seed, 3, LASTS_MS, HARSH) + misfortunes(seed, 3, LASTS_MS)))


def _short_lived(seed: int) -> list[Fault]:
    """A broker comes back, and loses its power while a leader calls it in sync, which the store hears late."""
    random = Random(f"short-lived {seed}")
    node_id = random.randint(1, 3)
    power = Fault(4500 + random.uniform(20, 400), "power", node_id, "", 50)
    others = [each for each in (1, 2, 3) if each != node_id]
    slow = [Fault(4000, "slow-link", each, "store", random.uniform(500, 3000)) for each in others]
    slow += [Fault(power.at_ms, "slow-link", each, f"b{node_id}", 8000) for each in others]
    return sorted([*slow, Fault(1500, "kill", node_id, "", 3000), power])


def _hasty(seed: int) -> list[Fault]:
    random = Random(f"hasty {seed}")
    first, second = random.sample([1, 2, 3], 2)
    at_ms = random.uniform(1500, 3500)
    slow = [
        Fault(at_ms - 1000, "slow-link", one, f"b{other}", 1500)
        for one in (1, 2, 3)
        for other in (1, 2, 3)
        if one != other
    ]
    faults = [Fault(at_ms, "lease", first, "", 0), Fault(at_ms + random.uniform(50, 1500), "kill", second, "", 5000)]
    return sorted([*slow, *faults])


def run(seed: int, shape: Shape | None = None, faults: list[Fault] | None = None) -> Verdict:
    """Run one schedule. `faults`: instead of those that the seed plans."""
    shape = shape_of(seed) if shape is None else shape
    if faults is None:
        faults = faults_of(seed, shape)
    world = World(seed, shape)
    bugs = BugsLogged(world.model)
    logger = logging.getLogger("tailrace")
    before = logger.propagate
    logger.addHandler(bugs)
    logger.propagate = False
    try:
        lost = _run(world, faults)
    finally:
        world.close()
        logger.removeHandler(bugs)
        logger.propagate = before
    model = world.model
    return Verdict(
        seed,
        shape,
        model.complaints,
        world.story,
        faults,
        world.timeline.digest,
        world.timeline.count,
        sum(map(len, model.committed.values())),
        sum(len(each.all) for each in model.acknowledged.values()),
        lost,
        world.ends,
        world.unclean_elections,
        model.lost,
        model.lost_as_logged,
        *world.transactions.counts,
        world.is_forgiven,
    )


def _run(world: World, faults: list[Fault]) -> int:
    for fault in faults:
        world.timeline.at(fault.at_ms, partial(apply, world, fault))
    ends_ms = max((fault.at_ms + fault.for_ms for fault in faults), default=0.0)
    is_settled = False

    def look() -> None:
        nonlocal is_settled
        is_settled = world.is_settled
        if not is_settled:
            world.timeline.at(LOOK_MS, look)

    def heal() -> None:
        world.tell("*** everything is whole again")
        world.network.heal_all()
        for machine in world.machines.values():
            if machine.broker is not None:
                machine.broker.process.resume()
            world.start(machine.node_id)
        for client in (*world.transactional, *world.members):
            client.process.resume()
        look()

    world.timeline.at(max(ends_ms, LASTS_MS) + 1, heal)
    while not is_settled:
        if world.timeline.passed_ms > max(ends_ms, LASTS_MS) + SETTLES_MS or world.timeline.count > STEPS_MAX:
            world.model.complain(f"not settled after {world.timeline.passed_ms / 1000:.0f} s: {_where(world)}")
        if world.model.complaints or not world.step():
            return 0
    return world.judge()


def _where(world: World) -> str:
    parts = []
    for at, image in world.partitions().items():
        ends = {
            each.node_id: (found.high_watermark, found.log_end_offset)
            for each in world.brokers
            if (found := each.replica(at)) is not None
        }
        parts.append(f"{at} leader {image.leader} isr {image.isr} (high watermark, end) {ends}")
    waiting = [each.name for each in (*world.producers, *world.transactional) if not each.is_done]
    positions = [each.position for each in world.consumers]
    return f"{'; '.join(parts)}; producers that wait: {waiting}; readers at {positions}; {world.groups}"


def transactional(seed: int) -> Verdict:
    """A schedule with transactions, whether its seed has such or not."""
    return run(seed, shape_of(seed, with_transactions=True))


def shrunk(verdict: Verdict) -> Verdict:
    """The same failure with as few faults as leaving out one after the other makes."""
    faults = verdict.faults
    for fault in list(faults):
        fewer = [each for each in faults if each != fault]
        again = run(verdict.seed, verdict.shape, fewer)
        if again.complaints:
            faults, verdict = fewer, again
    return verdict
